"""Holds every #include against the layer rule: a file may include its own folder and those to its left.

    base -> io -> h2 -> grpc -> sandbox -> py

`proto/` (generated) is open to sandbox, py/message*.[ch] and the daemon; the daemon may use base, io, h2, grpc and
proto; cwsandbox-init stands alone but for the header of the protocol between the two. Each third-party
header is allowed in one place. Exit code 1 and one line per offence.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORE = Path("src/_cwsandbox")
DAEMON = Path("src/cwsandboxd")
INIT = Path("src/cwsandbox-init")
LAYERS = ["base", "io", "h2", "grpc", "sandbox", "py"]
DAEMON_LAYERS = {"base", "io", "h2", "grpc", "proto"}
PROTO_USERS = ("sandbox/", "proto/", "py/message")
# The one header that both ends of the socket into a sandbox share.
SHARED_WITH_INIT = "init_protocol.h"
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')

# Third-party header -> places (path prefixes under src/) that may include it.
THIRD_PARTY = {
    "uv.h": ("_cwsandbox/io/", "cwsandboxd/"),
    "uv/": ("_cwsandbox/io/", "cwsandboxd/"),
    "nghttp2/": ("_cwsandbox/h2/",),
    "openssl/": ("_cwsandbox/io/tls",),
    "protobuf-c/": (
        "_cwsandbox/proto/",
        "_cwsandbox/sandbox/",
        "_cwsandbox/py/message",
        "cwsandboxd/",
    ),
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
    if layer == "proto":
        return None if target == "base" else f'"{header}": proto may include only base and itself'
    if LAYERS.index(target) > LAYERS.index(layer):
        return f'"{header}": {layer} may not know {target}'
    return None


def daemon_include_fault(header: str) -> str | None:
    target, slash, _ = header.partition("/")
    if not slash:
        return None if (ROOT / DAEMON / header).exists() else f'"{header}" is not in {DAEMON}'
    if target not in DAEMON_LAYERS:
        return f'"{header}": the daemon may use only {", ".join(sorted(DAEMON_LAYERS))}'
    return None


def init_include_fault(header: str) -> str | None:
    if header == SHARED_WITH_INIT or (ROOT / INIT / header).exists():
        return None
    return f'"{header}": cwsandbox-init stands alone (but for {SHARED_WITH_INIT})'


def include_fault(file: Path, quoted: str | None, system: str | None) -> str | None:
    if quoted is None:
        assert system is not None
        return system_include_fault(file, system)
    if file.is_relative_to(CORE):
        return core_include_fault(file, quoted)
    if file.is_relative_to(DAEMON):
        return daemon_include_fault(quoted)
    return init_include_fault(quoted)


def faults(file: Path) -> Iterator[str]:
    for number, line in enumerate((ROOT / file).read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if match and (fault := include_fault(file, match[1], match[2])):
            yield f"{file}:{number}: {fault}"


def unknown_folder(file: Path) -> str | None:
    if file.is_relative_to(CORE):
        layer = file.relative_to(CORE).parts[0]
        if layer not in {*LAYERS, "proto"}:
            return f"{file}: {layer} is no layer; there are {', '.join(LAYERS)} and proto"
    return None


def main() -> int:
    files = [p.relative_to(ROOT) for p in sorted((ROOT / "src").rglob("*.[ch]"))]
    if not files:
        print("check_layers: no C files found", file=sys.stderr)
        return 1
    found = [fault for file in files if (fault := unknown_folder(file))]
    if not found:
        found = [fault for file in files for fault in faults(file)]
    print("\n".join(found) or f"layers: {len(files)} files, every include points the right way")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
