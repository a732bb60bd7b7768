"""The public names and signatures against the published ones, and against what a type checker sees.

`data/api-1.22.json` lists every public name of release 1.22 of the published SDK with its parameters. What is not there
yet is named here, so that nothing is missing by accident, and the list only gets shorter.
"""

from __future__ import annotations

import ast
import inspect
import json
import pickle
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

import cwsandbox

API = json.loads((Path(__file__).parent / "data" / "api-1.22.json").read_text())

LATER_NAMES: set[str] = set()

LATER_MEMBERS: set[str] = set()

LATER_PARAMETERS: dict[str, set[str]] = {}

# Names of our own, beside the published ones.
OWN_NAMES = {"SandboxTransferError", "Serialization", "TransferResult"} | {
    "Batch",
    "BatchError",
    "Job",
    "Limits",
    "Outcome",
    "Retry",
    "SandboxPool",
    "Summary",
    "Verdict",
    "batch",
    "instrument",
    "uninstrument",
}

# Keywords of our own, behind the published ones.
OWN_PARAMETERS = {
    "ProcessResult": {"stdout_omitted_bytes", "stderr_omitted_bytes", "output_captured"},
    "Sandbox.exec": {"env", "capture_output", "max_output_bytes"},
    "Sandbox.shell": {"cwd", "env", "timeout_seconds"},
    "RemoteFunction": {"serialization"},
    "Session.function": {"serialization"},
}


def published_names() -> set[str]:
    groups = ("callables", "attributes", "fields", "enums", "exceptions")
    return {name.partition(".")[0] for group in groups for name in API[group]}


def members_of(group: str) -> list[str]:
    """Published `Class.member` names whose class is here."""
    return [
        name
        for name in API[group]
        if "." in name and name.partition(".")[0] not in LATER_NAMES and name not in LATER_MEMBERS
    ]


def resolve(name: str) -> Any:
    found: Any = cwsandbox
    for part in name.split("."):
        found = getattr(found, part)
    return found


def test_names() -> None:
    assert published_names() - set(cwsandbox.__all__) == LATER_NAMES
    assert set(cwsandbox.__all__) - published_names() == OWN_NAMES
    assert len(published_names()) == 121


def test_all_is_sorted_and_importable() -> None:
    assert cwsandbox.__all__ == sorted(set(cwsandbox.__all__))
    for name in cwsandbox.__all__:
        assert getattr(cwsandbox, name) is not None
    assert set(cwsandbox.__all__) <= set(dir(cwsandbox))


def test_what_a_type_checker_sees_is_what_there_is() -> None:
    source = ast.parse(Path(str(cwsandbox.__file__)).read_text())
    (guarded,) = [
        node
        for node in source.body
        if isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    ]
    seen: set[str] = set()
    for node in guarded.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                module = __import__(str(node.module), fromlist=[alias.name])
                assert getattr(cwsandbox, alias.name) is getattr(module, alias.name)
                seen.add(alias.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            seen.add(node.target.id)
    assert seen == set(cwsandbox.__all__)


def test_unknown_names() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = cwsandbox.nothing  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="nothing"):
        _ = cwsandbox._types.nothing  # type: ignore[attr-defined]


def test_private_paths_that_programs_and_pickles_use() -> None:
    from cwsandbox import _defaults, _types

    assert _defaults.SandboxDefaults is cwsandbox.SandboxDefaults
    assert cwsandbox.SandboxDefaults().base_url == _defaults.DEFAULT_BASE_URL
    assert _types.ProcessResult is cwsandbox.ProcessResult
    assert pickle.loads(b"ccwsandbox._defaults\nSandboxDefaults\n.") is cwsandbox.SandboxDefaults
    for value in (cwsandbox.SandboxDefaults(tags=("a",)), cwsandbox.Secret(store="s", name="n")):
        assert pickle.loads(pickle.dumps(value)) == value


# ---- signatures ----

# Required there: what a stream that is made by hand is waited for with.
OPTIONAL_HERE = {("StreamReader", "loop_manager"), ("StreamWriter", "loop_manager")}

CALLABLES = [name for name in API["callables"] if "." not in name and name not in LATER_NAMES]


def check(name: str, parameters: list[list[str | None]]) -> None:
    target = resolve(name)
    actual = [
        parameter
        for parameter in inspect.signature(target).parameters.values()
        if parameter.name not in ("self", "cls")
    ]
    own = OWN_PARAMETERS.get(name, set())
    assert own <= {parameter.name for parameter in actual if parameter.kind.name == "KEYWORD_ONLY"}
    actual = [parameter for parameter in actual if parameter.name not in own]
    left_out = LATER_PARAMETERS.get(name, set())
    expected = [parameter for parameter in parameters if parameter[0] not in left_out]
    assert [[p.name, p.kind.name, p.default is not p.empty] for p in actual] == [
        [own_name, kind, default is not None or (name, own_name) in OPTIONAL_HERE]
        for own_name, kind, default in expected
    ]
    for parameter, (_, _, default) in zip(actual, expected, strict=True):
        if default is None:
            continue
        try:
            value = ast.literal_eval(default)
        except ValueError:
            continue
        assert parameter.default == value, parameter.name


@pytest.mark.parametrize("name", CALLABLES)
def test_parameters(name: str) -> None:
    if name == "AuthProvider":
        assert getattr(resolve(name), "_is_protocol", False)
    elif name == "OperationRef":
        assert resolve(name)(Future())
    else:
        check(name, API["callables"][name]["parameters"])


@pytest.mark.parametrize("name", members_of("callables"))
def test_member_parameters(name: str) -> None:
    published = API["callables"][name]
    owner, _, member = name.rpartition(".")
    on_class = inspect.getattr_static(resolve(owner), member)
    assert isinstance(on_class, classmethod) == (published["kind"] == "classmethod")
    try:
        inspect.signature(resolve(name))
    except ValueError:  # a slot of a native type tells nothing but that it is there
        assert callable(resolve(name))
        return
    if member in ("__await__", "__exit__", "__aexit__", "__del__") or owner in ("Session",):
        assert callable(resolve(name))
        return
    check(name, published["parameters"])


@pytest.mark.parametrize("name", members_of("attributes"))
def test_attributes(name: str) -> None:
    owner, _, member = name.rpartition(".")
    # Those that only objects have are declared in the class.
    assert member in vars(resolve(owner)).get("__annotations__", ()) or resolve(name) is not None


@pytest.mark.parametrize("name", sorted(set(API["fields"]) - LATER_NAMES))
def test_fields(name: str) -> None:
    fields = [field.name for field in resolve(name).__dataclass_fields__.values()]
    own = OWN_PARAMETERS.get(name, set())
    assert [field for field in fields if field not in own] == API["fields"][name]


@pytest.mark.parametrize("name", sorted(set(API["enums"]) - LATER_NAMES))
def test_enums(name: str) -> None:
    expected = {
        key: value
        for key, value in API["enums"][name].items()
        if f"{name}.{key}" not in LATER_MEMBERS
    }
    assert {member.name: member.value for member in resolve(name)} == expected


@pytest.mark.parametrize("name", API["exceptions"])
def test_exceptions(name: str) -> None:
    bases = [base for base in resolve(name).__bases__ if not base.__name__.startswith("_")]
    published = API["exceptions"][name]
    if resolve(name).__bases__[0].__name__.startswith("_"):
        bases = list(resolve(name).__bases__[0].__bases__)
    assert [base.__name__ for base in bases] == published["bases"]
    check(name, published["parameters"])


def test_exception_attributes() -> None:
    for name in API["exception_attributes"]:
        owner, _, attribute = name.partition(".")
        arguments = {"runner_id": "r"} if owner == "RunnerNotFoundError" else {}
        assert hasattr(resolve(owner)("text", **arguments), attribute), name


def test_what_is_left_for_later_is_really_not_there() -> None:
    for name in LATER_MEMBERS:
        owner, _, member = name.partition(".")
        assert not hasattr(resolve(owner), member), name
    for name, parameters in LATER_PARAMETERS.items():
        assert not parameters & set(inspect.signature(resolve(name)).parameters), name
