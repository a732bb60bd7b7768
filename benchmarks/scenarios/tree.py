"""A tree of small files, uploaded, next to `tar c | tar x` from the same tree into the same kind of file system."""

import shlex
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measure import Figures, arguments, expect, sandbox

# As a sandbox has its /tmp, in memory. Both read the tree from there, too.
MEMORY = "/dev/shm"
args = arguments(count=10_000, size=1024, rounds=7)
figures = Figures()


def grow(top: Path) -> None:
    for at in range(args.count):
        folder = top / str(at // 100)
        folder.mkdir(exist_ok=True)
        (folder / f"file-{at}.txt").write_bytes(b"x" * args.size)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def tar(tree: Path, target: Path) -> None:
    target.mkdir()
    pipe = f"tar -cf - -C {shlex.quote(str(tree))} . | tar -xf - -C {shlex.quote(str(target))}"
    subprocess.run(pipe, shell=True, check=True)


with tempfile.TemporaryDirectory(dir=MEMORY) as folder, sandbox() as box:
    tree = Path(folder, "tree")
    tree.mkdir()
    grow(tree)
    uploads, tars = [], []
    box.upload(tree, "/tmp/first").result()
    with figures.measured(ops=args.count * args.rounds):
        for at in range(args.rounds):
            uploads.append(seconds(lambda at=at: box.upload(tree, f"/tmp/{at}").result()))
            tars.append(seconds(lambda at=at: tar(tree, Path(folder, str(at)))))
    there = box.exec(["sh", "-c", "find /tmp/0 -type f | wc -l"]).result().stdout

expect("the number of files that arrived", int(there), args.count)
figures.more = {"upload": statistics.median(uploads), "tar": statistics.median(tars)}
figures.report()
