"""The code blocks of the documents, and who runs them.

Every block with a language is run by a test, which gets it from `blocks()`, or has a line above it that says why not:

    <!-- not run: it needs a cluster -->

`text` is for what cannot be run, such as output; a directive of the site (`{toctree}`) is no code.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"\s*(```+|~~~+)(.*)")
MARK = re.compile(r"<!-- not run: \S.* -->")


@dataclass(frozen=True)
class Block:
    line: int
    language: str
    text: str
    is_marked: bool

    @property
    def lines(self) -> range:
        """Their numbers, those of the fences among them."""
        return range(self.line, self.line + self.text.count("\n") + 2)

    @property
    def is_code(self) -> bool:
        return self.language != "text" and not self.language.startswith("{")


def blocks_of(text: str) -> Iterator[Block]:
    """Those of one page, in order. One that is not closed goes on to the end."""
    fence, language, start, before = "", "", 0, ""
    lines: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        found = FENCE.match(line)
        if fence:
            if found and found[1].startswith(fence) and not found[2].strip():
                yield Block(start, language, "".join(lines), bool(MARK.fullmatch(before)))
                fence, before = "", ""
            else:
                lines.append(f"{line}\n")
        elif found:
            fence, language, start, lines = found[1], found[2].strip(), number, []
        else:
            before = line.strip() or before
    if fence:
        yield Block(start, language, "".join(lines), bool(MARK.fullmatch(before)))


def blocks(page: str, language: str = "python", *, count: int) -> list[str]:
    """For a test, which is to run all of them: a page's blocks in a language, by its path from the project's root.

    `count` is how many there are. `make lint` compares it with the page, so no block is added without its test.
    """
    found = [
        block.text
        for block in blocks_of((ROOT / page).read_text())
        if block.language == language and not block.is_marked
    ]
    if len(found) != count:
        raise ValueError(f"{page} has {len(found)} blocks of {language} to run, not {count}")
    return found


Claims = Counter[tuple[str, str]]
"""(Page, language) -> number of blocks that tests run."""


def claims_of(source: str) -> Claims:
    """What a test's source gets from `blocks()`."""
    found: Claims = Counter()
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "blocks"
        ):
            page, *rest = [ast.literal_eval(one) for one in node.args]
            count = {one.arg: ast.literal_eval(one.value) for one in node.keywords}["count"]
            found[page, rest[0] if rest else "python"] += count
    return found


def unnamed(page: str, text: str) -> Iterator[str]:
    for block in blocks_of(text):
        if not block.language:
            yield f"{page}:{block.line}: a code block without a language; `text` is for output"


def unrun(pages: Iterable[tuple[str, str]], claims: Claims) -> Iterator[str]:
    """What no test runs, and what tests name and pages do not have."""
    left = Counter(claims)
    for page, text in pages:
        yield from unnamed(page, text)
        code = [block for block in blocks_of(text) if block.is_code and not block.is_marked]
        for language, count in Counter(block.language for block in code if block.language).items():
            run = left.pop((page, language), 0)
            if run != count:
                first = next(block.line for block in code if block.language == language)
                yield (
                    f"{page}:{first}: {count} blocks of {language}, of which tests run {run}; "
                    "see tools/code_blocks.py"
                )
    for (page, language), count in left.items():
        yield f"{page}: tests run {count} blocks of {language} that it does not have"


def faults(paths: Iterable[Path]) -> Iterator[str]:
    claims: Claims = Counter()
    for test in sorted((ROOT / "tests").rglob("test_*.py")):
        source = test.read_text()
        if "code_blocks import" in source:
            claims += claims_of(source)
    yield from unrun(((str(path.relative_to(ROOT)), path.read_text()) for path in paths), claims)
