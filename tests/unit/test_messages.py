"""What is said about wrong arguments: the value, the rule, and the way to do it right."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import FunctionType
from typing import Any

import pytest

import cwsandbox as cw
from cwsandbox import Sandbox, SandboxDefaults
from cwsandbox._types.single import Single

ROW = {"mount_path": "/a", "file_content": "x"}

CASES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    # Keys that there are not: those that there are.
    (
        lambda: Sandbox(resources={"cpu": "1", "memry": "1Gi"}),
        ValueError,
        "resources: unrecognized resource keys: memry; valid keys: cpu, gpu, memory",
    ),
    (
        lambda: Sandbox(resources={"memry": "1Gi"}),
        TypeError,
        "resources: unrecognized resources dict keys: memry; valid keys: cpu, memory, gpu or requests, limits, gpu",
    ),
    (
        lambda: Sandbox(resources={"requests": {"memry": "1Gi"}}),
        ValueError,
        "resources: unrecognized keys in requests: memry; valid keys: cpu, memory",
    ),
    (
        lambda: Sandbox(resources=cw.ResourceOptions(limits={"memry": "1Gi"})),
        ValueError,
        "resources: unrecognized keys in limits: memry; valid keys: cpu, memory",
    ),
    (
        lambda: Sandbox(resources={"cpu": "1", "gpu": {"kind": "A"}}),
        ValueError,
        "resources: unrecognized GPU keys: kind; valid keys: count, memory_gb, type",
    ),
    (
        lambda: Sandbox(secrets=[{"stor": "x"}]),
        TypeError,
        "secrets: unrecognized keys of Secret: stor; valid keys: env_var, field, name, store",
    ),
    (
        lambda: Sandbox(network={"egress": [{"cidr": {"cidr": "10.0.0.0/8", "exept": []}}]}),
        TypeError,
        "EgressRule.cidr: unrecognized keys of CidrBlock: exept; valid keys: cidr, except_cidrs",
    ),
    (
        lambda: Sandbox(volumes=[{"name": "v", "volume_id": "i", "mount": "/a"}]),
        TypeError,
        "volumes: unrecognized keys of DeclaredVolume: mount; valid keys: name, volume_id",
    ),
    (
        lambda: SandboxDefaults().with_overrides(tag=("a",)),
        TypeError,
        "SandboxDefaults has no field tag; its fields: annotations, args, auth, base_url, command, container_image,",
    ),
    # Keys that are missing.
    (
        lambda: Sandbox(containers=[{"name": "a"}]),
        TypeError,
        "containers: Container needs image; given: name",
    ),
    # Rows of files.
    (
        lambda: Sandbox(mounted_files=[ROW, {"path": "/a", "file_content": "x"}]),
        ValueError,
        "mounted_files[1] needs mount_path and file_content; given: file_content, path",
    ),
    (
        lambda: Sandbox(mounted_files=[ROW, 5]),
        TypeError,
        "mounted_files[1] must be a dict with mount_path and file_content, got 5",
    ),
    (
        lambda: Sandbox(mounted_files=[{**ROW, "mode": 0o755, "owner": 0}]),
        ValueError,
        "mounted_files[0] has 'mode', 'owner'; a file has mount_path, file_content and file_mode",
    ),
    (
        lambda: Sandbox(mounted_files=[{**ROW, "file_content": 5}]),
        TypeError,
        "mounted_files[0]: file_content must be bytes or str, got int",
    ),
    (
        lambda: Sandbox(mounted_files=[{**ROW, "mount_path": 5}]),
        TypeError,
        "mounted_files[0]: mount_path must be a str, got 5",
    ),
    (
        lambda: Sandbox(mounted_files=5),
        TypeError,
        "mounted_files must be a sequence of dicts, got 5",
    ),
    # Values in the place of operations.
    (
        lambda: cw.results([cw.OperationRef, 3]),
        TypeError,
        "refs[0] must be an OperationRef or Process, got <class 'cwsandbox.OperationRef'>",
    ),
    (lambda: cw.results(3), TypeError, "refs must be an OperationRef or a sequence of them, got 3"),
    (
        lambda: cw.wait([3]),
        TypeError,
        "waitables[0] must be a Sandbox, OperationRef or Process, got 3",
    ),
    (
        lambda: cw.wait(3),
        TypeError,
        "waitables must be a sequence of Sandbox, OperationRef or Process, got 3",
    ),
    # exec.
    (
        lambda: Sandbox().exec(["a"], container=5),
        TypeError,
        "container must be a str, got 5",
    ),
    (lambda: Sandbox().exec(["a"], cwd=5), TypeError, "cwd must be a str, got 5"),
    (lambda: Sandbox().exec(["a", 5]), TypeError, "command[1] must be a str, got 5"),
    (
        lambda: Sandbox().exec(["a", "\udc80"]),
        ValueError,
        "command[1] must not contain a lone surrogate, which UTF-8 cannot carry, got '\\udc80'",
    ),
    (
        lambda: Sandbox().exec(["a"], cwd="/\udc80"),
        ValueError,
        "cwd must not contain a lone surrogate, which UTF-8 cannot carry, got '/\\udc80'",
    ),
    (
        lambda: Sandbox().exec(["a"], env={"A": "\udc80"}),
        ValueError,
        "env['A'] must not contain a lone surrogate, which UTF-8 cannot carry",
    ),
    (
        lambda: Sandbox().exec(["a"], stdin=b"data"),
        TypeError,
        "stdin must be a bool, got b'data': pass stdin=True and write the input to process.stdin",
    ),
    (
        lambda: Sandbox().exec(["a"], stdin=io.StringIO),
        TypeError,
        "stdin must be a bool, got <class '_io.StringIO'>: pass stdin=True and write",
    ),
    (
        lambda: Sandbox().exec(["a"], timeout_seconds=10**400),
        ValueError,
        "timeout_seconds must be a number of seconds that a float can hold: use math.inf for no limit",
    ),
    (lambda: Sandbox().exec(5), TypeError, "command must be a sequence of strings, got 5"),
    # Keywords that there are not: under the name that the user knows.
    (lambda: Sandbox(imag="x"), TypeError, "Sandbox.__init__() got an unexpected keyword argument"),
    (lambda: Sandbox.run(imag="x"), TypeError, "Sandbox.run() got an unexpected keyword argument"),
    (lambda: Sandbox.list(tag=[]), TypeError, "Sandbox.list() got an unexpected keyword argument"),
    (lambda: Sandbox().start(1), TypeError, "Sandbox.start() takes 1 positional argument but 2"),
    # One voice.
    (lambda: Sandbox(base_url=5), TypeError, "base_url must be a str, got 5"),
    (lambda: Sandbox(working_dir=5), TypeError, "working_dir must be a str, got 5"),
    (lambda: cw.EndpointShareToken(5), TypeError, "EndpointShareToken must be a str, got int"),
    (lambda: Sandbox.from_id(5), TypeError, "sandbox_id must be a str, got 5"),
    (lambda: Sandbox(services=[5]), TypeError, "services must be Service or dict, got 5"),
    (
        lambda: SandboxDefaults.from_dict({"services": 5}),
        TypeError,
        "services must be a sequence of Service or dict, got 5",
    ),
]


@pytest.mark.parametrize(("call", "error", "text"), CASES, ids=[text for _, _, text in CASES])
def test_message(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).startswith(text)


LONG = "x" * 1_000_000

LENGTHY: list[Callable[[], Any]] = [
    lambda: Sandbox().exec(LONG),
    lambda: Sandbox().exec(["a"], cwd=LONG),
    lambda: Sandbox().exec(["a"], env={LONG: 5}),  # type: ignore[dict-item]
    lambda: Sandbox().exec(["a"], timeout_seconds=LONG),  # type: ignore[arg-type]
    lambda: Sandbox().exec(["a", LONG.encode()]),  # type: ignore[list-item]
    lambda: Sandbox(tags=LONG),
    lambda: Sandbox(placement_mode=LONG),
    lambda: Sandbox(mounted_files=[LONG]),
    lambda: Sandbox(containers=[LONG]),
    lambda: Sandbox(network={"egress": [{"dns_name": LONG}]}),
    lambda: Sandbox(resources=LONG),
    lambda: cw.results([LONG]),
]


@pytest.mark.parametrize("call", LENGTHY)
def test_a_long_value_is_cut(call: Callable[[], Any]) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert "xxx" in str(caught.value)
    assert len(str(caught.value)) < 1000


REMOVED = {
    "ports": "services",
    "profile_ids": "runner_ids",
    "profile_names": "runner_ids",
    "s3_mount": "object_storage_access",
    "max_timeout_seconds": "request_timeout_seconds",
}


@pytest.mark.parametrize("name", REMOVED)
def test_what_is_gone_sends_to_one_place(name: str) -> None:
    with pytest.raises(TypeError) as caught:
        Sandbox(**{name: []})
    others = set(REMOVED.values()) - {REMOVED[name]}
    assert f"{name!r} is no longer supported: use {REMOVED[name]}" in str(caught.value)
    assert not any(other in str(caught.value) for other in others)


SECRET = ["hunter2"]

CONFIDENTIAL: list[Callable[[], Any]] = [
    lambda: cw.EndpointShareToken(SECRET),  # type: ignore[arg-type]
    lambda: Sandbox(mounted_files=[{**ROW, "file_content": SECRET}]),
]


@pytest.mark.parametrize("call", CONFIDENTIAL)
def test_what_may_be_a_secret_is_not_repeated(call: Callable[[], Any]) -> None:
    with pytest.raises(TypeError) as caught:
        call()
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).endswith("got list")


def test_results_are_not_waited_for_when_one_of_them_is_none() -> None:
    from cwsandbox._cwsandbox import Promise

    with pytest.raises(TypeError, match=r"refs\[1\] must be an OperationRef or Process, got 3"):
        cw.results([Promise(), 3])  # would block for ever


def test_what_makes_up_a_sandbox_goes_by_its_name() -> None:
    for base in Sandbox.__mro__[:-1]:
        if base is Single:  # which others are, too
            continue
        for member in vars(base).values():
            function = getattr(member, "__func__", None) or getattr(member, "fget", None) or member
            if isinstance(function, FunctionType):
                assert function.__qualname__ == f"Sandbox.{function.__name__}"
