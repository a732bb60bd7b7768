"""What is read out of the server's answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import cwsandbox as cw
from cwsandbox._lifecycle.lifecycle import Observation
from cwsandbox._messages import echo as _echo
from cwsandbox._messages import values
from cwsandbox._messages.config import workload
from cwsandbox._messages.echo import Echo
from cwsandbox._messages.parts import resource_gpu, resource_side
from cwsandbox._messages.wire import create_call
from unit.service import received, sandbox

HTTPS = {"kind": 1, "auth": 1, "url": "https://u", "request_timeout_seconds": 15}
PASSTHROUGH = {"kind": 2, "address": "host:1234"}


def status(**fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = sandbox("running", **fields)["status"]
    return found


def echo(*messages: dict[str, Any]) -> Echo:
    known = Echo()
    for message in messages:
        known = known.updated(message)
    return known


def service(port: int, **fields: Any) -> dict[str, Any]:
    return {"port": port, "name": f"s{port}", "visibility": 1, **fields}


def test_times_and_places() -> None:
    known = echo(
        sandbox(
            "running",
            create_time={"seconds": 1},
            start_time={"seconds": 86400, "nanos": 1_500_000},
            runner_id="r",
            runner_group_id="g",
        ),
        sandbox("running"),
    )
    assert known.created_at == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert known.started_at == datetime(1970, 1, 2, 0, 0, 0, 1500, tzinfo=UTC)
    assert (known.runner_id, known.runner_group_id) == ("r", "g")


def test_nothing_known() -> None:
    known = echo(sandbox("running"))
    assert (known.created_at, known.started_at, known.runner_id, known.exposed_ports) == (None,) * 4
    assert echo(sandbox("running", start_time={"seconds": 2**62})).started_at is None


def test_a_message_without_status() -> None:
    bare = received("Sandbox", {"sandbox_id": "sb-1"})
    assert _echo.observation(bare) == Observation(0, None, "")
    assert _echo.service_urls(echo(bare).status) == ()


def test_observation() -> None:
    seen = _echo.observation(sandbox("failed", exit_code=0, state_reason="why"))
    assert (seen.number, seen.exit_code, seen.reason) == (4, 0, "why")
    assert _echo.observation(sandbox("completed")).exit_code is None


def test_service_urls() -> None:
    services = [
        service(1, url="tcp://l4"),
        service(2, url="ignored", endpoint=HTTPS),
        service(3, url="ignored", endpoint=PASSTHROUGH),
        service(4),
        service(5, endpoint={**HTTPS, "url": ""}),
    ]
    assert _echo.service_urls(status(services=services)) == (
        (1, "s1", "tcp://l4"),
        (2, "s2", "https://u"),
    )


def test_https_endpoints() -> None:
    services = [
        service(1, endpoint=HTTPS),
        service(2, endpoint={**HTTPS, "auth": 2, "request_timeout_seconds": 60}),
        service(3, endpoint={**HTTPS, "request_timeout_seconds": 0}),
        service(4, endpoint={**HTTPS, "auth": 0}),
        service(5, endpoint={**HTTPS, "auth": 9}),
        service(6, endpoint=PASSTHROUGH),
    ]
    found = values.service_endpoints(status(services=services))
    assert [(row.port, row.auth, row.request_timeout_seconds) for row in found] == [
        (1, cw.EndpointAuth.OPEN, 15),
        (2, cw.EndpointAuth.SHARE_TOKEN, 60),
    ]


def test_exposed_ports() -> None:
    services = [
        service(1),
        service(2, visibility=2),
        service(3, visibility=0),
        service(4, visibility=77),
    ]
    known = echo(sandbox("running", services=services))
    assert known.exposed_ports == ((1, "s1"), (2, "s2"))
    assert known.updated(sandbox("completed")).exposed_ports == ((1, "s1"), (2, "s2"))
    assert echo(sandbox("running", services=[service(3, visibility=0)])).exposed_ports == ()


def test_addresses_stay_while_the_service_is_listed() -> None:
    with_address = sandbox("running", services=[service(1, endpoint=PASSTHROUGH)])
    without = sandbox("running", services=[service(1, endpoint={"kind": 2})])
    unlisted = sandbox("running", services=[service(2)])
    ended = sandbox("completed", services=[service(1, endpoint=PASSTHROUGH)])
    row = cw.TlsPassthroughEndpointStatus(
        port=1, name="s1", kind=cw.EndpointKind.TLS_PASSTHROUGH, address="host:1234"
    )
    assert echo(with_address).service_addresses == (row,)
    assert echo(with_address, without).service_addresses == (row,)
    assert echo(with_address, unlisted).service_addresses == ()
    assert echo(with_address, ended).service_addresses == ()


def test_share_token_is_kept() -> None:
    known = echo(received("Sandbox", {"endpoint_share_token": "t"}), sandbox("running"))
    assert known.share_token is not None
    assert known.share_token.get_secret_value() == "t"


def test_who_needs_a_share_token() -> None:
    guarded = {"kind": 1, "auth": 2}
    asked = {"spec": {"services": [{"port": 1, "endpoint": guarded}]}}
    told = {"status": {"services": [{"port": 1, "endpoint": guarded}]}}
    assert _echo.wants_share_token(received("Sandbox", asked))
    assert _echo.wants_share_token(received("Sandbox", told))
    assert not _echo.wants_share_token(received("Sandbox", {**told, "endpoint_share_token": "t"}))
    assert not _echo.wants_share_token(sandbox("running", services=[service(1, endpoint=HTTPS)]))


def test_resources() -> None:
    both = {
        "requests": {"cpu": "1", "memory": "1Gi"},
        "limits": {"cpu": "2", "gpu": {"count": 1, "type": "A"}},
    }
    known = echo(sandbox("running", effective_resource_requirements=both), sandbox("running"))
    assert resource_side(known.resources, "requests") == {"cpu": "1", "memory": "1Gi"}
    assert resource_side(known.resources, "limits") == {"cpu": "2"}
    assert resource_gpu(known.resources) == {"count": 1, "type": "A"}
    older = echo(sandbox("running", effective_resources={"cpu": "3"}))
    assert resource_side(older.resources, "requests") == {"cpu": "3"}
    assert resource_side(older.resources, "limits") == {"cpu": "3"}
    nothing = echo(sandbox("running"))
    assert resource_side(nothing.resources, "limits") is None
    assert resource_gpu(nothing.resources) is None


def test_containers_come_back_as_they_were_asked_for() -> None:
    compute = {"cpu": "1", "memory": "1Gi"}
    asked = (
        cw.Container(image="side", name="side", resources=compute),
        cw.Container(
            image="app",
            name="app",
            primary=True,
            command="run",
            args=("x",),
            environment_variables={"A": "1"},
            resources={**compute, "gpu": {"count": 1, "memory_gb": 80}},
            mounted_files=[{"mount_path": "/a", "file_content": b"x"}],
            volume_mounts=[
                cw.VolumeMount(volume="v", mount_path="/v", sub_path="s", read_only=True)
            ],
            secrets=[
                cw.Secret(store="s", name="A"),
                cw.Secret(store="s", name="b", field="f", env_var="B"),
            ],
            working_dir="/w",
            image_pull_credentials=cw.ImagePullCredentials(
                registry="r", store="s", name="n", field="f"
            ),
        ),
    )
    made = workload({"containers": asked}, cw.SandboxDefaults())
    spec = create_call(made, made.placement, "id")[1]["sandbox"]["spec"]
    told = received("Sandbox", {"spec": spec})
    assert values.containers(told["spec"]) == asked


def test_the_first_container_is_primary_if_none_is() -> None:
    told = received(
        "SandboxSpec", {"containers": [{"name": "Any_Name", "image": ""}, {"name": "b"}]}
    )
    found = values.containers(told)
    assert [(row.name, row.primary) for row in found] == [("Any_Name", True), ("b", False)]


def test_container_statuses() -> None:
    rows = [
        {"name": "a", "state": 2, "exit_code": 0, "restart_count": 1},
        {"name": "b", "state": 3, "exit_code": 0},
        {"name": "c", "state": 4, "exit_code": 7},
    ]
    found = values.container_statuses(status(container_statuses=rows))
    assert [(row.name, row.state.value, row.exit_code, row.restart_count) for row in found] == [
        ("a", "running", None, 1),
        ("b", "completed", 0, 0),
        ("c", "failed", 7, 0),
    ]


def test_rules_in_effect() -> None:
    egress: list[dict[str, Any]] = [
        {"https_hostname": "a.com"},
        {"https_hostname": "*", "ports": []},
        {"https_hostname": "b.com", "https_hostname_except": ["c.b.com"]},
        {
            "cidr": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]},
            "ports": [{"port": 80, "end_port": 81}],
        },
        {"tenant": 2},
        {"selector": {"pod_labels": {"a": "b"}}},
        {"any": True},
        {},
    ]
    told = status(effective_egress=egress, effective_ingress=[{"any": True}, {"tenant": 1}])
    assert values.egress_rules(told) == (
        cw.EgressRule(dns_name="a.com"),
        cw.EgressRule(
            cidr={"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]},
            ports=[{"port": 80, "end_port": 81}],
        ),
        cw.EgressRule(tenant="same_org"),
        cw.EgressRule(selector={"pod_labels": {"a": "b"}}),
        cw.EgressRule(any=True),
    )
    assert values.ingress_rules(told) == (
        cw.IngressRule(any=True),
        cw.IngressRule(tenant="same_user"),
    )


def test_host_names_persist() -> None:
    rules = [{"https_hostname": "a.com"}, {"any": True}]
    known = echo(sandbox("running", effective_egress=rules), sandbox("completed"))
    assert known.dns_egress_names == ("a.com",)


def test_control() -> None:
    assert _echo.control(None) is None
    assert _echo.control(received("Sandbox", {"control": 2})) is cw.SandboxControl.CONTAINER_ENGINE
    assert _echo.control(received("Sandbox", {"control": 99})) is cw.SandboxControl.UNSPECIFIED
