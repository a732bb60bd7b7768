"""So many sandboxes that live at once: made, each used for one command, stopped."""

import time
from concurrent.futures import ThreadPoolExecutor

from measure import Figures, arguments, expect, sandbox

args = arguments(count=1000, threads=16, command="/bin/true")
figures = Figures()


def seconds(name: str, start: float) -> None:
    figures.more[name] = time.perf_counter() - start


with figures.measured(ops=args.count):
    start = time.perf_counter()
    with ThreadPoolExecutor(args.threads) as pool:
        boxes = list(pool.map(lambda _: sandbox(), range(args.count)))
    seconds("create", start)
    start = time.perf_counter()
    running = [box.exec([args.command]) for box in boxes]
    codes = {process.result().returncode for process in running}
    seconds("exec", start)
    start = time.perf_counter()
    for ending in [box.stop() for box in boxes]:
        ending.result()
    seconds("stop", start)

expect("the exit codes", codes, {0})
figures.report()
