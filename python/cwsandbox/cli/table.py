"""Lists on stdout: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import click

_T = TypeVar("_T")


@dataclass(frozen=True)
class Column:
    """A column. Longer cells are printed whole."""

    title: str
    width: int
    is_number: bool = False  # to the right

    def padded(self, text: str) -> str:
        return f"{text:>{self.width}}" if self.is_number else f"{text:<{self.width}}"


@dataclass(frozen=True)
class Table(Generic[_T]):
    """What a command prints of things of one kind."""

    kind: str  # in the plural
    columns: Sequence[Column]
    cells: Callable[[_T], Sequence[str]]
    keys: Callable[[_T], Mapping[str, Any]]  # in JSON

    def print_all(self, found: Sequence[_T], output_format: str) -> None:
        if output_format == "json":
            click.echo(json.dumps([self.keys(one) for one in found], indent=2))
        elif not found:
            click.echo(f"No {self.kind} found.")
        else:
            self._print_lines(found)

    def print_one(self, one: _T, output_format: str) -> None:
        if output_format == "json":
            click.echo(json.dumps(self.keys(one), indent=2))
        else:
            self._print_lines([one])

    def _print_lines(self, found: Sequence[_T]) -> None:
        self._print_line([column.title for column in self.columns])
        self._print_line(["-" * column.width for column in self.columns])
        for one in found:
            self._print_line(self.cells(one))

    def _print_line(self, cells: Sequence[str]) -> None:
        padded = [column.padded(cell) for column, cell in zip(self.columns, cells, strict=True)]
        click.echo(" ".join(padded).rstrip(" "))
