"""What every finished wheel must be: small, self-contained, closed, and open about what is inside."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

from . import sbom, sources
from .targets import Target

MOST_BYTES = 3_500_000
EXPORTED = {"PyInit__cwsandbox"}
MACHINES = {"x86_64": "Advanced Micro Devices X86-64", "aarch64": "AArch64"}


def readelf(path: Path, *options: str) -> str:
    command = ["readelf", "--wide", *options, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def exported(path: Path) -> set[str]:
    names = set()
    for line in readelf(path, "--dyn-syms").splitlines():
        fields = line.split()
        if len(fields) >= 8 and fields[4] in {"GLOBAL", "WEAK"} and fields[6] != "UND":
            names.add(fields[7].partition("@")[0])
    return names


def needed(path: Path) -> set[str]:
    lines = readelf(path, "--dynamic").splitlines()
    return {line.partition("[")[2].rstrip("]") for line in lines if "(NEEDED)" in line}


def undefined(path: Path) -> set[str]:
    """What it must find in other files; weak references do without."""
    lines = (line.split() for line in readelf(path, "--dyn-syms").splitlines())
    return {
        fields[7].partition("@")[0]
        for fields in lines
        if len(fields) >= 8 and fields[4] == "GLOBAL" and fields[6] == "UND"
    }


def programs(tree: Path) -> list[Path]:
    return [path for path in sorted(tree.rglob("*")) if path.is_file() and is_elf(path)]


def is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def faults_of_programs(target: Target, tree: Path) -> Iterator[str]:
    found = programs(tree)
    names = {path.name for path in found}
    wanted = {"cwsandboxd", "cwsandbox-init", "cwsandbox-archive", "cwsandbox-egress"}
    if not wanted < names or len(found) != len(wanted) + 1:
        yield f"its programs are {sorted(names)}, not {sorted(wanted)} and the extension"
    for path in found:
        if MACHINES[target.machine] not in readelf(path, "--file-header"):
            yield f"{path.name} is not for {target.machine}"
        if others := needed(path) - target.libraries:
            yield f"{path.name} needs {sorted(others)} of the machine it is installed on"
        if "RPATH" in (dynamic := readelf(path, "--dynamic")) or "RUNPATH" in dynamic:
            yield f"{path.name} has a path of its own to look for libraries"
        if path.suffix == ".so" and exported(path) != EXPORTED:
            yield f"{path.name} exports {len(exported(path))} symbols, not {EXPORTED} alone"


def faults_of_symbols(tree: Path, libc: Path) -> Iterator[str]:
    """musl has no versions of symbols: what a newer one has is in a file or is not."""
    known = exported(libc)
    for path in programs(tree):
        missing = {name for name in undefined(path) if not name.startswith(("Py", "_Py"))} - known
        if missing:
            yield f"{path.name} needs {sorted(missing)}, which the oldest libc does not have"


def faults_of_documents(info: Path) -> Iterator[str]:
    metadata = Parser().parsestr((info / "METADATA").read_text())
    listed = metadata.get_all("License-File", [])
    for name in listed:
        if not (info / "licenses" / name).is_file():
            yield f"METADATA names the licence {name}, which is not there"
    bom = json.loads((info / "sboms" / sbom.NAME).read_text())
    inside = {(part["name"], part["version"]) for part in bom["components"]}
    for source in sources.load():
        if (source.name, source.version) not in inside:
            yield f"the SBOM does not have {source.name} {source.version}"
        for name in source.licence_files:
            if f"{source.name}/{name}" not in listed:
                yield f"METADATA does not name the licence {source.name}/{name}"
        for term in source.licence.split(" AND "):
            if term not in metadata["License-Expression"].split(" AND "):
                yield f"License-Expression does not have {term}, of {source.name}"


def faults_of_tools(wheel: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "abi3audit", "--strict", "--summary", str(wheel)]
    audit = subprocess.run(command, capture_output=True, text=True, check=False)
    if audit.returncode != 0:
        yield f"abi3audit refuses it:\n{audit.stdout}{audit.stderr}"


def faults(target: Target, wheel: Path, oldest_libc: Path | None) -> list[str]:
    """What is wrong with the wheel, a line each. `oldest_libc` tells what a libc without versions of symbols has."""
    size = wheel.stat().st_size
    found = [] if size <= MOST_BYTES else [f"it has {size:,} bytes, more than {MOST_BYTES:,}"]
    if target.platform not in wheel.name:
        found.append(f"its tag is not {target.platform}")
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
        (info,) = Path(folder).glob("*.dist-info")
        found += faults_of_programs(target, Path(folder))
        found += faults_of_documents(info)
        if oldest_libc:
            found += faults_of_symbols(Path(folder), oldest_libc)
    if "abi3" in wheel.name:
        found += faults_of_tools(wheel)
    return found
