"""Defaults, and how arguments go over them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import cwsandbox as cw
from cwsandbox import SandboxDefaults
from cwsandbox._messages import config as _config
from cwsandbox._messages.config import SingleContainer
from cwsandbox._messages.options import refuse_removed
from cwsandbox._service.connection import Connection
from cwsandbox._service.connection import connection as connection_of
from cwsandbox._types import standard as _standard


def workload(defaults: SandboxDefaults | None = None, **given: Any) -> _config.Workload:
    return _config.workload(given, defaults or SandboxDefaults())


def single(defaults: SandboxDefaults | None = None, **given: Any) -> SingleContainer:
    containers = workload(defaults, **given).containers
    assert isinstance(containers, SingleContainer)
    return containers


def connection(defaults: SandboxDefaults | None = None, **given: Any) -> Connection:
    return connection_of(given, defaults or SandboxDefaults())


# ---- SandboxDefaults ----


def test_field_order_and_values() -> None:
    names = [field.name for field in dataclasses.fields(SandboxDefaults)]
    assert len(names) == 29
    defaults = SandboxDefaults()
    assert defaults.container_image == "python:3.11"
    assert (defaults.command, defaults.args) == (
        "/bin/sh",
        ("-c", 'trap "exit 0" TERM INT; sleep infinity & wait'),
    )
    assert defaults.base_url == "https://api.cwsandbox.com"
    assert (defaults.request_timeout_seconds, defaults.create_retry_budget_seconds) == (300.0, 0.0)
    assert (defaults.poll_retry_budget_seconds, defaults.poll_rpc_timeout_seconds) == (30.0, 15.0)
    assert (defaults.tags, defaults.temp_dir) == ((), "/tmp")


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"tags": "a"}, TypeError, "sequence of strings"),
        ({"tags": [1]}, TypeError, "only strings"),
        ({"args": "-c"}, TypeError, "sequence of strings"),
        ({"runner_ids": "r"}, TypeError, "sequence of strings"),
        ({"poll_retry_budget_seconds": -1}, ValueError, "poll_retry_budget_seconds"),
        ({"poll_retry_budget_seconds": float("inf")}, ValueError, "finite"),
        ({"poll_rpc_timeout_seconds": 0}, ValueError, "poll_rpc_timeout_seconds"),
        ({"poll_rpc_timeout_seconds": float("nan")}, ValueError, "finite"),
        ({"create_retry_budget_seconds": -0.1}, ValueError, "create_retry_budget_seconds"),
        ({"request_timeout_seconds": 0}, ValueError, "positive"),
        ({"request_timeout_seconds": "5"}, TypeError, "number of seconds"),
        ({"placement_spillover": "overflow"}, ValueError, "strict"),
        ({"data_plane_mode": "pigeon"}, ValueError, "gateway"),
        ({"profile_ids": ["p"]}, TypeError, "unexpected keyword"),
    ],
)
def test_refused_defaults(fields: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        SandboxDefaults(**fields)


def test_defaults_are_frozen_and_coerced() -> None:
    defaults = SandboxDefaults(
        tags=["a"],  # type: ignore[arg-type]
        placement_spillover="CKS_THEN_SERVERLESS",
        data_plane_mode="Gateway",
    )
    assert defaults.tags == ("a",)
    assert defaults.placement_spillover is cw.PlacementSpillover.CKS_THEN_SERVERLESS
    assert defaults.data_plane_mode is cw.DataPlaneMode.GATEWAY
    with pytest.raises(dataclasses.FrozenInstanceError):
        defaults.command = "x"  # type: ignore[misc]


def test_auth_stays_out_of_the_repr() -> None:
    headers = cw.AuthHeaders({"x-key": "s3cret"}, "mine")
    assert "s3cret" not in repr(SandboxDefaults(auth=headers))


def test_merging() -> None:
    defaults = SandboxDefaults(
        tags=("a",), environment_variables={"A": "1", "B": "1"}, annotations={"x": "1"}
    )
    assert defaults.merge_tags(["b", "a"]) == ["a", "b", "a"]
    assert defaults.merge_tags(None) == ["a"]
    assert defaults.merge_environment_variables({"B": "2"}) == {"A": "1", "B": "2"}
    assert defaults.merge_environment_variables(None) is not defaults.environment_variables
    assert defaults.merge_annotations({"y": "2"}) == {"x": "1", "y": "2"}
    with pytest.raises(TypeError, match="sequence of strings"):
        defaults.merge_tags("b")


def test_with_overrides() -> None:
    defaults = SandboxDefaults(tags=("a",))
    assert defaults.with_overrides(command="x").command == "x"
    assert defaults.with_overrides(command="x").tags == ("a",)
    assert defaults.command == "/bin/sh"
    with pytest.raises(ValueError, match="poll_rpc_timeout_seconds"):
        defaults.with_overrides(poll_rpc_timeout_seconds=0)
    with pytest.raises(TypeError):
        defaults.with_overrides(profile_ids=["x"])


def test_from_dict_takes_rows_that_only_a_sandbox_checks() -> None:
    rows = [{"image": "a", "name": "main", "primary": True}, {"image": "b", "name": "c"}]
    made = SandboxDefaults.from_dict({"containers": rows})
    assert made.containers == (
        cw.Container(image="a", name="main", primary=True),
        cw.Container(image="b", name="c"),
    )
    with pytest.raises(ValueError, match="needs resources; 'main' has none"):
        workload(made)
    assert SandboxDefaults.from_dict({"containers": []}).containers == ()


def test_from_dict() -> None:
    assert SandboxDefaults.from_dict(None) == SandboxDefaults()
    assert (
        SandboxDefaults.from_dict({"unknown": 1, "s3_mount": {}, "tags": None}) == SandboxDefaults()
    )
    assert SandboxDefaults.from_dict(
        dict.fromkeys((f.name for f in dataclasses.fields(SandboxDefaults)), None)
    ) == (SandboxDefaults())
    made = SandboxDefaults.from_dict(
        {
            "args": ["-c", "x"],
            "runner_ids": ["r"],
            "network": {"egress": [{"dns_name": "a.com"}]},
            "services": [{"port": 80}],
            "volumes": [{"name": "v", "volume_id": "vol-1", "mount_path": "/v"}],
            "secrets": [{"store": "s", "name": "A"}],
            "security_context": {"privileged": False},
            "object_storage_access": {"buckets": ["b"]},
            "file_system_snapshot": {"mount_path": "/w"},
            "containers": [{"image": "i"}],
            "resources": {"cpu": "1"},
        }
    )
    assert made == SandboxDefaults(
        args=("-c", "x"),
        runner_ids=("r",),
        network=cw.NetworkOptions(egress=[cw.EgressRule(dns_name="a.com")]),
        services=(cw.Service(port=80),),
        volumes=(cw.RegisteredVolumeOptions(name="v", volume_id="vol-1", mount_path="/v"),),
        secrets=(cw.Secret(store="s", name="A"),),
        security_context=cw.SecurityContext(privileged=False),
        object_storage_access=cw.ObjectStorageAccess(buckets=["b"]),
        file_system_snapshot=cw.FileSystemSnapshotOptions(mount_path="/w"),
        containers=(cw.Container(image="i"),),
        resources={"cpu": "1"},
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"profile_ids": None}, "profile_ids"),
        ({"profile_names": ["x"]}, "profile_names"),
        ({"tags": "bare"}, "bare string"),
        ({"args": "bare"}, "bare string"),
        ({"runner_ids": "bare"}, "bare string"),
        ({"network": 5}, "NetworkOptions or dict"),
    ],
)
def test_from_dict_refuses(given: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        SandboxDefaults.from_dict(given)


# ---- which address and credentials ----


@pytest.mark.parametrize(
    ("argument", "environment", "default", "expected"),
    [
        (None, None, None, "https://api.cwsandbox.com"),
        (None, None, "http://d", "http://d"),
        (None, "http://e/", "http://d", "http://e"),
        (None, "", "http://d", "http://d"),
        ("http://a//", "http://e", "http://d", "http://a"),
        ("", "http://e", None, "http://e"),
        ("unix:///run/x/", None, None, "unix:///run/x/"),
        ("local", None, None, "local"),
    ],
)
def test_base_url(
    argument: str | None,
    environment: str | None,
    default: str | None,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if environment is not None:
        monkeypatch.setenv("CWSANDBOX_BASE_URL", environment)
    defaults = SandboxDefaults() if default is None else SandboxDefaults(base_url=default)
    assert connection(defaults, base_url=argument).base_url == expected


def test_connection_settings() -> None:
    headers = cw.AuthHeaders({}, "x")
    defaults = SandboxDefaults(request_timeout_seconds=7, poll_retry_budget_seconds=3, auth=headers)
    made = connection(defaults, poll_rpc_timeout_seconds=2, create_retry_budget_seconds=9)
    assert (made.request_timeout, made.poll_retry_budget, made.poll_rpc_timeout) == (7.0, 3.0, 2.0)
    assert made.create_retry_budget == 9.0
    assert made.auth is headers
    assert connection(defaults, auth=cw.AuthStrategy.COREWEAVE_API_KEY).auth is (
        cw.AuthStrategy.COREWEAVE_API_KEY
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("poll_retry_budget_seconds", -1),
        ("poll_retry_budget_seconds", float("nan")),
        ("poll_rpc_timeout_seconds", 0),
        ("create_retry_budget_seconds", float("inf")),
        ("request_timeout_seconds", -5),
    ],
)
def test_refused_times(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        connection(None, **{name: value})


def test_data_plane_modes() -> None:
    assert connection().data_plane_mode is cw.DataPlaneMode.AUTO
    assert connection(data_plane_mode="Direct").data_plane_mode is cw.DataPlaneMode.DIRECT
    gateway = cw.DataPlaneMode.GATEWAY
    assert connection(data_plane_mode=gateway).data_plane_mode is gateway


@pytest.mark.parametrize(
    "name", ["profile_ids", "profile_names", "s3_mount", "ports", "max_timeout_seconds"]
)
def test_removed_parameters(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        refuse_removed({name: []})
    refuse_removed({name: None})


# ---- no defaults ----


def test_the_standard_settings_are_those_of_defaults_that_say_nothing() -> None:
    defaults = SandboxDefaults()
    fields = {field.name: getattr(defaults, field.name) for field in dataclasses.fields(defaults)}
    assert {name: value for name, value in fields.items() if value not in (None, (), {})} == (
        _standard.SETTINGS
    )


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"tags": ["a", "b"], "annotations": {"k": "v"}, "environment_variables": {"A": "1"}},
        {"command": "", "container_image": "", "args": []},
        {"runner_ids": ["r"], "placement_spillover": "cks_then_serverless"},
        {"base_url": "http://h/", "request_timeout_seconds": 1, "max_lifetime_seconds": 5},
        {"containers": [{"image": "a"}], "secrets": None},
        {"secrets": [{"store": "s", "name": "n"}], "data_plane_mode": "gateway"},
    ],
)
def test_no_defaults_are_as_good_as_empty_ones(given: dict[str, Any]) -> None:
    assert _config.workload(given, None) == _config.workload(given, SandboxDefaults())
    assert connection_of(given, None) == connection_of(given, SandboxDefaults())


@pytest.mark.parametrize(
    "given", [{"tags": "a"}, {"annotations": ["a"]}, {"environment_variables": {"a": 1}}]
)
def test_what_is_refused_without_defaults(given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(TypeError, match=name):
        _config.workload(given, None)


# ---- the workload ----


def test_keep_alive_by_default() -> None:
    made = single()
    assert (made.image, made.command, made.args) == (
        "python:3.11",
        "/bin/sh",
        _standard.DEFAULT_ARGS,
    )


def test_explicit_beats_default() -> None:
    defaults = SandboxDefaults(container_image="d", command="dc", args=("da",), working_dir="/d")
    assert single(defaults).image == "d"
    assert single(defaults, container_image="").image == "d"
    assert single(defaults, container_image="e").image == "e"
    assert single(defaults, command="c").args == ("da",)
    assert single(defaults, args=[]).args == ()
    assert single(defaults, working_dir="/e").working_dir == "/e"


def test_maps_and_lists_are_merged() -> None:
    defaults = SandboxDefaults(
        tags=("d",),
        environment_variables={"A": "d", "B": "d"},
        annotations={"a": "d"},
        secrets=(cw.Secret(store="s", name="D"),),
    )
    given: dict[str, Any] = {
        "tags": ["e"],
        "environment_variables": {"B": "e"},
        "annotations": {"b": "e"},
        "secrets": [{"store": "s", "name": "E"}],
    }
    assert workload(defaults, **given).tags == ("d", "e")
    assert workload(defaults, **given).annotations == {"a": "d", "b": "e"}
    assert single(defaults, **given).environment_variables == {"A": "d", "B": "e"}
    assert [secret.name for secret in single(defaults, **given).secrets] == ["D", "E"]
    with pytest.raises(ValueError, match="Conflicting secrets"):
        single(defaults, secrets=[{"store": "t", "name": "D"}])


def test_whole_values_are_replaced() -> None:
    defaults = SandboxDefaults(
        services=(cw.Service(port=1),),
        volumes=(cw.ScratchVolumeOptions(name="d"),),
        resources={"cpu": "1"},
        network=cw.NetworkOptions(deny_egress=True),
        max_lifetime_seconds=10,
        runtime_class="d",
    )
    inherited = workload(defaults)
    assert inherited.services == (cw.Service(port=1),)
    assert inherited.max_lifetime_seconds == 10
    assert inherited.runtime_class == "d"
    assert workload(defaults, services=[]).services == ()
    assert workload(defaults, volumes=[]).volumes == ()
    assert workload(defaults, network={"deny_ingress": True}).network == cw.NetworkOptions(
        deny_ingress=True
    )
    assert single(defaults, resources={"memory": "1Gi"}).resources == cw.ResourceOptions(
        requests={"memory": "1Gi"}, limits={"memory": "1Gi"}
    )


def test_snapshot_option_is_one_more_volume() -> None:
    made = workload(volumes=[{"name": "a"}], file_system_snapshot={"mount_path": "/w"}).volumes
    assert made == (
        cw.ScratchVolumeOptions(name="a"),
        cw.ScratchVolumeOptions(name="workspace", mount_path="/w"),
    )


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"tags": "a"}, TypeError, "tags must be a sequence of strings"),
        ({"tags": [1]}, TypeError, "only strings"),
        ({"args": "x"}, TypeError, "args"),
        ({"environment_variables": {"A": 1}}, TypeError, "environment_variables"),
        ({"services": "80"}, TypeError, "services"),
        ({"services": [80]}, TypeError, "Service or dict"),
        ({"network": "none"}, TypeError, "NetworkOptions"),
        ({"file_system_snapshot": "fss-1"}, TypeError, "FileSystemSnapshotOptions"),
        ({"resources": 5}, TypeError, "resources must be"),
        ({"secrets": "A"}, TypeError, "secrets"),
        ({"secrets": [{"store": "s"}]}, TypeError, "name"),
        ({"max_lifetime_seconds": -1}, ValueError, "max_lifetime_seconds"),
        ({"placement_mode": "moon"}, ValueError, "serverless"),
        ({"runner_ids": "r"}, TypeError, "override must be a sequence of strings"),
        ({"image_pull_credentials": {"registry": "r"}}, TypeError, "store"),
    ],
)
def test_refused(given: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        workload(**given)


def test_containers_exclude_the_single_one_s_options() -> None:
    rows = [{"image": "i"}]
    assert workload(
        SandboxDefaults(container_image="d", command="x"), containers=rows
    ).containers == (cw.Container(image="i"),)
    for name, value in {
        "command": "x",
        "resources": {"cpu": "1"},
        "secrets": [],
        "working_dir": "/a",
    }.items():
        with pytest.raises(TypeError, match=f"{name} are mutually exclusive"):
            workload(None, containers=rows, **{name: value})


# ---- placement ----


@pytest.mark.parametrize(
    ("given", "mode", "pins", "wire"),
    [
        ({}, None, (), "unspecified"),
        ({"placement_mode": "CKS"}, "cks", (), "cks"),
        ({"placement_mode": "unspecified"}, None, (), "unspecified"),
        ({"runner_ids": ["r"]}, None, ("r",), "cks"),
        ({"runner_ids": ["r"], "placement_mode": "unspecified"}, None, ("r",), "cks"),
        ({"placement_spillover": "cks_then_serverless"}, "cks", (), "cks"),
        (
            {"placement_spillover": "cks_then_serverless", "runner_ids": ["r"]},
            "cks",
            ("r",),
            "cks",
        ),
        ({"placement_spillover": "serverless_then_cks"}, "serverless", (), "serverless"),
    ],
)
def test_placement(
    given: dict[str, Any], mode: str | None, pins: tuple[str, ...], wire: str
) -> None:
    placement = workload(**given).placement
    assert (placement.mode, placement.runner_ids, placement.wire_mode) == (mode, pins, wire)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"placement_mode": "serverless", "runner_ids": ["r"]}, "requires placement_mode=CKS"),
        (
            {"placement_mode": "serverless", "placement_spillover": "cks_then_serverless"},
            "cks_then_serverless",
        ),
        (
            {"placement_mode": "cks", "placement_spillover": "serverless_then_cks"},
            "serverless_then_cks",
        ),
        (
            {"runner_ids": ["r"], "placement_spillover": "serverless_then_cks"},
            "cannot be combined with runner_ids",
        ),
    ],
)
def test_refused_placement(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        workload(**given)


@pytest.mark.parametrize(
    ("default", "explicit", "effective"),
    [
        (None, None, ()),
        ((), None, ()),
        (("d",), None, ("d",)),
        (("d",), [], ()),
        (("d",), ["e"], ("e",)),
    ],
)
def test_runner_pins(default: Any, explicit: Any, effective: tuple[str, ...]) -> None:
    assert (
        workload(SandboxDefaults(runner_ids=default), runner_ids=explicit).placement.runner_ids
        == effective
    )
