"""`make wheels`: builds the source distribution and the wheels into dist/ and checks each; the first fault ends it.

usage: python -m wheels [sdist] [PLATFORM…]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from . import audit, build_root, check, emulated, libraries, musl_root, roots, targets, wheel
from .targets import Target

SDIST = "sdist"  # for the name of a platform: the proof of the source distribution


def make(target: Target, sdist: Path, folder: Path, dist: Path) -> Path:
    prefixes = libraries.build_all(target, folder)
    raw = wheel.build(target, sdist, prefixes, folder)
    wheel.add_documents(target, raw, prefixes)
    finished = audit.repair(target, raw, dist)
    wheel.compress(finished)
    return finished


def inspect(target: Target, finished: Path, folder: Path) -> None:
    for compressed, plain, name in wheel.sizes(finished)[:6]:
        print(f"  {compressed:9,} of {plain:9,}  {name}")
    print(f"  {finished.stat().st_size:9,} in all", flush=True)
    oldest = musl_root.oldest_libc(folder) if target.root == "musl" else None
    if faults := check.faults(target, finished, oldest):
        raise SystemExit("\n".join(f"{finished.name}: {fault}" for fault in faults))


def prove(target: Target, finished: Path, folder: Path) -> None:
    if target.root == "emulated":
        emulated.prove(finished, folder)
    else:
        make = {"debian": roots.make_debian, "musl": musl_root.make}[target.root]
        roots.prove(finished, make(folder), folder)


def main(arguments: list[str]) -> None:
    names = arguments or [SDIST, *(target.platform for target in targets.TARGETS)]
    wanted = [targets.by_platform(name) for name in names if name != SDIST]
    emulators = (emulated.PROGRAM for target in wanted if target.root == "emulated")
    if reason := roots.unavailable(*emulators):
        raise SystemExit(f"the wheels cannot be proved in bare roots: {reason}")
    folder = Path(os.environ.get("BUILD", "build"), "wheels").resolve()
    dist = Path("dist").resolve()
    sdist = wheel.build_sdist(dist)
    if SDIST in names:
        build_root.prove(sdist, folder)
        print(f"{sdist.name}: good", flush=True)
    for target in wanted:
        finished = make(target, sdist, folder, dist)
        inspect(target, finished, folder)
        prove(target, finished, folder)
        print(f"{finished.name}: good", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
