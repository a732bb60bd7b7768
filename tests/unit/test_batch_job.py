"""What a job, a batch and a pool may be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cwsandbox
from cwsandbox import Job, Limits, SandboxPool


def nested(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(levels):
        inner = {"a": inner}
    return inner


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({"key": ""}, ["key", "empty"]),
        ({"key": 7}, ["key", "7"]),
        ({"key": "a\0"}, ["key", "NUL", r"a\x00"]),
        ({"key": "\ud800"}, ["key", "lone surrogate", r"\ud800"]),
        ({"command": ["a", "\ud800"]}, ["command[1]", "lone surrogate", r"\ud800"]),
        ({"command": ["a\0"]}, ["command[0]", "NUL"]),
        ({"image": "\ud800"}, ["image", "lone surrogate"]),
        ({"cwd": "/\ud800"}, ["cwd", "lone surrogate"]),
        ({"env": {"A": "\ud800"}}, ["env['A']", "lone surrogate"]),
        ({"env": {"\ud800": "a"}}, [r"env['\ud800']", "lone surrogate"]),
        ({"files": {"/\udcff": b""}}, ["path in files", "lone surrogate", r"/\udcff"]),
        ({"artifacts": ["/\udcff"]}, ["artifacts", "lone surrogate", r"/\udcff"]),
        ({"command": "ls -l"}, ["command", "ls -l"]),
        ({"command": []}, ["empty"]),
        ({"command": ["ls", 1]}, ["command", "1"]),
        ({"image": 3}, ["image", "3"]),
        ({"cwd": "work"}, ["cwd", "absolute", "work"]),
        ({"env": {"A=B": "1"}}, ["env", "A=B"]),
        ({"env": ["A"]}, ["env", "['A']"]),
        ({"stdin": "text"}, ["stdin", "bytes", "text"]),
        ({"timeout_seconds": 0}, ["timeout_seconds", "0"]),
        ({"timeout_seconds": "5"}, ["timeout_seconds", "'5'"]),
        ({"files": ["/a"]}, ["files", "mapping"]),
        ({"files": {"/a": "text"}}, ["files['/a']", "bytes", "text"]),
        ({"files": {"": b""}}, ["path in files", "empty"]),
        ({"artifacts": "/a"}, ["artifacts", "'/a'"]),
        ({"artifacts": ["a\0b"]}, ["artifacts", "NUL"]),
        ({"sandbox": {"imag": "x"}}, ["imag", "container_image"]),
        ({"sandbox": {"container_image": "x"}, "image": "y"}, ["image", "container_image"]),
        ({"metadata": {"a": {1}}}, ["metadata", "JSON"]),
        ({"metadata": {"a": float("nan")}}, ["metadata", "JSON"]),
        ({"metadata": nested(10_000)}, ["metadata", "JSON", "recursion"]),
    ],
)
def test_faults_of_a_job_are_named(fields: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        Job(**{"key": "a", "command": ["true"], **fields})
    for part in parts:
        assert part in str(caught.value)


def test_a_description_tells_jobs_apart_and_no_secrets() -> None:
    first = Job("a", ["true"], env={"TOKEN": "s3cret"}, files={"/a": b"s3cret"}, stdin=b"s3cret")
    assert "s3cret" not in first.description()
    for other in (
        Job("a", ["true"], env={"TOKEN": "other"}, files={"/a": b"s3cret"}, stdin=b"s3cret"),
        Job("a", ["true"], env={"TOKEN": "s3cret"}, files={"/a": b"other"}, stdin=b"s3cret"),
        Job("a", ["true"], env={"TOKEN": "s3cret"}, files={"/a": b"s3cret"}),
        Job("a", ["true"], env={"TOKEN": "s3cret"}, files={"/a": Path("x")}, stdin=b"s3cret"),
        Job("a", ["false"], env={"TOKEN": "s3cret"}, files={"/a": b"s3cret"}, stdin=b"s3cret"),
    ):
        assert other.description() != first.description()


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"concurrency": 0}, ["concurrency", "0"]),
        ({"rerun": "some"}, ["rerun", "some", "infra"]),
        ({"retry": 3}, ["retry", "3"]),
        ({"limits": 3}, ["limits", "3"]),
        ({"jobs_per_sandbox": 0}, ["jobs_per_sandbox", "0"]),
        ({"max_output_bytes": 0}, ["max_output_bytes", "0"]),
        ({"max_output_bytes": 450_000_001, "store": "x"}, ["max_output_bytes", "450000000"]),
        ({"max_artifact_bytes": 1 << 30, "store": "x"}, ["max_artifact_bytes", "900000000"]),
        ({"pool": 3}, ["pool", "3"]),
        ({"imag": "x"}, ["imag", "container_image"]),
        ({"stor": "x"}, ["stor", "Did you mean 'store'?"]),
        ({"concurency": 5}, ["Did you mean 'concurrency'?"]),
        ({"container_image": 7}, ["container_image", "7"]),
        ({"store": 7}, ["store", "7"]),
    ],
)
def test_faults_of_a_batch_are_named_at_the_call(options: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        cwsandbox.batch([], **options)
    for part in parts:
        assert part in str(caught.value)


def test_jobs_must_be_jobs() -> None:
    with pytest.raises(TypeError, match="jobs must be an iterable of Job, got 'abc'"):
        cwsandbox.batch("abc")  # type: ignore[arg-type]


def test_a_pool_of_somebody_else_is_not_told_what_to_make() -> None:
    with pytest.raises(ValueError, match="container_image, limits, jobs_per_sandbox: with a pool"):
        cwsandbox.batch(
            [], pool=SandboxPool(), container_image="x", limits=Limits(alive=1), jobs_per_sandbox=2
        )


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"size": -1}, ["size", "-1"]),
        ({"max_uses": 0}, ["max_uses", "0"]),
        ({"max_age_seconds": 0}, ["max_age_seconds", "0"]),
        ({"setup": 3}, ["setup", "3"]),
        ({"size": 3, "limits": Limits(alive=2)}, ["size=3", "alive=2"]),
        ({"imag": "x"}, ["imag"]),
        ({"container_image": 7}, ["container_image", "7"]),
    ],
)
def test_faults_of_a_pool_are_named(options: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        SandboxPool(**options)
    for part in parts:
        assert part in str(caught.value)
