"""Bare roots: a system with Python and bubblewrap and nothing of ours, where a wheel is installed and used."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from . import sources
from .wheel import ROOT, run

SUITE = "bookworm"
PACKAGES = "python3-venv,bubblewrap,ca-certificates"
CERTIFICATE = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=test"
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


def make_debian(folder: Path) -> Path:
    """A minimal Debian, kept for later runs."""
    kept = folder / f"root-{SUITE}"
    if not (kept / "complete").exists():
        shutil.rmtree(kept, ignore_errors=True)
        print(f"debootstrap {SUITE}", flush=True)
        how = ("--variant=minbase", f"--include={PACKAGES}")
        debootstrap(kept, folder / "debootstrap.log", *how)
        (kept / "complete").touch()
    return kept


def enter(root: Path, *command: str, **env: str) -> None:
    """Runs a command in the root, in namespaces that end with it."""
    unshare = (
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "sh",
        "-c",
        ENTER,
        "sh",
        root,
    )
    run(*unshare, *command, env=ENVIRONMENT | env)


def make_certificate(folder: Path) -> None:
    """A server's, for trust.py: cert.pem and key.pem."""
    more = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem")
    run("openssl", *CERTIFICATE.split(), *more, cwd=folder)


def equip(root: Path, wheel: Path) -> None:
    """Puts the wheel and what it shall do into the root's /srv."""
    shutil.copy(wheel, root / "srv")
    shutil.copytree(ROOT / "examples", root / "srv/examples")
    shutil.copy(Path(__file__).with_name("trust.py"), root / "srv")
    make_certificate(root / "srv")


def commands(wheel: Path) -> list[Command]:
    """Installs the wheel and lets it work, in a root that is equipped with it."""
    pip = ("/srv/venv/bin/pip", "install", "--quiet", "--no-index", "--disable-pip-version-check")
    python = "/srv/venv/bin/python"
    local = {"CWSANDBOX_BASE_URL": "local"}
    return [
        (("python3", "-m", "venv", "/srv/venv"), {}),
        ((*pip, f"/srv/{wheel.name}"), {}),
        ((python, "/srv/examples/quickstart.py"), local),
        ((python, "/srv/examples/snapshots.py"), local),
        ((python, "/srv/trust.py"), {}),
    ]


def prove(wheel: Path, bare: Path, folder: Path) -> None:
    """All that in a copy of the bare root."""
    root = folder / "root-in-use"
    shutil.rmtree(root, ignore_errors=True)
    run("cp", "-a", "--reflink=auto", bare, root)
    equip(root, wheel)
    for command, env in commands(wheel):
        enter(root, *command, **env)
    shutil.rmtree(root)
