"""Sandboxes from a template and from a file: what is sent, what the defaults add, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import cwsandbox as cw
from cwsandbox import Sandbox, SandboxControl, SandboxDefaults, SandboxFileType
from cwsandbox._lifecycle.create import Creator
from cwsandbox._messages import config as _config
from cwsandbox._messages import from_file
from cwsandbox._messages.wire import create_call
from cwsandbox._sandbox.creation import SandboxCreation
from cwsandbox._service.connection import connection as connection_of
from cwsandbox._service.rpc import Code
from unit.service import Service, environment, failure, run, sandbox

FULL = SandboxDefaults(
    container_image="other",
    tags=("default",),
    runner_ids=("r-1",),
    max_lifetime_seconds=60,
    network=cw.NetworkOptions(deny_egress=True),
    annotations={"a": "default", "b": "default"},
    environment_variables={"A": "1"},
    placement_spillover="cks_then_serverless",
    services=(cw.Service(port=1),),
    secrets=(cw.Secret(store="s", name="n"),),
)


class Created(Exception):
    """Instead of a create: the sandbox."""


@pytest.fixture(autouse=True)
def _nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(made: SandboxCreation) -> None:
        raise Created(made)

    monkeypatch.setattr(SandboxCreation, "start", start)


def sent(verb: Any, *args: Any, **given: Any) -> tuple[str, dict[str, Any]]:
    with pytest.raises(Created) as raised:
        verb(*args, **given)
    workload = raised.value.args[0]._workload
    return create_call(workload, workload.placement, workload.request_id or "new")


def overrides(*args: Any, **given: Any) -> dict[str, Any]:
    method, request = sent(Sandbox.run_from_template, "t-1", *args, **given)
    assert method == "CreateSandboxFromTemplate"
    assert (request["template_id"], request["request_id"]) == ("t-1", "new")
    changed: dict[str, Any] = request["overrides"]
    return changed


# ---- templates ----


def test_only_the_id() -> None:
    assert overrides() == {}


def test_of_the_defaults_only_the_tags_are_added() -> None:
    assert overrides(defaults=FULL) == {"tags": ["default"]}
    assert overrides(defaults=FULL, tags=["mine"]) == {"tags": ["default", "mine"]}


def test_what_is_given_is_sent() -> None:
    made = overrides(
        runner_ids=["r"],
        max_lifetime_seconds=5,
        network={"deny_ingress": True},
        services=[cw.Service(port=80)],
        annotations={"a": "1"},
        runtime_class="gvisor",
        object_storage_access={"buckets": ["b"], "permission": "read"},
    )
    assert made == {
        "runner_ids": ["r"],
        "mode": 2,
        "max_lifetime_seconds": 5,
        "network": {"deny_ingress": True},
        "services": [{"port": 80}],
        "annotations": {"a": "1"},
        "runtime_class": "gvisor",
        "object_storage_access": {"buckets": ["b"], "permission": 1},
    }


def test_what_is_empty_clears_nothing() -> None:
    nothing: Mapping[str, Any] = {
        name: []
        for name in ("volumes", "services", "tags", "mounted_files", "secrets", "runner_ids")
    }
    assert overrides(**nothing, environment_variables={}, annotations={}) == {}


def test_a_container_of_one_s_own() -> None:
    made = overrides(
        "a",
        "b",
        command="cmd",
        container_image="image",
        environment_variables={"X": "1"},
        volumes=[{"name": "v", "mount_path": "/v"}],
        image_pull_credentials={"registry": "r", "store": "s", "name": "n"},
        working_dir="/w",
        defaults=FULL,
    )
    assert made == {
        "tags": ["default"],
        "containers": [
            {
                "name": "main",
                "image": "image",
                "command": "cmd",
                "args": ["a", "b"],
                "environment_variables": {"X": "1"},
                "working_dir": "/w",
                "image_pull_credentials": {
                    "registry": "r",
                    "credentials": {"store_name": "s", "path": "n"},
                },
                "volume_mounts": [{"volume": "v", "mount_path": "/v"}],
            }
        ],
        "volumes": [{"name": "v", "scratch": {}}],
    }
    assert overrides("a", container_image="image") == {
        "containers": [{"name": "main", "image": "image", "args": ["a"]}]
    }


def test_rows_of_containers_need_no_image_beside_them() -> None:
    made = overrides(containers=[{"image": "i"}], volumes=[{"name": "v", "mount_path": "/v"}])
    assert made["containers"] == [
        {"image": "i", "volume_mounts": [{"volume": "v", "mount_path": "/v"}]}
    ]


@pytest.mark.parametrize(
    "given",
    [
        {"command": "x"},
        {"args": ["x"]},
        {"resources": {"cpu": "1", "memory": "1Gi"}},
        {"environment_variables": {"A": "1"}},
        {"mounted_files": {"/a": b""}},
        {"secrets": [{"store": "s", "name": "n"}]},
        {"volumes": [{"name": "v"}]},
        {"file_system_snapshot": {"mount_path": "/v"}},
        {"image_pull_credentials": {"registry": "r", "store": "s", "name": "n"}},
        {"security_context": {"run_as_user": 5}},
        {"working_dir": "/w"},
    ],
)
def test_parts_of_a_container_need_the_container(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=f"{next(iter(given))} .*require container_image"):
        Sandbox(template_id="t-1", **given)


@pytest.mark.parametrize(
    ("args", "given", "kind", "text"),
    [
        (("",), {}, ValueError, "template_id must not be empty"),
        ((5,), {}, TypeError, "template_id must be a str"),
        (("t", "word"), {}, TypeError, "require container_image"),
        (
            ("t",),
            {"placement_spillover": "cks_then_serverless"},
            ValueError,
            "STRICT for template",
        ),
        (("t",), {"template_id": "u"}, TypeError, "first argument"),
        (("t",), {"nonsense": 1}, TypeError, "nonsense"),
        (("t",), {"ports": [1]}, TypeError, "ports"),
    ],
)
def test_wrong_templates(args: Any, given: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        Sandbox.run_from_template(*args, **given)


def test_a_template_without_room_is_tried_again_with_the_same_key() -> None:
    full = failure(Code.RESOURCE_EXHAUSTED, reason="CWSANDBOX_RUNNER_CAPACITY_EXHAUSTED", delay=0.5)
    service = Service(CreateSandboxFromTemplate=[full, sandbox("creating")])
    given = {"template_id": "t", "create_retry_budget_seconds": 5}
    workload = _config.workload(given, None)
    connection = connection_of(given, None)
    creator = Creator(workload, connection, service.call, environment(), service.knows)
    assert run(creator.create())["sandbox_id"] == "sb-1"
    first, second = (one.request for one in service.sent)
    assert first == second


# ---- files ----

TEXT = b"services: {web: {image: nginx}}\r\n\xff"


def file(contents: Any = TEXT, **given: Any) -> dict[str, Any]:
    method, request = sent(Sandbox.run_from_file, contents, **{"primary_service": "web", **given})
    assert method == "CreateSandboxFromFile"
    return request


LEAST = {"type": 1, "contents": TEXT, "request_id": "new", "primary_service": "web"}


def test_the_file_is_sent_as_it_is(tmp_path: Path) -> None:
    assert file() == LEAST
    path = tmp_path / "compose.yaml"
    path.write_bytes(TEXT)
    assert file(path) == file(str(path)) == LEAST
    assert file(b"")["contents"] == b""


def test_all_that_can_be_said_beside_it() -> None:
    made = file(
        file_type="Compose",
        control="PLATFORM",
        image_pull_credentials=[{"registry": "r", "store": "s", "name": "n"}],
        image_overrides={"web": "other"},
        default_resources={"cpu": "1", "memory": "1Gi"},
        max_lifetime_seconds=5,
        tags=["t"],
        runner_ids=["r-9"],
        network={"deny_egress": False},
        object_storage_access={"buckets": ["b"], "permission": "read"},
        annotations={"a": "1"},
        request_id="key",
    )
    both = {"cpu": "1", "memory": "1Gi"}
    assert made == {
        **LEAST,
        "request_id": "key",
        "control": 1,
        "image_pull_credentials": [
            {"registry": "r", "credentials": {"store_name": "s", "path": "n"}}
        ],
        "image_overrides": {"web": "other"},
        "default_resources": {"requests": both, "limits": both},
        "max_lifetime_seconds": 5,
        "tags": ["t"],
        "runner_ids": ["r-9"],
        "mode": 2,
        "network": {"deny_egress": False},
        "object_storage_access": {"buckets": ["b"], "permission": 1},
        "annotations": {"a": "1"},
    }


def test_what_the_defaults_add() -> None:
    assert file(defaults=FULL, annotations={"a": "mine"}) == {
        **LEAST,
        "tags": ["default"],
        "runner_ids": ["r-1"],
        "mode": 2,
        "max_lifetime_seconds": 60,
        "network": {"deny_egress": True},
        "annotations": {"a": "mine", "b": "default"},
    }


def test_an_engine_needs_no_primary_service() -> None:
    made = file(primary_service=None, control=SandboxControl.CONTAINER_ENGINE)
    assert (made["control"], "primary_service" in made) == (2, False)
    assert file(file_type=SandboxFileType.UNSPECIFIED)["type"] == 0


GPU = {"cpu": "1", "memory": "1Gi", "gpu": 1}
CREDENTIALS = {"registry": "r", "store": "s", "name": "n"}


@pytest.mark.parametrize(
    ("contents", "given", "kind", "text"),
    [
        (TEXT, {"primary_service": None}, ValueError, "primary_service"),
        (bytearray(TEXT), {}, TypeError, "contents"),
        ("/no/such/file", {}, FileNotFoundError, "/no/such/file"),
        ("", {}, ValueError, "contents"),
        (b"x" * (from_file.CONTENTS_MAX + 1), {}, ValueError, "262144"),
        (Path("/dev/zero"), {}, ValueError, r"/dev/zero.*262144"),
        (TEXT, {"file_type": "dockerfile"}, ValueError, "SandboxFileType"),
        (TEXT, {"file_type": 1}, TypeError, "file_type"),
        (TEXT, {"control": "nobody"}, ValueError, "SandboxControl"),
        (TEXT, {"image_pull_credentials": CREDENTIALS}, TypeError, "image_pull_credentials"),
        (TEXT, {"image_pull_credentials": "text"}, TypeError, "image_pull_credentials"),
        (TEXT, {"image_overrides": ["a"]}, TypeError, "image_overrides"),
        (TEXT, {"default_resources": GPU}, ValueError, "GPU"),
        (TEXT, {"placement_spillover": "serverless_then_cks"}, ValueError, "STRICT for file"),
        (TEXT, {"runner_ids": ["r"], "placement_mode": "serverless"}, ValueError, "runner_ids"),
        (TEXT, {"template_id": "t"}, TypeError, "template_id: CreateSandboxFromFile"),
        (TEXT, {"services": []}, TypeError, "services: CreateSandboxFromFile"),
        (TEXT, {"nonsense": 1}, TypeError, "unexpected keyword argument 'nonsense'$"),
        (TEXT, {"file_typ": 1}, TypeError, "argument 'file_typ'. Did you mean 'file_type'?"),
        (TEXT, {"ports": [80]}, TypeError, "'ports' is no longer supported: use services"),
        (TEXT, {"request_id": 5}, TypeError, "request_id"),
    ],
)
def test_wrong_files(contents: Any, given: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        Sandbox.run_from_file(contents, **{"primary_service": "web", **given})


def test_no_share_token_is_asked_for_again() -> None:
    workload = _config.file_workload(
        {},
        None,
        from_file.sandbox_file(
            TEXT,
            primary_service="web",
            file_type="compose",
            control="platform",
            image_pull_credentials=None,
            image_overrides=None,
            default_resources=None,
        ),
    )
    service = Service()
    connection = connection_of({}, None)
    creator = Creator(workload, connection, service.call, environment(), service.knows)
    message = {"spec": {"services": [{"endpoint": {"kind": 1, "auth": 2}}]}}
    assert not creator.lacks_token(message)
