"""Fails for a function of more than 60 lines, a file of more than 600 or an adapter of more than 249.

Generated files do not count.

A C function is what lies between a `{` and a `}` that both stand in the first column (as our style puts them), a
Python function what comes after its signature and docstring.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAX_FUNCTION = 60
MAX_FILE = 600
MAX_ADAPTER = 249
ADAPTERS = Path("python/cwsandbox/integrations")
FOLDERS = ("src", "python", "tests", "tools", "examples", "benchmarks")


def c_functions(lines: list[str]) -> Iterator[tuple[int, int]]:
    """First and last line number of each top-level braced body that is a function's."""
    start = 0
    for number, line in enumerate(lines, 1):
        if line.rstrip() == "{":
            start = number
        elif start and line.rstrip() == "}":
            yield start, number
            start = 0


def python_functions(source: str) -> Iterator[tuple[int, int]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if body:
                yield body[0].lineno, node.end_lineno or body[0].lineno


def faults(path: Path) -> Iterator[str]:
    name = path.relative_to(ROOT)
    source = path.read_text()
    lines = source.splitlines()
    allowed = MAX_ADAPTER if name.parent == ADAPTERS else MAX_FILE
    if len(lines) > allowed:
        yield f"{name}: {len(lines)} lines, at most {allowed} are allowed"
    functions = python_functions(source) if path.suffix in {".py", ".pyi"} else c_functions(lines)
    for first, last in functions:
        if last - first + 1 > MAX_FUNCTION:
            yield f"{name}:{first}: a function of {last - first + 1} lines, at most {MAX_FUNCTION}"


def is_ours(path: Path) -> bool:
    return path.suffix in {".c", ".h", ".py", ".pyi"} and ".pb-c." not in path.name


def main() -> int:
    paths = [p for f in FOLDERS for p in sorted((ROOT / f).rglob("*")) if is_ours(p)]
    if not paths:
        print("check_sizes: no files found", file=sys.stderr)
        return 1
    found = [fault for path in paths for fault in faults(path)]
    print(
        "\n".join(found) or f"sizes: {len(paths)} files within {MAX_FILE} and {MAX_FUNCTION} lines"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
