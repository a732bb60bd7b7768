"""Writing to a command's stdin, each write awaited: into `cat`, whose output is kept, or into a sink."""

from measure import Figures, arguments, expect, sandbox

args = arguments(bytes=100_000_000, piece=65536, command="cat")
figures = Figures()
piece = b"x" * args.piece


def feed(size: int) -> int:
    """Bytes that the command got, by its own account."""
    process = box.exec([args.command], stdin=True)
    assert process.stdin is not None
    for _ in range(size // args.piece):
        process.stdin.write(piece).result()
    process.stdin.close().result()
    output = process.result().stdout_bytes
    return int(output) if args.command == "sink" else len(output)


with sandbox() as box:
    feed(4 * args.piece)
    wanted = args.bytes // args.piece * args.piece
    with figures.measured(ops=args.bytes // args.piece):
        got = feed(args.bytes)

expect("what the command got", got, wanted)
figures.more = {"bytes": got}
figures.report()
