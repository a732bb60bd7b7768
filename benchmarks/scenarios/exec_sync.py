"""Commands from plain threads, each waiting for its result before the next: `sandbox.exec([...]).result()`."""

from measure import Figures, arguments, by_threads, expect, sandbox

args = arguments(count=2000, threads=1, warm=50, command="true")
figures = Figures()

with sandbox() as box:

    def command() -> None:
        expect("the exit code", box.exec([args.command]).result().returncode, 0)

    by_threads(figures, args, command)

figures.report()
