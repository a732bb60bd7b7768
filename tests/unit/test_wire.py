"""Options on the wire: each case is packed as the real message, so that a misspelt field cannot pass."""

from __future__ import annotations

from typing import Any

import pytest

import cwsandbox as cw
from cwsandbox import SandboxDefaults, _cwsandbox
from cwsandbox._messages import config as _config
from cwsandbox._messages.config import Placement
from cwsandbox._messages.wire import create_call
from cwsandbox._types.enums import PlacementMode

CREATE = "coreweave.sandbox.v1.CreateSandboxRequest"
MAIN = {
    "name": "main",
    "image": "python:3.11",
    "command": "/bin/sh",
    "args": ["-c", 'trap "exit 0" TERM INT; sleep infinity & wait'],
}


def request(**given: Any) -> dict[str, Any]:
    workload = _config.workload(given, SandboxDefaults())
    made = create_call(workload, workload.placement, "id-1")[1]
    _cwsandbox._message_pack(CREATE, made)
    return made


def spec(**given: Any) -> dict[str, Any]:
    made: dict[str, Any] = request(**given)["sandbox"]["spec"]
    return made


def container(**given: Any) -> dict[str, Any]:
    """What the one container has beside the defaults."""
    only: dict[str, Any] = spec(**given)["containers"][0]
    return {name: value for name, value in only.items() if MAIN.get(name) != value}


def test_a_plain_create() -> None:
    assert request() == {"sandbox": {"spec": {"containers": [MAIN]}}, "request_id": "id-1"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"tags": ["a", "b"]}, {"tags": ["a", "b"]}),
        ({"annotations": {"k": "v"}}, {"annotations": {"k": "v"}}),
        ({"annotations": {}}, {}),
        ({"max_lifetime_seconds": 90.9}, {"max_lifetime_seconds": 90}),
        ({"runtime_class": "gvisor"}, {"runtime_class": "gvisor"}),
        ({"runtime_class": ""}, {}),
        ({"placement_mode": "serverless"}, {"mode": 1}),
        ({"placement_mode": "cks"}, {"mode": 2}),
        ({"runner_ids": ["r"]}, {"runner_ids": ["r"], "mode": 2}),
        ({"runner_ids": []}, {}),
        (
            {
                "object_storage_access": {
                    "buckets": ["b"],
                    "permission": "read",
                    "object_prefix": "p/",
                }
            },
            {"object_storage_access": {"buckets": ["b"], "permission": 1, "object_prefix": "p/"}},
        ),
        (
            {"object_storage_access": {"buckets": ["b"], "permission": "unspecified"}},
            {"object_storage_access": {"buckets": ["b"]}},
        ),
        ({"network": {"deny_egress": False}}, {"network": {"deny_egress": False}}),
        (
            {"network": {"deny_egress": True, "deny_ingress": False}},
            {"network": {"deny_egress": True, "deny_ingress": False}},
        ),
        (
            {"network": {"egress": [{"dns_name": "A.com", "ports": [443]}]}},
            {"network": {"egress": [{"https_hostname": "a.com", "ports": [{"port": 443}]}]}},
        ),
        (
            {"network": {"egress": [{"cidr": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}},
            {"network": {"egress": [{"cidr": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}},
        ),
        (
            {"network": {"egress": [{"tenant": "sandbox_network"}, {"any": True}]}},
            {"network": {"egress": [{"tenant": 3}, {"any": True}]}},
        ),
        (
            {
                "network": {
                    "egress": [
                        {"selector": {"pod_labels": {"a": "b"}, "namespace_labels": {"c": "d"}}}
                    ]
                }
            },
            {
                "network": {
                    "egress": [
                        {"selector": {"pod_labels": {"a": "b"}, "namespace_labels": {"c": "d"}}}
                    ]
                }
            },
        ),
        (
            {
                "network": {
                    "ingress": [
                        {"any": True, "ports": [{"port": 1, "end_port": 2, "protocol": "udp"}]}
                    ]
                }
            },
            {
                "network": {
                    "ingress": [
                        {"any": True, "ports": [{"port": 1, "end_port": 2, "protocol": "UDP"}]}
                    ]
                }
            },
        ),
        ({"services": [{"port": 80}]}, {"services": [{"port": 80}]}),
        (
            {"services": [cw.Service(port=80, name="web", protocol="udp", visibility="private")]},
            {"services": [{"port": 80, "name": "web", "protocol": 2, "visibility": 2}]},
        ),
        (
            {
                "services": [
                    {
                        "port": 80,
                        "visibility": "public",
                        "endpoint": {
                            "kind": "https",
                            "auth": "share_token",
                            "request_timeout_seconds": 60,
                        },
                    },
                    {"port": 81, "visibility": "public", "endpoint": {"kind": "tls_passthrough"}},
                ]
            },
            {
                "services": [
                    {
                        "port": 80,
                        "visibility": 1,
                        "endpoint": {"kind": 1, "auth": 2, "request_timeout_seconds": 60},
                    },
                    {"port": 81, "visibility": 1, "endpoint": {"kind": 2}},
                ]
            },
        ),
    ],
)
def test_spec(given: dict[str, Any], expected: dict[str, Any]) -> None:
    made = spec(**given)
    assert made.pop("containers") == [MAIN]
    assert made == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"container_image": "i"}, {"image": "i"}),
        ({"command": "c", "args": ["1", ""]}, {"command": "c", "args": ["1", ""]}),
        (
            {"environment_variables": {"A": "1", "E": ""}},
            {"environment_variables": {"A": "1", "E": ""}},
        ),
        ({"working_dir": "/w"}, {"working_dir": "/w"}),
        (
            {"mounted_files": [{"mount_path": "/a", "file_content": b"\x00"}]},
            {"files": [{"path": "/a", "content": b"\x00"}]},
        ),
        ({"mounted_files": {"/e": b""}}, {"files": [{"path": "/e", "content": b""}]}),
        (
            {"mounted_files": [{"mount_path": "/a", "file_content": b"", "file_mode": 0}]},
            {"files": [{"path": "/a", "content": b"", "mode": 0}]},
        ),
        (
            {"resources": {"cpu": "1", "memory": "1Gi", "gpu": {"count": 2, "type": "H100"}}},
            {
                "resource_requirements": {
                    "requests": {
                        "cpu": "1",
                        "memory": "1Gi",
                        "gpu": {"count": 2, "type": "H100"},
                    },
                    "limits": {"cpu": "1", "memory": "1Gi", "gpu": {"count": 2, "type": "H100"}},
                }
            },
        ),
        (
            {"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}},
            {"resource_requirements": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}},
        ),
        (
            {
                "secrets": [
                    {"store": "s", "name": "A"},
                    {"store": "t", "name": "b", "field": "f", "env_var": "B"},
                    {"store": "s", "name": "C"},
                ]
            },
            {
                "secret_stores": [
                    {
                        "store_name": "s",
                        "secrets": [
                            {"path": "A", "env_var": "A"},
                            {"path": "C", "env_var": "C"},
                        ],
                    },
                    {
                        "store_name": "t",
                        "secrets": [{"path": "b", "field": "f", "env_var": "B"}],
                    },
                ]
            },
        ),
        (
            {
                "image_pull_credentials": {
                    "registry": "r",
                    "store": "s",
                    "name": "n",
                    "field": "f",
                }
            },
            {
                "image_pull_credentials": {
                    "registry": "r",
                    "credentials": {"store_name": "s", "path": "n", "field": "f"},
                }
            },
        ),
        (
            {
                "security_context": {
                    "run_as_user": 0,
                    "privileged": False,
                    "capabilities_drop": ["ALL"],
                    "seccomp_profile": "p",
                }
            },
            {
                "security_context": {
                    "run_as_user": 0,
                    "privileged": False,
                    "capabilities_drop": ["ALL"],
                    "seccomp_profile": "p",
                }
            },
        ),
    ],
)
def test_container(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert container(**given) == expected


def test_volumes_and_their_mounts() -> None:
    made = spec(
        volumes=[
            cw.ScratchVolumeOptions(name="plain", mount_path="/p"),
            cw.ScratchVolumeOptions(
                name="full",
                mount_path="/f",
                size="1Gi",
                medium="memory",
                restore_from_snapshot_id="fss-1",
                sub_path="a/b",
                read_only=True,
            ),
            cw.RegisteredVolumeOptions(name="reg", volume_id="vol-1", mount_path="/r"),
            {"name": "unmounted", "volume_id": "vol-2"},
            {"name": "declared"},
        ],
        file_system_snapshot={"mount_path": "/w"},
    )
    assert made["volumes"] == [
        {"name": "plain", "scratch": {}},
        {
            "name": "full",
            "scratch": {"size": "1Gi", "medium": 2, "restore_from_snapshot_id": "fss-1"},
        },
        {"name": "reg", "volume_id": "vol-1"},
        {"name": "unmounted", "volume_id": "vol-2"},
        {"name": "declared", "scratch": {}},
        {"name": "workspace", "scratch": {}},
    ]
    assert made["containers"][0]["volume_mounts"] == [
        {"volume": "plain", "mount_path": "/p"},
        {"volume": "full", "mount_path": "/f", "read_only": True, "sub_path": "a/b"},
        {"volume": "reg", "mount_path": "/r"},
        {"volume": "workspace", "mount_path": "/w"},
    ]


def test_an_empty_scratch_source_is_on_the_wire() -> None:
    packed = _cwsandbox._message_pack(CREATE, request(volumes=[{"name": "v"}]))
    unpacked = _cwsandbox._message_unpack(CREATE, packed)
    assert "scratch" in unpacked["sandbox"]["spec"]["volumes"][0]


def test_several_containers() -> None:
    compute = {"cpu": "1", "memory": "1Gi"}
    made = spec(
        containers=[
            {"image": "side", "name": "side", "resources": compute},
            {
                "image": "app",
                "name": "app",
                "primary": True,
                "resources": compute,
                "command": "run",
                "args": ["x"],
                "environment_variables": {"A": "1"},
                "mounted_files": {"/a": b"x"},
                "secrets": [{"store": "s", "name": "A"}],
                "working_dir": "/w",
                "volume_mounts": [
                    {"volume": "v", "mount_path": "/v", "sub_path": "s", "read_only": True}
                ],
                "image_pull_credentials": {"registry": "r", "store": "s", "name": "n"},
            },
        ],
        volumes=[
            {"name": "v", "mount_path": "/v"},
            {"name": "v2", "mount_path": "/v2"},
        ],
    )
    both = {"requests": compute, "limits": compute}
    assert made["containers"] == [
        {"name": "side", "image": "side", "resource_requirements": both},
        {
            "name": "app",
            "image": "app",
            "primary": True,
            "resource_requirements": both,
            "command": "run",
            "args": ["x"],
            "environment_variables": {"A": "1"},
            "files": [{"path": "/a", "content": b"x"}],
            "secret_stores": [{"store_name": "s", "secrets": [{"path": "A", "env_var": "A"}]}],
            "working_dir": "/w",
            "image_pull_credentials": {
                "registry": "r",
                "credentials": {"store_name": "s", "path": "n"},
            },
            "volume_mounts": [
                {"volume": "v", "mount_path": "/v", "sub_path": "s", "read_only": True},
                {"volume": "v2", "mount_path": "/v2"},
            ],
        },
    ]


def test_mounts_go_to_the_first_row_without_a_primary() -> None:
    made = spec(containers=[{"image": "i"}], volumes=[{"name": "v", "mount_path": "/v"}])
    assert made["containers"] == [
        {"image": "i", "volume_mounts": [{"volume": "v", "mount_path": "/v"}]}
    ]


def test_placement_of_the_attempt_beats_that_of_the_workload() -> None:
    workload = _config.workload({"runner_ids": ["r"]}, SandboxDefaults())
    made = create_call(workload, Placement(PlacementMode.SERVERLESS, ()), "id-2")[1]
    assert made["sandbox"]["spec"]["mode"] == 1
    assert "runner_ids" not in made["sandbox"]["spec"]
