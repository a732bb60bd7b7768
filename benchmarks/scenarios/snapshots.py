"""A volume saved and restored, next to `tar | cat` from and to the same kinds of file systems, in turn."""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measure import Figures, arguments, expect

from cwsandbox import FileSystemSnapshotOptions, Sandbox, ScratchVolumeOptions

MEMORY = "/dev/shm"
"""Volumes are in memory; so is the tree that tar reads, and the one that it writes."""

FILL = """
import os, sys
top, large, small = sys.argv[1], *map(int, sys.argv[2:])
for folder, each, total in ("large", 1 << 20, large), ("small", 4096, small):
    for at in range(total // each):
        if at % 1000 == 0:
            os.makedirs(f"{top}/{folder}/{at // 1000}")
        with open(f"{top}/{folder}/{at // 1000}/{at}", "wb") as file:
            file.write(os.urandom(each))
"""

args = arguments(count=1024, rounds=5, daemon=0, folder="/var/tmp")
"""Of `count` MiB an eighth is in files of 4 KiB, the rest in files of 1 MiB."""


def cpu_of_children(pid: int) -> float:
    """Seconds that the ended children of a process took, with theirs."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def own_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Cost:
    """Wall and CPU time of one way to do it, of every round."""

    def __init__(self, cpu: Callable[[], float]) -> None:
        self._cpu = cpu
        self.walls: list[float] = []
        self.cpus: list[float] = []

    def take(self, work: Callable[[], object]) -> None:
        cpu, start = self._cpu(), time.perf_counter()
        work()
        self.walls.append(time.perf_counter() - start)
        self.cpus.append(self._cpu() - cpu)

    def rate_next_to(self, other: Cost) -> float:
        """How fast this is as a share of the other, which was measured right after it."""
        return statistics.median(b / a for a, b in zip(self.walls, other.walls, strict=True))


def shell(line: str) -> None:
    subprocess.run(line, shell=True, check=True)


class Round:
    """Saving and restoring once, each in the daemon and by tar."""

    def __init__(self, box: Sandbox, tree: Path, folder: Path) -> None:
        self._box = box
        self._tree = shlex.quote(str(tree))
        self._copy = Path(f"{tree}-copy")
        self._file = shlex.quote(str(folder / "saved.tar"))
        self.saved = Cost(lambda: cpu_of_children(args.daemon))
        self.tar = Cost(own_children)
        self.tar_sync = Cost(own_children)
        self.restored = Cost(lambda: cpu_of_children(args.daemon))
        self.untar = Cost(own_children)
        self.started = Cost(lambda: 0)

    def run(self) -> None:
        self.saved.take(lambda: self._save())
        self.tar.take(lambda: shell(f"tar -cf - -C {self._tree} . | cat > {self._file}"))
        shell(f"rm {self._file}; sync")
        self.tar_sync.take(
            lambda: shell(f"tar -cf - -C {self._tree} . | cat > {self._file}; sync {self._file}")
        )
        self.restored.take(lambda: self._start(self._id).stop().result())
        self._copy.mkdir()
        copy = shlex.quote(str(self._copy))
        self.untar.take(lambda: shell(f"cat {self._file} | tar -xf - -C {copy}"))
        self.started.take(lambda: self._start(None).stop().result())
        shutil.rmtree(self._copy)
        shell(f"rm {self._file}")
        Sandbox.delete_snapshot(self._id).result()
        shell("sync")

    def _save(self) -> None:
        self._id = self._box.snapshot().result()

    def _start(self, snapshot: str | None) -> Sandbox:
        options = FileSystemSnapshotOptions(mount_path="/data", file_system_snapshot_id=snapshot)
        box = Sandbox.run(file_system_snapshot=options)
        expect("the exit code", box.exec(["true"]).result().returncode, 0)
        return box


def fill(box: Sandbox, tree: Path) -> None:
    small = args.count // 8
    sizes = [str((args.count - small) << 20), str(small << 20)]
    done = box.exec(["python3", "-c", FILL, "/data", *sizes]).result()
    expect("what filling the volume says", (done.returncode, done.stderr), (0, ""))
    subprocess.run(["python3", "-c", FILL, tree, *sizes], check=True)


volume = ScratchVolumeOptions(name="data", mount_path="/data")
figures = Figures()
with (
    tempfile.TemporaryDirectory(dir=MEMORY) as memory,
    tempfile.TemporaryDirectory(dir=args.folder) as disk,
    Sandbox.run(volumes=[volume]) as box,
):
    fill(box, Path(memory, "tree"))
    turn = Round(box, Path(memory, "tree"), Path(disk))
    with figures.measured(ops=args.rounds):
        for _ in range(args.rounds):
            turn.run()

more = {
    "save_rate": turn.saved.rate_next_to(turn.tar),
    "save_rate_sync": turn.saved.rate_next_to(turn.tar_sync),
    "restore_rate": turn.restored.rate_next_to(turn.untar),
}
for name in ("saved", "tar", "tar_sync", "restored", "untar", "started"):
    cost: Cost = getattr(turn, name)
    more[name] = statistics.median(cost.walls)
    more[f"{name}_cpu"] = statistics.median(cost.cpus)
figures.more = more
figures.report()
