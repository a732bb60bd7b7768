"""The checker of the Python floors, on small trees: it sees each kind of offence, and none where there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"

Check = Callable[..., list[str]]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Writes files into a package, by path and source, and gives the offences found in it."""
    monkeypatch.syspath_prepend(str(TOOLS))
    import layers_python

    package = tmp_path / "python" / "cwsandbox"

    def check(files: dict[str, str], excepted: dict[tuple[str, str], str] | None = None) -> Any:
        for name, source in files.items():
            path = package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        count, found = layers_python.faults(tmp_path / "python", excepted or {})
        assert count == len(files)
        return found

    yield check
    for name in ("layers_python", "circles"):
        sys.modules.pop(name, None)


GOOD = {
    "__init__.py": "from cwsandbox._sandbox.sandbox import Sandbox\n",
    "exceptions.py": "from cwsandbox._types.result import Result\n",
    "_cwsandbox.pyi": "class Core: ...\n",
    "_types/__init__.py": "",
    "_types/result.py": "import os\nfrom cwsandbox._cwsandbox import Core\n",
    "_service/__init__.py": "",
    "_service/client.py": "from cwsandbox import _cwsandbox, exceptions\n",
    "_service/auth.py": "from . import client\nfrom .._types import result\n",
    "_sandbox/__init__.py": "",
    "_sandbox/sandbox.py": "from cwsandbox._service.client import Client\n",
}


def test_a_tree_in_order(check: Check) -> None:
    assert check(GOOD) == []


@pytest.mark.parametrize(
    ("name", "source", "target"),
    [
        ("_types/result.py", "from cwsandbox._service.client import Client", "_service.client"),
        ("_types/result.py", "import cwsandbox._service.client", "_service.client"),
        ("_types/result.py", "from cwsandbox import exceptions", "exceptions"),
        ("_types/result.py", "from ..exceptions import Error", "exceptions"),
        ("_service/client.py", "from cwsandbox import Sandbox", ""),
        ("_service/client.py", "import cwsandbox", ""),
        ("_service/client.py", "from .. import Sandbox", ""),
        (
            "_service/client.py",
            "def f():\n    from cwsandbox._sandbox import sandbox",
            "_sandbox.sandbox",
        ),
        (
            "_service/client.py",
            "if TYPE_CHECKING:\n    from cwsandbox._sandbox.sandbox import Sandbox",
            "_sandbox.sandbox",
        ),
        ("_cwsandbox.pyi", "from cwsandbox._runtime.life import Life", "_runtime.life"),
    ],
)
def test_an_import_that_points_up(check: Check, name: str, source: str, target: str) -> None:
    extra = {"_runtime/__init__.py": "", "_runtime/life.py": ""}
    line = len(source.splitlines())
    above = f"cwsandbox.{target}".rstrip(".")
    module = name.rpartition(".")[0].replace("/", ".")
    found = check({**GOOD, **extra, name: source})
    assert found[0] == f"python/cwsandbox/{name}:{line}: {above} stands above {module}"


def test_a_folder_that_is_no_floor(check: Check) -> None:
    assert check({**GOOD, "_attic/box.py": ""}) == [
        "python/cwsandbox/_attic: is on no floor of tools/layers_python.py"
    ]


def test_a_circle_on_one_floor(check: Check) -> None:
    files = {
        **GOOD,
        "_service/client.py": "from cwsandbox._service import rpc",
        "_service/rpc.py": "def f():\n    from cwsandbox._service.retry import g",
        "_service/retry.py": "import cwsandbox._service.client",
    }
    (found,) = check(files)
    assert found.startswith("circle: _service.")
    assert {"_service.client", "_service.rpc", "_service.retry"} <= set(found[8:].split(" -> "))


def test_a_circle_with_a_reason(check: Check) -> None:
    files = {
        **GOOD,
        "_service/client.py": "from cwsandbox._service import auth",
    }
    pair = ("_service.client", "_service.auth")
    assert len(check(files)) == 1
    assert check(files, {pair: "told"}) == []
    assert check(GOOD, {pair: "told"}) == [
        "_service.client and _service.auth are no circle: take them off CIRCLES"
    ]
