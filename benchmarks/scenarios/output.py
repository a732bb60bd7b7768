"""Big outputs: as a result's text and bytes, as its bytes only, or iterated.

The memory that counts is the most the process had while it held the last result.
"""

from measure import Figures, arguments, expect, sandbox

args = arguments(bytes=100_000_000, command="bytes", read="text", repeat=1)
figures = Figures()

with sandbox() as box:
    expect("the exit code", box.exec(["bytes", "100000"]).result().returncode, 0)
    with figures.measured(ops=args.repeat):
        for _ in range(args.repeat):
            process = box.exec([args.command, str(args.bytes)])
            if args.read == "iterate":
                size = sum(len(line) for line in process.stdout)
            else:
                result = process.result()
                size = len(result.stdout_bytes)
                if args.read == "text":
                    expect("the length of the text", len(result.stdout), args.bytes)
            expect("the size of the output", size, args.bytes)

figures.more = {"bytes": args.bytes * args.repeat}
figures.report()
