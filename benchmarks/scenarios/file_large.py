"""One file of 64 MiB, read or written, at once or piece by piece.

The memory that counts is the most the process had more than at the start: what is written is there at the start.
"""

from measure import Figures, arguments, expect, sandbox

SIZE = 64 << 20
args = arguments(repeat=4, verb="read")
figures = Figures()
content = bytearray(SIZE) if args.verb.startswith("write") else b""
for at in range(0, len(content), 4096):
    content[at] = 1  # so that each page is there
content = bytes(content)

with sandbox() as box:

    def transfer(size: int) -> None:
        if args.verb == "read":
            expect("the size", len(box.read_file(f"/{size}").result()), size)
        elif args.verb == "read_streaming":
            expect("the size", sum(map(len, box.read_file_streaming(f"/{size}"))), size)
        elif args.verb == "write":
            box.write_file(f"/{size}", content if size == SIZE else bytes(size)).result()
        else:
            data = content if size == SIZE else bytes(size)
            box.write_file_streaming(f"/{size}", data).result()

    transfer(100_000)
    with figures.measured(ops=args.repeat):
        for _ in range(args.repeat):
            transfer(SIZE)

figures.more = {"bytes": SIZE * args.repeat, "file": SIZE}
figures.report()
