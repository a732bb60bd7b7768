"""Commands from plain threads, each waiting for its result before the next: `sandbox.exec([...]).result()`."""

from threading import Thread

from measure import Figures, arguments, expect, sandbox

args = arguments(count=2000, threads=1, warm=50, command="true")
figures = Figures()
rounds = args.count // args.threads

with sandbox() as box:

    def command() -> None:
        expect("the exit code", box.exec([args.command]).result().returncode, 0)

    def work() -> None:
        for _ in range(rounds):
            figures.timed(command)

    for _ in range(args.warm):
        command()
    threads = [Thread(target=work) for _ in range(args.threads - 1)]
    with figures.measured(ops=rounds * args.threads):
        for thread in threads:
            thread.start()
        work()
        for thread in threads:
            thread.join()

figures.report()
