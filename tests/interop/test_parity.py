"""Every public name of the published SDK, by introspection: the same here, but for what `differences.toml` lists.

The list says why. An entry for what does not differ (any more) is a failure as well, so it only gets shorter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from functools import cached_property
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "scripts" / "surface.py"
LISTED = Path(__file__).parent / "differences.toml"

Difference = tuple[str | None, str | None]


class Surface:
    """What `surface.py` says of one package, by path."""

    def __init__(self, facts: dict[str, str]) -> None:
        self.facts = facts

    @classmethod
    def of(cls, python: str | Path) -> Surface:
        env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        done = subprocess.run(
            [python, SCRIPT], capture_output=True, text=True, timeout=50, env=env, cwd="/"
        )
        assert done.returncode == 0, done.stderr
        return cls(json.loads(done.stdout))

    def bases(self, name: str) -> list[str]:
        """Those of a class that are public themselves."""
        named = self.facts.get(f"{name}:bases", "").split(", ")
        return [base for base in named if base in self.facts]

    def above(self, path: str) -> list[str]:
        """The same member of the base classes, nearest first."""
        name, dot, member = path.partition(".")
        if not dot or path.startswith(("= ", "$ ")):
            return []
        found = [f"{base}.{member}" for base in self.bases(name)]
        return found + [further for one in found for further in self.above(one)]

    def get(self, path: str) -> str | None:
        """What is there, in the class itself or inherited."""
        return next(
            (self.facts[one] for one in (path, *self.above(path)) if one in self.facts), None
        )


def owners(path: str) -> list[str]:
    """What a fact is about: the callable of a parameter, the class of a member."""
    if path.startswith("$ "):  # an option of a command of a group
        words = path.split(" ")
        return [" ".join(words[:at]) for at in range(2, len(words))]
    if path.startswith("= "):  # a value: what is told of it follows from what it looks like
        return [path.removesuffix(":compared")] if path.endswith(":compared") else []
    plain = path.partition(":")[0]
    member = plain.partition("(")[0]
    parts = member.split(".")
    return [
        one
        for one in (plain, member, *(".".join(parts[:at]) for at in range(1, len(parts))))
        if one != path
    ]


class Comparison:
    def __init__(self, published: Surface, own: Surface) -> None:
        self.published = published
        self.own = own

    def compare(self, path: str) -> Difference | None:
        one, other = self.published.get(path), self.own.get(path)
        return None if one == other else (one, other)

    def is_told_elsewhere(self, path: str, difference: Difference) -> bool:
        """Whether it follows from a difference in what it belongs to, or in a base class."""
        missing = any(self.compare(owner) for owner in owners(path))
        inherited = {*self.published.above(path), *self.own.above(path)}
        return missing or any(self.compare(one) == difference for one in inherited)

    @cached_property
    def differences(self) -> dict[str, Difference]:
        found = {}
        for path in sorted({*self.published.facts, *self.own.facts}):
            difference = self.compare(path)
            if difference is not None and not self.is_told_elsewhere(path, difference):
                found[path] = difference
        return found


@pytest.fixture(scope="module")
def comparison(published: Path) -> Comparison:
    return Comparison(Surface.of(published), Surface.of(sys.executable))


def listed() -> dict[str, str]:
    """Path -> reason."""
    found: dict[str, str] = {}
    for entry in tomllib.loads(LISTED.read_text())["difference"]:
        for path in entry["paths"]:
            assert path not in found, f"{path} is listed twice"
            found[path] = entry["reason"]
    return found


def test_every_entry_has_a_reason() -> None:
    assert all(len(reason) > 20 for reason in listed().values())


def test_nothing_differs_but_what_is_listed(comparison: Comparison) -> None:
    unlisted = [
        f"{path}: published {one!r}, here {other!r}"
        for path, (one, other) in comparison.differences.items()
        if path not in listed()
    ]
    assert unlisted == []


def test_everything_listed_differs(comparison: Comparison) -> None:
    assert sorted(listed().keys() - comparison.differences.keys()) == []


def test_the_walk_sees_what_it_should(comparison: Comparison) -> None:
    facts = comparison.published.facts
    assert facts["Sandbox.exec(timeout_seconds)"] == "KEYWORD_ONLY = None"
    assert facts["Sandbox.run"] == "classmethod"
    assert facts["Sandbox.status"] == "property"
    assert facts["Secret:dataclass"] == "frozen=True order=False"
    assert facts["Secret.env_var"].startswith("field, keyword")
    assert facts["SandboxFailedError:bases"] == "SandboxError"
    assert facts["SandboxFailedError.status_reason:raised"] == "None"
    assert "RUNNING='running'" in facts["SandboxStatus:members"]
    assert facts['= Secret(store="s", name="n")'].startswith("Secret(store='s'")
    assert facts['= Secret(store="s", name="n"):compared'] == "equal=True same hash=True"
    assert facts['= Secret(store="", name="n")'] == "raises ValueError"
    assert facts["$ cwsandbox ls"] == "command"
    assert facts["$ cwsandbox ls --output, -o"].startswith("choice table json")
    assert facts["$ cwsandbox --auth"].endswith("envvar=CWSANDBOX_AUTH")
    assert len(facts) > 2000


@pytest.mark.parametrize(
    ("published", "own", "found"),
    [
        ({"A": "class"}, {}, ["A"]),
        ({"A": "class", "A.m": "method", "A.m(x)": "K"}, {}, ["A"]),
        ({"A": "class", "A.m": "method", "A.m(x)": "K"}, {"A": "class"}, ["A.m"]),
        ({"f": "function", "f(x)": "K"}, {"f": "function", "f(x)": "K = 1"}, ["f(x)"]),
        ({"$ c": "group", "$ c a": "command", "$ c a -x": "flag"}, {"$ c": "group"}, ["$ c a"]),
        ({"$ c a": "command", "$ c a -x, -y": "flag"}, {"$ c a": "command"}, ["$ c a -x, -y"]),
        ({"f": "function"}, {"f": "function", "f(x)": "K"}, ["f(x)"]),
        (
            {"A": "class", "B": "class", "B:bases": "A", "B.m": "method"},
            {"A": "class", "B": "class", "B:bases": "A", "A.m": "method"},
            ["A.m"],
        ),
        (
            {"A": "class", "B": "class", "B:bases": "A"},
            {"A": "class", "B": "class", "B:bases": "A", "A.m": "x", "B.m": "x"},
            ["A.m"],
        ),
    ],
)
def test_what_counts_as_a_difference(
    published: dict[str, str], own: dict[str, str], found: list[str]
) -> None:
    assert list(Comparison(Surface(published), Surface(own)).differences) == found
