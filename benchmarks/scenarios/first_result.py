"""From nothing to the result of a command in a sandbox of its own: `Sandbox.run()`, `exec([...]).result()`."""

from measure import Figures, arguments, expect, sandbox

args = arguments(count=50, warm=3, command="/bin/true")
figures = Figures()


def once() -> None:
    made = []

    def create_and_run() -> None:
        made.append(sandbox())
        expect("the exit code", made[0].exec([args.command]).result().returncode, 0)

    figures.timed(create_and_run)
    made[0].stop().result()


for _ in range(args.warm):
    once()
figures.delays.clear()
with figures.measured(ops=args.count):
    for _ in range(args.count):
        once()

figures.report()
