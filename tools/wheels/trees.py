"""Runs in a bare root: a tree is the same after an upload, a snapshot, its restoration and a download.

Each of these goes through a filter of system calls, and which calls a libc makes changes with its version.
"""

from __future__ import annotations

import stat
import sys
import tempfile
from pathlib import Path

from cwsandbox import FileSystemSnapshotOptions, Sandbox, ScratchVolumeOptions

FILES = {"program": 0o755, "private": 0o600, "folder/shared": 0o664, "locked/read-only": 0o444}
FOLDERS = {"folder": 0o2775, "locked": 0o500}
LINKS = {"link": "program", "folder/up": "../private", "dangling": "nowhere"}
# Downloads have no set-group-ID bits.
DOWNLOADED = 0o1777


def make(tree: Path) -> None:
    for name in FOLDERS:
        (tree / name).mkdir(parents=True)
    for name, mode in FILES.items():
        (tree / name).write_text(f"{name}\n")
        (tree / name).chmod(mode)
    for name, target in LINKS.items():
        (tree / name).symlink_to(target)
    for name, mode in FOLDERS.items():
        (tree / name).chmod(mode)


def described(tree: Path) -> dict[str, str]:
    found = {}
    for path in tree.rglob("*"):
        mode = path.lstat().st_mode
        what = path.readlink() if stat.S_ISLNK(mode) else f"{stat.S_IMODE(mode) & DOWNLOADED:o}"
        content = path.read_text() if stat.S_ISREG(mode) else ""
        found[str(path.relative_to(tree))] = f"{stat.S_IFMT(mode):o} {what} {content}"
    return found


def through_a_snapshot(source: Path, copy: Path) -> str:
    """Returns the mode of `folder` in the sandbox that has been given the snapshot."""
    workspace = ScratchVolumeOptions(name="workspace", mount_path="/work")
    with Sandbox.run(volumes=[workspace]) as sandbox:
        sandbox.upload(source, "/work/tree").result()
        saved = sandbox.snapshot().result()
    restored = FileSystemSnapshotOptions(mount_path="/work", file_system_snapshot_id=saved)
    with Sandbox.run(file_system_snapshot=restored) as sandbox:
        sandbox.download("/work/tree", copy).result()
        asked = sandbox.exec(["stat", "-c", "%a", "/work/tree/folder"], check=True).result()
    return asked.stdout.strip()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        source, copy = Path(name, "source"), Path(name, "copy")
        make(source)
        mode = through_a_snapshot(source, copy)
        if described(copy) != described(source):
            sys.exit(f"of {described(source)} came back {described(copy)}")
        if mode != f"{FOLDERS['folder']:o}":
            sys.exit(f"the folder's mode is {mode}, not {FOLDERS['folder']:o}")
    print(f"a tree of {len(FILES) + len(FOLDERS) + len(LINKS)} is the same after a snapshot")


if __name__ == "__main__":
    main()
