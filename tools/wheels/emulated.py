"""A bare Debian for another processor, on an emulated machine with a kernel of its own.

qemu's emulation of single programs does not do: it lacks namespaces in part and system call filters wholly, and
the daemon is about both.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import time
from pathlib import Path

from . import cpio, roots
from .wheel import run

PROGRAM = "qemu-system-aarch64"
ARCHITECTURE = "arm64"
KERNEL = "linux-image-arm64"
# What Debian's kernel would have to start with, which we give it ourselves.
WITHOUT = ("linux-", "initramfs-tools", "klibc-utils", "libklibc", "busybox")
USELESS = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache")
MERGED = ("bin", "sbin", "lib")
FOLDERS = ("mnt", "srv", "var/tmp", "var/cache")
# A processor of the architecture's first version, without what came later. A failure ends the first program, which ends
# Linux (panic), which ends the machine.
MACHINE = "-machine virt -cpu cortex-a53 -smp 2 -m 2048 -accel tcg,thread=multi -nic none"
CONSOLE = "-nographic -no-reboot"
TIMEOUT_S = 1800
DONE = "every command has succeeded"
# A bind mount of the root on itself: bubblewrap cannot work on the kernel's first file system.
INIT = """#!/bin/sh
mount --bind / /mnt
cd /mnt
mount --move . /
exec chroot . /bin/sh /srv/prove
"""
PROVE = """
set -e
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmp /dev/shm
mount -t tmpfs tmp /tmp
ip link set lo up
date --set @{now} >/dev/null
export {environment}
{commands}
echo '{done}'
echo o >/proc/sysrq-trigger # off
sleep 60
"""


def packages(folder: Path) -> list[Path]:
    """The root's, and the kernel for it; downloaded, not installed: that would take a program to run them."""
    tree = folder / "download"
    included = f"{roots.PACKAGES},iproute2,{KERNEL}"
    how = ("--download-only", "--arch", ARCHITECTURE, "--variant=minbase", f"--include={included}")
    roots.debootstrap(tree, folder / "debootstrap.log", *how)
    return sorted((tree / "var/cache/apt/archives").glob("*.deb"))


def unpack(package: Path, into: Path) -> None:
    script = 'dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"'
    run("sh", "-ec", script, "sh", package, into)


def make(folder: Path) -> Path:
    """A folder with `root` and `kernel`, kept for later runs."""
    kept = folder / f"emulated-{ARCHITECTURE}"
    if (kept / "complete").exists():
        return kept
    shutil.rmtree(kept, ignore_errors=True)
    root, boot = kept / "root", kept / "boot"
    boot.mkdir(parents=True)
    print(f"debootstrap {roots.SUITE} {ARCHITECTURE}", flush=True)
    for name in MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for package in packages(kept):
        if package.name.startswith("linux-image-"):
            unpack(package, boot)
        elif not package.name.startswith(WITHOUT):
            unpack(package, root)
    # What the packages' own scripts would do.
    for name in FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("passwd", "group"):
        shutil.copy(root / f"usr/share/base-passwd/{name}.master", root / "etc" / name)
    for name in USELESS:
        shutil.rmtree(root / name, ignore_errors=True)
    (kernel,) = boot.glob("boot/vmlinuz-*")
    kernel.rename(kept / "kernel")
    shutil.rmtree(boot)
    shutil.rmtree(kept / "download")
    (kept / "complete").touch()
    return kept


def write_scripts(root: Path, commands: list[roots.Command]) -> None:
    lines = "\n".join(
        shlex.join(["env", *(f"{name}={value}" for name, value in env.items()), *command])
        for command, env in commands
    )
    environment = shlex.join(f"{name}={value}" for name, value in roots.ENVIRONMENT.items())
    script = PROVE.format(now=int(time.time()), environment=environment, commands=lines, done=DONE)
    (root / "srv/prove").write_text(script)
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)


def boot(kernel: Path, archive: Path) -> str:
    """What the machine said on its console until it ended."""
    options = (*MACHINE.split(), *CONSOLE.split(), "-append", "console=ttyAMA0 quiet panic=-1")
    command = [PROGRAM, *options, "-kernel", str(kernel), "-initrd", str(archive)]
    said = []
    with subprocess.Popen(
        ["timeout", str(TIMEOUT_S), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as machine:
        assert machine.stdout is not None
        for line in machine.stdout:
            print(line, end="", flush=True)
            said.append(line)
    return "".join(said)


def prove(wheel: Path, folder: Path) -> None:
    """Installs the wheel on the machine and lets it work there."""
    kept = make(folder)
    root = roots.copy(kept / "root", folder)
    roots.equip(root, wheel)
    write_scripts(root, roots.commands(wheel))
    archive = folder / "root-in-use.cpio"
    cpio.pack(root, archive)
    if DONE not in boot(kept / "kernel", archive):
        raise SystemExit(f"{wheel.name} does not work on the emulated machine: see above")
    archive.unlink()
    shutil.rmtree(root)
