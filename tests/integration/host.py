"""What the host shows of a sandbox: processes, mounts, cgroups and files."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


class Mark:
    """A value that a test gives to a command's environment or arguments to find its processes on the host."""

    def __init__(self) -> None:
        self.value = uuid.uuid4().hex

    def pids(self) -> list[int]:
        """Processes of this machine, in whatever namespace, that carry the mark."""
        needle = self.value.encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            if int(folder.name) == os.getpid():
                continue
            try:
                texts = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            except OSError:
                continue
            if needle in texts:
                found.append(int(folder.name))
        return found


def descendants(pid: int) -> set[int]:
    """All living processes below ``pid``."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    below: set[int] = set()
    todo = [pid]
    while todo:
        for child in children.get(todo.pop(), []):
            if child not in below:
                below.add(child)
                todo.append(child)
    return below


def children(pid: int) -> set[int]:
    """Its children, those too that have ended and were not waited for."""
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def resident_bytes(pid: int) -> int:
    """Memory of the process that is in RAM, shared or not."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def mounts() -> set[str]:
    """Mount points of this namespace."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return {line.split()[4] for line in lines}


def cgroups() -> set[str]:
    root = Path("/sys/fs/cgroup")
    return {folder for folder, _, _ in os.walk(root)} if root.exists() else set()


def files(folder: Path) -> set[str]:
    """Paths below ``folder``."""
    return (
        {str(path.relative_to(folder)) for path in folder.rglob("*")} if folder.exists() else set()
    )


def is_alive(pid: int) -> bool:
    """There is such a process and it is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}
