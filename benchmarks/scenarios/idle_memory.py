"""What a sandbox that does nothing holds: the memory of all processes under the daemon, for each sandbox.

RSS counts a page in every process that has it; PSS shares it out among them, and so adds up to what the machine has
less of.
"""

from pathlib import Path

from measure import Figures, arguments, sandbox

args = arguments(count=50, daemon=0)
figures = Figures()


def parents() -> dict[int, int]:
    found: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        found[int(path.parent.name)] = int(fields[1])
    return found


def descendants(pid: int) -> list[int]:
    tree = parents()
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in tree.items() if its_parent == parent]
    return found[1:]


def memory(pid: int) -> tuple[int, int]:
    """RSS and PSS in bytes."""
    sizes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        sizes[name] = int(rest.split()[0]) * 1024
    return sizes["Rss"], sizes["Pss"]


def total(pids: list[int]) -> tuple[int, int]:
    sizes = [memory(pid) for pid in pids]
    return sum(rss for rss, _ in sizes), sum(pss for _, pss in sizes)


sandbox().stop().result()
before, idle = memory(args.daemon)[0], total(descendants(args.daemon))
with figures.measured(ops=args.count):
    boxes = [sandbox() for _ in range(args.count)]
for box in boxes:
    box.exec(["/bin/true"]).result()
pids = descendants(args.daemon)
rss, pss = total(pids)
figures.more = {
    "box_rss": (rss - idle[0]) / args.count,
    "box_pss": (pss - idle[1]) / args.count,
    "box_processes": len(pids) / args.count,
    "daemon_rss": (memory(args.daemon)[0] - before) / args.count,
}
for ending in [box.stop() for box in boxes]:
    ending.result()

figures.report()
