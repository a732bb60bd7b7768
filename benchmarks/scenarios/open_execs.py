"""Commands that run and say nothing: what each of them costs while it is open."""

import time

from measure import Figures, arguments, sandbox

args = arguments(count=5000)
figures = Figures()

with sandbox() as box:
    box.exec(["true"]).result()
    with figures.measured(ops=args.count):
        processes = [box.exec(["hang"]) for _ in range(args.count)]
        # "open" says how many hang on the server: only then they are all there.
        while int(box.exec(["open"]).result().stdout) < args.count:
            time.sleep(0.05)
    for process in processes:
        process.cancel()

figures.report()
