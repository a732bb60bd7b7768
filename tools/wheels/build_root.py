"""A bare Debian with what the build asks for, where the source distribution is installed and used."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from . import roots
from .libraries import requirements
from .wheel import run

ASKS = "apt-get install "  # setup.py's last line names every package that is missing


def download_setuptools(into: Path) -> None:
    """pip takes it from an index otherwise, and nothing else."""
    (pin,) = (line for line in requirements() if line.startswith("setuptools=="))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "download", "--no-deps", "--only-binary=:all:", "--dest", into, pin)


def equip(root: Path, sdist: Path) -> None:
    roots.equip(root, sdist)
    download_setuptools(root / roots.SHELF)


def asked_for(sdist: Path, folder: Path) -> str:
    """The packages that the build names in a root that has nothing for it."""
    root = roots.copy(roots.make_debian(folder), folder)
    equip(root, sdist)
    (environment, _), (install, _) = roots.installation(sdist)
    roots.enter(root, *environment)
    said = roots.refusal(root, *install)
    shutil.rmtree(root)
    lines = [line.partition(ASKS)[2] for line in said.splitlines() if ASKS in line]
    if len(lines) != 1:
        raise SystemExit(f"{said}\n{sdist.name} does not say what it needs: see above")
    return lines[0].strip()


def prove(sdist: Path, folder: Path) -> None:
    """The build names what it needs, and with that it works."""
    packages = asked_for(sdist, folder)
    print(f"{sdist.name} asks for {packages}", flush=True)
    root = roots.copy(roots.make_debian(folder, *packages.split()), folder)
    equip(root, sdist)
    roots.work(root, sdist)
