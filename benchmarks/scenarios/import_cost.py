"""Importing the package into a Python that has imported nothing yet: CPU, memory, modules.

With `--use NAME`, `from cwsandbox import NAME`: a package may put off its work until a name is used.
"""

import sys
import time


def memory() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])


pages, modules = memory(), len(sys.modules)
start, cpu = time.perf_counter(), time.process_time()

import cwsandbox  # noqa: E402  # only now: it is what is measured

for name in sys.argv[2:]:
    getattr(cwsandbox, name)

cpu, wall = time.process_time() - cpu, time.perf_counter() - start
pages, modules = memory() - pages, len(sys.modules) - modules

import json  # noqa: E402
import os  # noqa: E402

print(
    json.dumps(
        {
            "ops": 1,
            "wall": wall,
            "cpu": cpu,
            "rss": pages * os.sysconf("SC_PAGE_SIZE"),
            "modules": modules,
            "threads": len(os.listdir("/proc/self/task")),
        }
    )
)
