"""What must not be copied or pickled says so, and what to do instead."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cwsandbox
from cwsandbox import Job, Sandbox, SandboxPool, Session

NOWHERE = "http://127.0.0.1:1"


def function() -> None:
    return None


MAKERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "sandbox": (lambda _: Sandbox(base_url=NOWHERE), "from_id"),
    "session": (lambda _: Session(), "make another"),
    "function": (lambda _: Session().function()(function), "plain function"),
    "pool": (lambda _: SandboxPool(), "make another"),
    "lease": (lambda _: SandboxPool().acquire(), "acquire"),
    "batch": (lambda folder: cwsandbox.batch([Job("a", ["x"])], store=folder / "s"), r"batch\(\)"),
}


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("name", MAKERS)
def test_refused(duplicate: Callable[[Any], Any], name: str, tmp_path: Path) -> None:
    make, instead = MAKERS[name]
    with pytest.raises(TypeError, match=f"cannot be copied or pickled: .*{instead}"):
        duplicate(make(tmp_path))
