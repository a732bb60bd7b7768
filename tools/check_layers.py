"""Holds every #include against the layer rule. Exit code 1 and one line per offence.

The core, `src/_cwsandbox`: a file may include its own folder and those to its left.

    base -> io -> h2 -> grpc -> sandbox -> archive -> py

`archive/` knows nothing of the network: it may include only base.
`proto/` (generated messages and what reads them) is open to sandbox, py/message*.[ch] and the daemon.

The daemon, `src/cwsandboxd`, has floors: a file may include its own folder and those below it
(DAEMON_FLOORS), and of the core base, io, h2, grpc and proto. cwsandbox-init and cwsandbox-archive stand alone, and
cwsandbox-egress knows base; the daemon knows one header of each, the protocol between the two. What these programs
have in common lies in `src/confine`, whose headers include none of ours. Each third-party header is allowed in one
place.

The Python package is held to its floors by layers_python.py.

No two files may include each other, not even in a longer circle, but for the pairs in CIRCLES. What is named
x.c, x.h and x_private.h is one file here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import layers_python
from circles import circle_faults

ROOT = Path(__file__).resolve().parents[1]
CORE = Path("src/_cwsandbox")
DAEMON = Path("src/cwsandboxd")
INIT = Path("src/cwsandbox-init")
ARCHIVE = Path("src/cwsandbox-archive")
EGRESS = Path("src/cwsandbox-egress")
CONFINE = Path("src/confine")
PROGRAMS = (INIT, ARCHIVE, EGRESS)
LAYERS = ["base", "io", "h2", "grpc", "sandbox", "archive", "py"]
# From the ground up. The root (main, daemon) stands above all.
DAEMON_FLOORS = ["values", "config", "host", "box", "store", "sandboxes", "service"]
DAEMON_CORE = {"base", "io", "h2", "grpc", "proto"}
PROTO_USERS = ("sandbox/", "proto/", "py/message")
# The headers that the daemon shares with the programs it starts.
PROTOCOLS = (
    "cwsandbox-init/protocol.h",
    "cwsandbox-egress/protocol.h",
    "cwsandbox-archive/outcome.h",
    "cwsandbox-egress/protocol.h",
)
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')

# Pairs of files that may include each other all the same, and why.
CIRCLES = {
    ("_cwsandbox/io/timer", "_cwsandbox/io/loop"): "the heap of timers is a part of the loop",
    ("_cwsandbox/io/uv", "_cwsandbox/io/loop"): "the loop's face for those who know libuv",
    ("_cwsandbox/io/scratch", "_cwsandbox/io/loop"): "memory of the loop",
    ("_cwsandbox/io/tls", "_cwsandbox/io/tls_config"): "tls.h declares the configuration, too",
    ("_cwsandbox/h2/conn", "_cwsandbox/h2/stream"): "one machine: frames come by way of one "
    "to the other, and bytes go back",
    ("_cwsandbox/grpc/call", "_cwsandbox/grpc/channel"): "a channel sends calls again, and calls "
    "come back to it",
    ("_cwsandbox/py/wait", "_cwsandbox/py/state"): "the state makes the locks of waiting threads",
    ("_cwsandbox/py/operation", "_cwsandbox/py/promise"): "an operation may be a promise",
}

# Third-party header -> places (path prefixes under src/) that may include it.
THIRD_PARTY = {
    "uv.h": ("_cwsandbox/io/", "cwsandboxd/", "cwsandbox-egress/"),
    "uv/": ("_cwsandbox/io/", "cwsandboxd/"),
    "nghttp2/": ("_cwsandbox/h2/",),
    "openssl/": ("_cwsandbox/io/tls", "cwsandbox-archive/main"),
    "archive.h": ("cwsandbox-archive/",),
    "archive_entry.h": ("cwsandbox-archive/",),
    "protobuf-c/": (
        "_cwsandbox/proto/",
        "_cwsandbox/sandbox/",
        "_cwsandbox/py/message",
        "cwsandboxd/",
    ),
    "sqlite3.h": ("cwsandboxd/store/database",),
    "Python.h": ("_cwsandbox/py/",),
    "structmember.h": ("_cwsandbox/py/",),
}


def system_include_fault(file: Path, header: str) -> str | None:
    place = str(file.relative_to("src"))
    for prefix, allowed in THIRD_PARTY.items():
        if header.startswith(prefix) and not place.startswith(allowed):
            return f"<{header}> is allowed only in {', '.join(allowed)}"
    return None


def core_include_fault(file: Path, header: str) -> str | None:
    inside = str(file.relative_to(CORE))
    layer = inside.partition("/")[0]
    target, slash, _ = header.partition("/")
    if not slash or not (ROOT / CORE / header).exists():
        return f'"{header}" is not written as "layer/file.h" of a file under {CORE}'
    if target == "proto":
        allowed = inside.startswith(PROTO_USERS)
        return None if allowed else f'"{header}": proto is open to {", ".join(PROTO_USERS)} only'
    if layer in ("proto", "archive"):
        allowed = target in ("base", layer)
        return None if allowed else f'"{header}": {layer} may include only base and itself'
    if LAYERS.index(target) > LAYERS.index(layer):
        return f'"{header}": {layer} may not know {target}'
    return None


def daemon_include_fault(file: Path, header: str) -> str | None:
    if header in PROTOCOLS or (ROOT / CORE / header).exists():
        allowed = header in PROTOCOLS or header.partition("/")[0] in DAEMON_CORE
        return None if allowed else f'"{header}": the daemon may use only {sorted(DAEMON_CORE)}'
    if not (ROOT / DAEMON / header).exists():
        return f'"{header}" is not written as "floor/file.h" of a file under {DAEMON}'
    inside = file.relative_to(DAEMON).parts
    if len(inside) == 1:
        return None
    floor, target = inside[0], header.partition("/")[0]
    if target not in DAEMON_FLOORS or DAEMON_FLOORS.index(target) > DAEMON_FLOORS.index(floor):
        return f'"{header}": {floor} stands below it'
    return None


def program_include_fault(program: Path, header: str) -> str | None:
    if (ROOT / program / header).exists():
        return None
    if program == EGRESS and header.startswith("base/"):
        return None
    if header.startswith(f"{CONFINE.name}/") and (ROOT / "src" / header).exists():
        return None
    return f'"{header}": {program.name} stands alone'


def include_fault(file: Path, quoted: str | None, system: str | None) -> str | None:
    if quoted is None:
        assert system is not None
        return system_include_fault(file, system)
    if file.is_relative_to(CORE):
        return core_include_fault(file, quoted)
    if file.is_relative_to(DAEMON):
        return daemon_include_fault(file, quoted)
    if file.is_relative_to(CONFINE):
        return f'"{quoted}": {CONFINE.name} includes none of our headers'
    program = next(program for program in PROGRAMS if file.is_relative_to(program))
    return program_include_fault(program, quoted)


def includes(file: Path) -> Iterator[tuple[int, str | None, str | None]]:
    """Line number, and the name between quotes or angle brackets, of each #include."""
    for number, line in enumerate((ROOT / file).read_text().splitlines(), 1):
        if match := INCLUDE.match(line):
            yield number, match[1], match[2]


def faults(file: Path) -> Iterator[str]:
    for number, quoted, system in includes(file):
        if fault := include_fault(file, quoted, system):
            yield f"{file}:{number}: {fault}"


def unknown_folder(file: Path) -> str | None:
    for home, folders in ((CORE, [*LAYERS, "proto"]), (DAEMON, DAEMON_FLOORS)):
        if not file.is_relative_to(home):
            continue
        inside = file.relative_to(home).parts
        if len(inside) == 1 and home == CORE:
            return f"{file}: a file of the core lies in one of {', '.join(folders)}"
        if len(inside) > 1 and inside[0] not in folders:
            return f"{file}: {inside[0]} is no floor; there are {', '.join(folders)}"
    return None


def room_of(file: Path) -> str:
    return str(file.with_suffix("")).removesuffix("_private")


def circle(files: list[Path]) -> list[str]:
    """One offence if files include each other in a loop, one for each pair of CIRCLES that is none."""
    rooms: dict[str, set[str]] = {}
    for file in files:
        room = room_of(file)
        home = file.parent if any(file.is_relative_to(program) for program in PROGRAMS) else None
        for _, quoted, _ in includes(file):
            if quoted is None:
                continue
            for folder in (home, DAEMON, CORE, Path("src")):
                if folder is not None and (ROOT / folder / quoted).exists():
                    rooms.setdefault(room, set()).add(room_of(folder / quoted))
                    break
    return circle_faults(rooms, ((f"src/{one}", f"src/{other}") for one, other in CIRCLES))


def main() -> int:
    files = [p.relative_to(ROOT) for p in sorted((ROOT / "src").rglob("*.[ch]"))]
    if not files:
        print("check_layers: no C files found", file=sys.stderr)
        return 1
    found = [fault for file in files if (fault := unknown_folder(file))]
    if not found:
        found = [fault for file in files for fault in faults(file)] + circle(files)
    modules, found_in_python = layers_python.faults(ROOT / "python")
    found += found_in_python
    print(
        "\n".join(found)
        or f"layers: {len(files)} C files and {modules} modules, every arrow points the right way"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
