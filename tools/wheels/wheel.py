"""From the source distribution to a wheel: built, with the licences and the SBOM inside."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import zopfli

from . import sbom, sources, targets
from .sources import Source
from .targets import Target

ROOT = Path(__file__).resolve().parents[2]
# What no reference leads to is left out, so of a library only what we use comes in.
COMPILE = "-ffunction-sections -fdata-sections"
LINK = "-Wl,--gc-sections -Wl,-s"


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    words = [str(word) for word in command]
    if subprocess.run(words, cwd=cwd, env=env, check=False).returncode != 0:
        raise SystemExit(f"`{' '.join(words)}` failed, its messages are above")


def build_sdist(into: Path) -> Path:
    into.mkdir(parents=True, exist_ok=True)
    for old in into.glob("cwsandbox-*.tar.gz"):
        old.unlink()
    run(
        sys.executable,
        "-m",
        "build",
        "--quiet",
        "--sdist",
        "--no-isolation",
        "--outdir",
        into,
        ROOT,
    )
    (sdist,) = into.glob("cwsandbox-*.tar.gz")
    return sdist


def python_headers(folder: Path) -> Path:
    """This interpreter's headers without the switch by platform that Debian puts into pyconfig.h. For the Limited API
    those of any 64-bit Linux will do."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sysconfig.get_path("include"), folder)
    shutil.copy(sysconfig.get_config_h_filename(), folder / "pyconfig.h")
    return folder


def build(target: Target, sdist: Path, prefixes: dict[str, Path], folder: Path) -> Path:
    """The wheel as setup.py makes it, from the unpacked source distribution."""
    tree = folder / "trees" / target.platform
    sources.unpack(sdist, tree)
    compiler = targets.write_compiler(target, folder / "bin" / target.platform)
    env = targets.environment(compiler, prefixes.values(), folder / "zig-cache") | {
        "CFLAGS": COMPILE,
        "LDFLAGS": LINK,
        "PYTHON_INCLUDE": str(python_headers(folder / "python-include")),
        "_PYTHON_HOST_PLATFORM": target.build_platform,
    }
    raw = folder / "raw" / target.platform
    shutil.rmtree(raw, ignore_errors=True)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet")
    run(*pip, "--no-build-isolation", "--no-deps", "--wheel-dir", raw, tree, env=env)
    (wheel,) = raw.glob("*.whl")
    return wheel


def read_metadata(info: Path) -> Message:
    return Parser().parsestr((info / "METADATA").read_text())


def licence_expression(own: str, parts: list[Source]) -> str:
    terms = [own]
    for part in parts:
        terms += [term for term in part.licence.split(" AND ") if term not in terms]
    return " AND ".join(terms)


def add_licences(info: Path, prefixes: dict[str, Path], parts: list[Source]) -> None:
    """Into .dist-info/licenses, and named in METADATA (PEP 639)."""
    metadata = read_metadata(info)
    for part in parts:
        shutil.copytree(prefixes[part.name] / "licences", info / "licenses" / part.name)
        for name in part.licence_files:
            metadata["License-File"] = f"{part.name}/{name}"
    metadata.replace_header(
        "License-Expression", licence_expression(metadata["License-Expression"], parts)
    )
    (info / "METADATA").write_text(metadata.as_string())


def add_documents(target: Target, wheel: Path, prefixes: dict[str, Path]) -> None:
    """Puts licences and SBOM into the wheel."""
    parts = sources.load()
    unpacked = wheel.parent / "unpacked"
    run(sys.executable, "-m", "wheel", "unpack", "--dest", unpacked, wheel)
    (tree,) = unpacked.iterdir()
    (info,) = tree.glob("*.dist-info")
    add_licences(info, prefixes, parts)
    (info / "sboms").mkdir()
    text = sbom.render(read_metadata(info)["Version"], target.platform, parts)
    (info / "sboms" / sbom.NAME).write_text(text)
    run(sys.executable, "-m", "wheel", "pack", "--dest-dir", wheel.parent, tree)
    shutil.rmtree(unpacked)


def compress(wheel: Path) -> None:
    """As far as deflate can: it takes a while here, and nothing from those who unpack it."""
    small = wheel.with_suffix(".small")
    with zipfile.ZipFile(wheel) as old, zopfli.ZipFile(small, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(info, old.read(info))
    small.rename(wheel)


def sizes(wheel: Path) -> list[tuple[int, int, str]]:
    """Of the files in it: compressed and plain size, and name; largest first."""
    with zipfile.ZipFile(wheel) as archive:
        files = [(f.compress_size, f.file_size, f.filename) for f in archive.infolist()]
    return sorted(files, reverse=True)
