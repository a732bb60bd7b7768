"""Bare roots: a system with Python and bubblewrap and nothing of ours, where the package is installed and used."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from . import sources
from .wheel import ROOT, run

SUITE = "bookworm"
PACKAGES = "python3-venv,bubblewrap,ca-certificates"
CERTIFICATE = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=test"
SHELF = "srv/packages"  # all that pip finds there
# A root of its own: bubblewrap cannot work in a chroot.
ENTER = """
set -e
root=$1; shift
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmp "$root/tmp"
mkdir -p "$root/old"
cd "$root"
pivot_root . old
exec chroot . /bin/sh -c 'umount -l /old && exec "$@"' sh "$@"
"""
Command = tuple[tuple[str, ...], dict[str, str]]  # words, and variables for it
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}


def unavailable(*programs: str) -> str | None:
    """Why there can be no bare root here; `programs` are what it needs beside the usual."""
    if os.geteuid() != 0:
        return "only root can make and enter one"
    for program in ("debootstrap", "openssl", *programs):
        if not shutil.which(program):
            return f"{program} is not installed"
    return None


def debootstrap(into: Path, log: Path, *options: str) -> None:
    mirror = [m for m in sources.debian_mirrors() if "security" not in m][:1]
    command = ["debootstrap", *options, SUITE, str(into), *mirror]
    with log.open("w") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise SystemExit(f"debootstrap failed: see {log}")


def make_debian(folder: Path, *more: str) -> Path:
    """A minimal Debian, and `more` packages in it; kept for later runs."""
    packages = ",".join([PACKAGES, *more])
    kept = folder / f"root-{SUITE}-{hashlib.sha256(packages.encode()).hexdigest()[:12]}"
    if not (kept / "complete").exists():
        shutil.rmtree(kept, ignore_errors=True)
        print(f"debootstrap {SUITE} {' '.join(more)}", flush=True)
        how = ("--variant=minbase", f"--include={packages}")
        debootstrap(kept, folder / "debootstrap.log", *how)
        (kept / "complete").touch()
    return kept


def copy(kept: Path, folder: Path) -> Path:
    """A root to be used up."""
    root = folder / "root-in-use"
    shutil.rmtree(root, ignore_errors=True)
    run("cp", "-a", "--reflink=auto", kept, root)
    return root


def entering(root: Path) -> list[str]:
    """The words before a command that make it run in the root, in namespaces that end with it."""
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    return [*unshare, "sh", "-c", ENTER, "sh", str(root)]


def enter(root: Path, *command: str, **env: str) -> None:
    run(*entering(root), *command, env=ENVIRONMENT | env)


def refusal(root: Path, *command: str) -> str:
    """What a command that has to fail says."""
    words = [*entering(root), *command]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    if done.returncode == 0:
        raise SystemExit(f"{said}\n`{' '.join(command)}` does not fail, and should: see above")
    return said


def make_certificate(folder: Path) -> None:
    """A server's, for trust.py: cert.pem and key.pem."""
    more = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem")
    run("openssl", *CERTIFICATE.split(), *more, cwd=folder)


def equip(root: Path, package: Path) -> None:
    """Puts the package and what it shall do into the root's /srv."""
    (root / SHELF).mkdir()
    shutil.copy(package, root / SHELF)
    shutil.copytree(ROOT / "examples", root / "srv/examples")
    for script in ("trees.py", "trust.py"):
        shutil.copy(Path(__file__).with_name(script), root / "srv")
    make_certificate(root / "srv")


def installation(package: Path) -> list[Command]:
    """Into an environment of its own, in a root that is equipped with it."""
    pip = ("/srv/venv/bin/pip", "install", "--quiet", "--no-index", "--disable-pip-version-check")
    return [
        (("python3", "-m", "venv", "/srv/venv"), {}),
        ((*pip, f"--find-links=/{SHELF}", f"/{SHELF}/{package.name}"), {}),
    ]


def commands(package: Path) -> list[Command]:
    """Installs the package and lets it work."""
    python = "/srv/venv/bin/python"
    local = {"CWSANDBOX_BASE_URL": "local"}
    return [
        *installation(package),
        ((python, "/srv/examples/quickstart.py"), local),
        ((python, "/srv/examples/snapshots.py"), local),
        ((python, "/srv/trees.py"), local),
        ((python, "/srv/trust.py"), {}),
    ]


def work(root: Path, package: Path) -> None:
    """All that, and the root is gone."""
    for command, env in commands(package):
        enter(root, *command, **env)
    shutil.rmtree(root)


def prove(wheel: Path, bare: Path, folder: Path) -> None:
    root = copy(bare, folder)
    equip(root, wheel)
    work(root, wheel)
