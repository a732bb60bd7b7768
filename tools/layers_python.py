"""Holds every import inside of python/cwsandbox against its floors. Called by check_layers.py.

A file may import from its own floor and those below it. Imports for a type checker count as any other: to name a thing
is to know it. No two files may import each other, not even in a longer circle, but for the pairs in CIRCLES.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from circles import circle_faults

PACKAGE = "cwsandbox"
# From the ground up. On a floor are folders, and those files of the root that have a place of their own; "" is the
# package itself, which programs import, as the command line does. Other files of the root stand above all.
FLOORS = [
    {"_version"},
    {"_types", "_cwsandbox"},
    {"exceptions"},
    {"_archive", "_relay"},
    {"_runtime"},
    {"_service"},
    {"_messages"},
    {"_lifecycle"},
    {"_sandbox", "_session", "_resources"},
    {"_batch", "_telemetry"},
    {""},
    {"testing", "integrations"},
    {"cli", "pytest_plugin"},
    {"__main__"},
]
ROOT_FLOOR = len(FLOORS)

# Pairs of modules that may import each other all the same, and why.
CIRCLES: dict[tuple[str, str], str] = {
    ("_types.result", "_cwsandbox"): "a result takes its text from the core's output, "
    "and the core's operations give results",
    (
        "_sandbox.sandbox",
        "_session.session",
    ): "a session makes sandboxes, and Sandbox.session() makes sessions",
    (
        "_session.function",
        "_session.session",
    ): "a session makes remote functions, and each knows its session",
}

# The line, and the module without the package's name; "" is the package itself.
Import = tuple[int, str]


def module_of(file: Path) -> str:
    """The name of a file, given from the package's folder, without the package's."""
    return ".".join(file.with_suffix("").parts).removesuffix("__init__").rstrip(".")


def imports(source: str, module: str, modules: set[str]) -> Iterator[Import]:
    """What a file imports of the package, wherever in it the import stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first, _, rest = alias.name.partition(".")
                if first == PACKAGE:
                    yield node.lineno, rest
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, module, modules)
            if base is None:
                continue
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                yield node.lineno, inner if inner in modules else base


def _base(node: ast.ImportFrom, module: str, modules: set[str]) -> str | None:
    """The module behind "from … import", None when it is not the package's."""
    if node.level == 0:
        first, _, rest = (node.module or "").partition(".")
        return rest if first == PACKAGE else None
    parts = module.split(".") if module else []
    is_package = module == "" or any(other.startswith(f"{module}.") for other in modules)
    up = node.level - 1 if is_package else node.level
    return ".".join([*parts[: len(parts) - up], *(node.module or "").split(".")]).strip(".")


def floor_of(module: str) -> int:
    first = module.partition(".")[0]
    found = (number for number, floor in enumerate(FLOORS) if first in floor)
    return next(found, ROOT_FLOOR)


def unknown_folders(modules: set[str]) -> Iterator[str]:
    for folder in sorted({module.partition(".")[0] for module in modules if "." in module}):
        if floor_of(folder) == ROOT_FLOOR:
            yield f"python/{PACKAGE}/{folder}: is on no floor of tools/layers_python.py"


def upward(where: str, module: str, found: list[Import]) -> Iterator[str]:
    own = floor_of(module)
    for line, target in found:
        if floor_of(target) > own:
            name = f"{PACKAGE}.{target}".rstrip(".")
            yield f"{where}:{line}: {name} stands above {module}"


def faults(
    python: Path, excepted: Mapping[tuple[str, str], str] = CIRCLES
) -> tuple[int, list[str]]:
    """How many files there are in the package under a folder, and one line for each offence."""
    package = python / PACKAGE
    files = {
        module_of(path.relative_to(package)): path
        for suffix in ("py", "pyi")
        for path in sorted(package.rglob(f"*.{suffix}"))
    }
    modules = set(files)
    found = list(unknown_folders(modules))
    edges: dict[str, set[str]] = {}
    for module, path in sorted(files.items()):
        known = list(imports(path.read_text(), module, modules))
        where = str(path.relative_to(python.parent))
        found += upward(where, module, known)
        edges[module] = {target for _, target in known}
    return len(files), found + circle_faults(edges, excepted)
