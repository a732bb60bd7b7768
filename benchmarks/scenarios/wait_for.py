"""`cwsandbox.wait` for the first few of many running commands, which end one by one."""

import time

from measure import Figures, arguments, expect, sandbox

import cwsandbox

args = arguments(live=2000, first=10)
figures = Figures()

with sandbox() as box:
    box.exec(["true"]).result()
    processes = [box.exec(["hang"]) for _ in range(args.live - args.first)]
    while int(box.exec(["open"]).result().stdout) < args.live - args.first:
        time.sleep(0.05)
    processes += [box.exec(["sleep", f"{0.5 + 0.02 * at:.2f}"]) for at in range(args.first)]
    with figures.measured(ops=args.live):
        done, pending = cwsandbox.wait(processes, num_returns=args.first)
    expect("the number that ended", len(done), args.first)
    expect("the number that did not", len(pending), args.live - args.first)
    for process in pending:
        process.cancel()

figures.report()
