"""Builds the C extension and the daemon with the Makefile, which holds the one list of sources and flags.

Before that it looks for everything the build needs and names all that is missing at once, each with the
Debian package that has it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

import setuptools
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
BINARIES = ("cwsandboxd", "cwsandbox-init", "cwsandbox-archive", "cwsandbox-egress")
OLDEST_SETUPTOOLS = (
    77  # the first that takes `license = "MIT"`; pip without build isolation does not look
)
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


@dataclass(frozen=True)
class Library:
    """A C library the build links against: its pkg-config module, one header, and its Debian package."""

    module: str
    header: str
    package: str


LIBRARIES = (
    Library("libnghttp2", "nghttp2/nghttp2.h", "libnghttp2-dev"),
    Library("openssl", "openssl/ssl.h", "libssl-dev"),
    Library("libprotobuf-c", "protobuf-c/protobuf-c.h", "libprotobuf-c-dev"),
    Library("libuv", "uv.h", "libuv1-dev"),
    Library("jansson", "jansson.h", "libjansson-dev"),
    Library("sqlite3", "sqlite3.h", "libsqlite3-dev"),
    Library("libarchive", "archive.h", "libarchive-dev"),
    Library("yaml-0.1", "yaml.h", "libyaml-dev"),
)


def compiler() -> list[str]:
    return os.environ.get("CC", "cc").split()


def compiles(source: str, *flags: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "probe.c")
        path.write_text(source)
        command = [*compiler(), str(path), "-o", str(path.with_suffix("")), *flags]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def pkg_config_command() -> list[str]:
    return os.environ.get("PKG_CONFIG", "pkg-config").split()


def pkg_config(module: str, option: str) -> list[str] | None:
    command = [*pkg_config_command(), option, module]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.split() if result.returncode == 0 else None


def missing_library(library: Library) -> str | None:
    cflags = pkg_config(library.module, "--cflags")
    libs = pkg_config(library.module, "--libs")
    if cflags is None or libs is None:
        return f"{library.header} not found (pkg-config knows no {library.module}): install {library.package}"
    program = f"#include <{library.header}>\nint main(void) {{ return 0; }}\n"
    if not compiles(program, "-c", *cflags):
        return f"{library.header} not found: install {library.package}"
    if not compiles(program, *cflags, *libs):
        return f"{library.module} cannot be linked with {' '.join(libs)}: install {library.package}"
    return None


def missing_requirements() -> list[str]:
    """One line for each thing that the build needs and this machine has not."""
    tools = {
        compiler()[0]: "build-essential",
        os.environ.get("MAKE", "make"): "build-essential",
        pkg_config_command()[0]: "pkg-config",
    }
    missing = [
        f"{tool} not found: install {package}"
        for tool, package in tools.items()
        if not shutil.which(tool)
    ]
    if not missing and not compiles("#include <stdio.h>\nint main(void) { return 0; }\n"):
        missing.append(f"{' '.join(compiler())} cannot build a program: install build-essential")
    if missing:
        # apt-get passes over those that are there.
        missing += [
            f"{library.module} not looked for, which takes the above: install {library.package}"
            for library in LIBRARIES
        ]
    else:
        missing += [line for library in LIBRARIES if (line := missing_library(library))]
    headers = os.environ.get("PYTHON_INCLUDE", sysconfig.get_path("include"))
    if not Path(headers, "Python.h").exists():
        missing.append(f"{headers}/Python.h not found: install python3-dev")
    return missing


class BuildPython(build_py):
    """Starts from an empty folder, so that a module that was removed does not live on in the next wheel."""

    def run(self) -> None:
        if not getattr(self, "editable_mode", False):
            shutil.rmtree(Path(self.build_lib, "cwsandbox"), ignore_errors=True)
        super().run()


class BuildNative(build_ext):
    """Runs make for the extension and the daemon and puts them into the package."""

    def run(self) -> None:
        missing = missing_requirements()
        if missing:
            packages = " ".join(sorted({line.rpartition(" ")[2] for line in missing}))
            lines = "\n".join(f"  - {line}" for line in missing)
            sys.exit(
                f"cwsandbox cannot be built here:\n{lines}\nOn Debian or Ubuntu: apt-get install {packages}"
            )
        products = self.make()
        for product, target in zip(products, self.targets(), strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            # Not over the old file: it may be running or mapped.
            target.unlink(missing_ok=True)
            shutil.copy(product, target)

    def make(self) -> list[Path]:
        build = Path(self.build_temp).resolve()
        # A make above us cannot lend its jobs through pip, and would only warn about it.
        env = {
            name: value
            for name, value in os.environ.items()
            if name not in {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
        }
        command = [
            os.environ.get("MAKE", "make"),
            f"-j{self.parallel or os.cpu_count() or 1}",
            f"BUILD={build}",
            f"PYTHON={sys.executable}",
            f"WERROR={os.environ.get('WERROR', '')}",
            "ext",
            "daemon",
        ]
        if subprocess.run(command, cwd=ROOT, env=env, check=False).returncode != 0:
            sys.exit(f"cwsandbox: `{' '.join(command)}` failed, its messages are above")
        return [
            build / "release" / name for name in ("_cwsandbox.so", *(f"bin/{n}" for n in BINARIES))
        ]

    def targets(self) -> list[Path]:
        extension = Path(self.get_ext_fullpath("cwsandbox._cwsandbox"))
        return [extension, *(extension.parent / "bin" / name for name in BINARIES)]

    def get_outputs(self) -> list[str]:
        return [str(target) for target in self.targets()]

    def get_output_mapping(self) -> dict[str, str]:
        return {}

    def get_source_files(self) -> list[str]:
        return []


if int(setuptools.__version__.partition(".")[0]) < OLDEST_SETUPTOOLS:
    sys.exit(
        f"cwsandbox needs setuptools {OLDEST_SETUPTOOLS} to be built, here is {setuptools.__version__}"
    )
setup(
    ext_modules=[Extension("cwsandbox._cwsandbox", sources=[], py_limited_api=not FREE_THREADED)],
    cmdclass={"build_py": BuildPython, "build_ext": BuildNative},
    options={} if FREE_THREADED else {"bdist_wheel": {"py_limited_api": "cp311"}},
)
