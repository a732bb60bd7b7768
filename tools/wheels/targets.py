"""What wheels are built for, and the compiler for each: zig, which brings every libc's headers and symbol versions."""

from __future__ import annotations

import importlib.util
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """One platform."""

    platform: str  # the tag that the finished wheel has
    machine: str
    triple: str  # zig's name for it, with the oldest libc that the wheel must run on
    libraries: frozenset[str]  # what it may need of the machine: that libc
    root: str  # the kind of bare root it is proved in

    @property
    def build_platform(self) -> str:
        """The tag of the wheel before it is repaired."""
        return f"linux-{self.machine}"


GLIBC = frozenset(
    {"libc.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libm.so.6", "libresolv.so.2"}
)
# Whatever file it is in, musl takes itself for a library of this name.
MUSL = frozenset({"libc.so"})

TARGETS = (
    Target(
        platform="manylinux_2_28_x86_64",
        machine="x86_64",
        triple="x86_64-linux-gnu.2.28",
        libraries=GLIBC | {"ld-linux-x86-64.so.2"},
        root="debian",
    ),
    Target(
        platform="musllinux_1_2_x86_64",
        machine="x86_64",
        triple="x86_64-linux-musl",
        libraries=MUSL,
        root="musl",
    ),
    Target(
        platform="manylinux_2_28_aarch64",
        machine="aarch64",
        triple="aarch64-linux-gnu.2.28",
        libraries=GLIBC | {"ld-linux-aarch64.so.1"},
        root="emulated",
    ),
)


def by_platform(name: str) -> Target:
    for target in TARGETS:
        if target.platform == name:
            return target
    raise SystemExit(f"no wheel for '{name}'; there are: {', '.join(t.platform for t in TARGETS)}")


def zig() -> Path:
    spec = importlib.util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise SystemExit("ziglang is not installed: run this by `make wheels`")
    return Path(spec.origin).with_name("zig")


def write_compiler(target: Target, folder: Path) -> Path:
    """Puts programs `cc`, `ar` and `ranlib` for the target into `folder`; returns it."""
    # zig links musl statically unless told otherwise, and a wheel must not have a libc of its own.
    dynamic = " -dynamic" if target.triple.endswith("musl") else ""
    programs = {
        "cc": f"cc -target {target.triple}{dynamic}",
        "ar": "ar",
        "ranlib": "ranlib",
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, arguments in programs.items():
        path = folder / name
        text = f'#!/bin/sh\nexec {zig()} {arguments} "$@"\n'
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return folder


def environment(compiler: Path, prefixes: Iterable[Path], cache: Path) -> dict[str, str]:
    """For programs that compile with `compiler` against the libraries in these prefixes alone."""
    return os.environ | {
        "CC": str(compiler / "cc"),
        "AR": str(compiler / "ar"),
        "RANLIB": str(compiler / "ranlib"),
        "PKG_CONFIG": "pkg-config --static",
        "PKG_CONFIG_LIBDIR": ":".join(str(prefix / "lib/pkgconfig") for prefix in prefixes),
        "ZIG_GLOBAL_CACHE_DIR": str(cache),
        "ZIG_LOCAL_CACHE_DIR": str(cache),
    }
