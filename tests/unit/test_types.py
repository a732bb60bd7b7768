"""The option types: what they take, what they make of it, and what they refuse in which words."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import cwsandbox as cw
from cwsandbox._types.container import containers, mounted_files
from cwsandbox._types.secret import merge
from cwsandbox._types.volume import DeclaredVolume, volumes

REFUSED: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (cw.Secret, {"store": "", "name": "n"}, ValueError, "Secret.store"),
    (cw.Secret, {"store": "s", "name": "n", "env_var": ""}, ValueError, "Secret.env_var"),
    (cw.Secret, {"store": "s", "name": 5}, TypeError, "Secret.name"),
    (cw.ImagePullCredentials, {"registry": "", "store": "s", "name": "n"}, ValueError, "registry"),
    (cw.ObjectStorageAccess, {}, ValueError, "at least one"),
    (cw.ObjectStorageAccess, {"buckets": "b"}, TypeError, "bare string"),
    (cw.ObjectStorageAccess, {"buckets": ["b"], "permission": "own"}, ValueError, "read_write"),
    (cw.CidrBlock, {"cidr": ""}, ValueError, "CidrBlock.cidr"),
    (cw.CidrBlock, {"cidr": "10.0.0.0/33"}, ValueError, r"CidrBlock.cidr .*, got '10.0.0.0/33'"),
    (cw.CidrBlock, {"cidr": "10.0.0/8"}, ValueError, "range of addresses such as '10.1.0.0/16'"),
    (cw.CidrBlock, {"cidr": "example.org"}, ValueError, "got 'example.org'"),
    (
        cw.CidrBlock,
        {"cidr": "10.0.0.0/8", "except_cidrs": ["10.1.0.0/16", "10.2.0.0/x"]},
        ValueError,
        "CidrBlock.except_cidrs .*, got '10.2.0.0/x'",
    ),
    (cw.EgressRule, {"cidr": "nowhere"}, ValueError, "CidrBlock.cidr .*, got 'nowhere'"),
    (cw.IngressRule, {"cidr": {"cidr": "10.0.0.0/-1"}}, ValueError, "got '10.0.0.0/-1'"),
    (cw.PortRange, {"port": 0}, ValueError, "1-65535"),
    (cw.PortRange, {"port": True}, TypeError, "int"),
    (cw.PortRange, {"port": 90, "end_port": 80}, ValueError, "below port"),
    (cw.SelectorBlock, {"pod_labels": {}}, ValueError, "at least one label"),
    (cw.EgressRule, {}, ValueError, "exactly one of"),
    (cw.EgressRule, {"any": True, "cidr": "10.0.0.0/8"}, ValueError, "2 were given"),
    (cw.EgressRule, {"dns_name": ""}, ValueError, "cannot be empty"),
    (cw.EgressRule, {"dns_name": "*"}, ValueError, "policy ceiling"),
    (cw.EgressRule, {"dns_name": "a.com", "ports": [80]}, ValueError, "443 only"),
    (
        cw.EgressRule,
        {"dns_name": "a.com", "ports": [{"port": 443, "protocol": "UDP"}]},
        ValueError,
        "443",
    ),
    (
        cw.EgressRule,
        {"dns_name": "a.com", "dns_name_except": ["b.a.com"]},
        ValueError,
        "dns_name_except",
    ),
    (cw.EgressRule, {"tenant": "everybody"}, ValueError, "same_org"),
    (cw.EgressRule, {"cidr": 5}, TypeError, "CidrBlock"),
    (cw.EgressRule, {"any": 1}, TypeError, "bool"),
    (cw.IngressRule, {"dns_name": "a.com"}, TypeError, "dns_name"),
    (cw.IngressRule, {"any": True, "ports": "80"}, TypeError, "sequence"),
    (
        cw.NetworkOptions,
        {"deny_egress": True, "egress": [{"any": True}]},
        ValueError,
        "cannot be combined",
    ),
    (cw.NetworkOptions, {"egress": "pypi.org"}, TypeError, "sequence of rules, not a string"),
    (cw.NetworkOptions, {"ingress": [5]}, TypeError, "IngressRule or dict"),
    (cw.NetworkOptions, {"deny_ingress": 1}, TypeError, "bool"),
    (cw.Endpoint, {"kind": "https"}, ValueError, "needs auth"),
    (cw.Endpoint, {"kind": "tls_passthrough", "auth": "open"}, ValueError, "neither auth"),
    (
        cw.Endpoint,
        {"kind": "tls_passthrough", "request_timeout_seconds": 0},
        ValueError,
        "neither auth",
    ),
    (cw.Endpoint, {"kind": "ftp"}, ValueError, "not a valid EndpointKind"),
    (
        cw.Endpoint,
        {"kind": "https", "auth": "open", "request_timeout_seconds": True},
        TypeError,
        "int",
    ),
    (cw.Service, {"port": 0}, ValueError, "1-65535"),
    (cw.Service, {"port": "80"}, TypeError, "int"),
    (cw.Service, {"port": 80, "visibility": "world"}, ValueError, "public"),
    (
        cw.Service,
        {"port": 80, "endpoint": {"kind": "https", "auth": "open"}},
        ValueError,
        "must be PUBLIC",
    ),
    (
        cw.Service,
        {
            "port": 80,
            "visibility": "public",
            "protocol": "udp",
            "endpoint": {"kind": "https", "auth": "open"},
        },
        ValueError,
        "must be unset or TCP",
    ),
    (
        cw.Service,
        {"port": 80, "visibility": "public", "endpoint": "https"},
        TypeError,
        "Endpoint or dict",
    ),
    (cw.EndpointShareToken, {"value": ""}, ValueError, "empty"),
    (cw.EndpointShareToken, {"value": b"x"}, TypeError, "must be a str, got bytes"),
    (cw.ScratchVolumeOptions, {"name": ""}, ValueError, "ScratchVolumeOptions.name"),
    (cw.ScratchVolumeOptions, {"name": "v", "mount_path": "data"}, ValueError, "absolute"),
    (cw.ScratchVolumeOptions, {"name": "v", "mount_path": "/"}, ValueError, "root"),
    (cw.ScratchVolumeOptions, {"name": "v", "medium": "tape"}, ValueError, "memory"),
    (cw.ScratchVolumeOptions, {"name": "v", "sub_path": "/a"}, ValueError, "relative"),
    (cw.ScratchVolumeOptions, {"name": "v", "sub_path": "a/../b"}, ValueError, "relative"),
    (cw.ScratchVolumeOptions, {"name": "v", "read_only": 1}, TypeError, "bool"),
    (
        cw.RegisteredVolumeOptions,
        {"name": "v", "volume_id": "", "mount_path": "/a"},
        ValueError,
        "volume_id",
    ),
    (cw.VolumeMount, {"volume": "v", "mount_path": "a"}, ValueError, "absolute"),
    (cw.FileSystemSnapshotOptions, {"name": ""}, ValueError, "FileSystemSnapshotOptions.name"),
    (cw.FileSystemSnapshotOptions, {"mount_path": "/"}, ValueError, "root"),
    (cw.SecurityContext, {"run_as_user": -1}, ValueError, "0-4294967295"),
    (cw.SecurityContext, {"run_as_group": 2**32}, ValueError, "0-4294967295"),
    (cw.SecurityContext, {"run_as_user": True}, TypeError, "int"),
    (cw.SecurityContext, {"privileged": 1}, TypeError, "bool"),
    (cw.SecurityContext, {"capabilities_add": "NET_ADMIN"}, TypeError, "bare string"),
    (cw.Container, {"image": ""}, ValueError, "Container.image"),
    (cw.Container, {"image": "i", "name": "Main"}, ValueError, "DNS-1123"),
    (cw.Container, {"image": "i", "name": "a" * 64}, ValueError, "63"),
    (cw.Container, {"image": "i", "name": "dns-egress"}, ValueError, "reserved"),
    (
        cw.Container,
        {"image": "i", "name": "cw-object-store-agent-restore-1"},
        ValueError,
        "reserved",
    ),
    (cw.Container, {"image": "i", "working_dir": "src"}, ValueError, "absolute"),
    (cw.Container, {"image": "i", "args": "-c"}, TypeError, "bare string"),
    (
        cw.Container,
        {"image": "i", "mounted_files": [{"mount_path": "/a"}]},
        ValueError,
        "file_content",
    ),
    (
        cw.Container,
        {"image": "i", "environment_variables": {"A": 1}},
        TypeError,
        "must be a str, got int",
    ),
]


@pytest.mark.parametrize(("cls", "fields", "error", "words"), REFUSED)
def test_refused(cls: Any, fields: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        cls(**fields)


BAD_HOST_NAMES = """
    a.*.b *.*.b *foo.com foo_bar.com -a.com a-.com a..b a.com. http://a.com a.com:443 a.com/x a%20b ä.de *.
"""


@pytest.mark.parametrize("name", [*BAD_HOST_NAMES.split(), "a b.com", "a." * 127 + "ab"])
def test_refused_host_names(name: str) -> None:
    with pytest.raises(ValueError, match="DNS-1123"):
        cw.EgressRule(dns_name=name)


@pytest.mark.parametrize(
    ("given", "expected"),
    [(" PyPI.org ", "pypi.org"), ("*.pypi.org", "*.pypi.org"), ("localhost", "localhost")],
)
def test_host_names(given: str, expected: str) -> None:
    assert cw.EgressRule(dns_name=given).dns_name == expected


def test_frozen_and_equal_by_value() -> None:
    one = cw.EgressRule(dns_name="a.com")
    assert one == cw.EgressRule(dns_name="A.com")
    assert hash(one) == hash(cw.EgressRule(dns_name="a.com"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.dns_name = "b.com"  # type: ignore[misc]


def test_rules_are_coerced() -> None:
    options = cw.NetworkOptions(
        egress=[
            {
                "cidr": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]},
                "ports": [80, {"port": 90, "end_port": 91}],
            },
            {"cidr": "192.168.0.0/16"},
            {"tenant": "SAME_ORG"},
            {"selector": {"pod_labels": {"app": "db"}}},
            cw.EgressRule(any=True),
        ],
        ingress=[{"any": True, "ports": [{"port": 53, "protocol": "udp"}]}],
    )
    assert options.egress == (
        cw.EgressRule(
            cidr=cw.CidrBlock(cidr="10.0.0.0/8", except_cidrs=("10.1.0.0/16",)),
            ports=(cw.PortRange(port=80), cw.PortRange(port=90, end_port=91)),
        ),
        cw.EgressRule(cidr=cw.CidrBlock(cidr="192.168.0.0/16")),
        cw.EgressRule(tenant=cw.TenantScope.SAME_ORG),
        cw.EgressRule(selector=cw.SelectorBlock(pod_labels={"app": "db"})),
        cw.EgressRule(any=True),
    )
    assert options.ingress == (
        cw.IngressRule(any=True, ports=(cw.PortRange(port=53, protocol="UDP"),)),
    )


def test_deny_with_an_empty_list() -> None:
    assert cw.NetworkOptions(deny_egress=True, egress=[]).egress == ()


def test_services_are_coerced() -> None:
    service = cw.Service(
        port=80,
        protocol="TCP",
        visibility="Public",
        endpoint={"kind": "HTTPS", "auth": "share_token"},
    )
    assert service.protocol is cw.ServiceProtocol.TCP
    assert service.endpoint == cw.Endpoint(
        kind=cw.EndpointKind.HTTPS, auth=cw.EndpointAuth.SHARE_TOKEN
    )


def test_empty_texts_count_as_not_given() -> None:
    assert cw.ScratchVolumeOptions(name="v", size="", restore_from_snapshot_id="").size is None
    assert cw.SecurityContext(seccomp_profile="").seccomp_profile is None
    assert cw.ObjectStorageAccess(buckets=["b"], object_prefix="").object_prefix is None


def test_snapshot_options_as_volume() -> None:
    options = cw.FileSystemSnapshotOptions(
        mount_path="/w", size="1Gi", file_system_snapshot_id="fss-1"
    )
    assert options.to_scratch_volume() == cw.ScratchVolumeOptions(
        name="workspace", mount_path="/w", size="1Gi", restore_from_snapshot_id="fss-1"
    )


def test_volumes_from_dicts() -> None:
    given = [
        {"name": "a", "mount_path": "/a"},
        {"name": "b", "volume_id": "vol-1", "mount_path": "/b"},
        {"name": "c", "volume_id": "vol-2"},
    ]
    assert volumes(given, "volumes") == (
        cw.ScratchVolumeOptions(name="a", mount_path="/a"),
        cw.RegisteredVolumeOptions(name="b", volume_id="vol-1", mount_path="/b"),
        DeclaredVolume(name="c", volume_id="vol-2"),
    )
    with pytest.raises(TypeError, match="ScratchVolumeOptions"):
        volumes([5], "volumes")
    with pytest.raises(TypeError, match="sequence"):
        volumes({"name": "a"}, "volumes")


def test_share_token_never_shows() -> None:
    token = cw.EndpointShareToken("secret-value")
    assert "secret-value" not in f"{token} {token!r} {[token]}"
    assert (str(token), repr(token)) == ("<redacted>", "EndpointShareToken(<redacted>)")
    assert token.get_secret_value() == "secret-value"
    assert token.as_headers() == {"X-Sandbox-Share-Token": "secret-value"}


def test_secrets_are_merged() -> None:
    a = cw.Secret(store="s", name="A")
    b = cw.Secret(store="s", name="b", env_var="B")
    assert a.env_var == "A"
    assert merge([a], [b, a]) == (a, b)
    with pytest.raises(ValueError, match="Conflicting secrets for env_var 'A'"):
        merge([a], [cw.Secret(store="t", name="A")])


def test_mounted_files_with_modes() -> None:
    row = {"mount_path": "/a", "file_content": b"text"}
    for mode in (0, 0o755, 0o777):
        assert mounted_files([{**row, "file_mode": mode}]) == ({**row, "file_mode": mode},)
    assert mounted_files([{**row, "file_mode": None}]) == (row,)
    for mode in (-1, 0o1000, 0o4755):
        with pytest.raises(ValueError, match=r"\[0\]: file_mode must be from 0 to 0o777, got -?0o"):
            mounted_files([{**row, "file_mode": mode}])
    for wrong in (True, "755", 7.0):
        with pytest.raises(TypeError, match=r"\[0\]: file_mode must be an int such as 0o755"):
            mounted_files([{**row, "file_mode": wrong}])


def test_mounted_files() -> None:
    expected = ({"mount_path": "/a", "file_content": b"text"},)
    assert mounted_files([{"mount_path": "/a", "file_content": "text"}]) == expected
    assert mounted_files({"/a": bytearray(b"text")}) == expected
    with pytest.raises(TypeError, match="bytes or str"):
        mounted_files({"/a": 5})
    with pytest.raises(TypeError, match="sequence"):
        mounted_files("files")


COMPUTE = {"cpu": "1", "memory": "1Gi"}


def rows(*names: str, primary: int = 0, **more: Any) -> list[dict[str, Any]]:
    return [
        {"image": "i", "name": name, "primary": index == primary, "resources": COMPUTE, **more}
        for index, name in enumerate(names)
    ]


def test_one_container_needs_little() -> None:
    assert containers([{"image": "i"}]) == (cw.Container(image="i"),)


def test_an_empty_name_is_none() -> None:
    assert cw.Container(image="i", name="").name is None


def test_several_containers() -> None:
    made = containers(rows("a", "b", primary=1))
    assert [row.primary for row in made] == [False, True]
    assert made[0].resources == cw.ResourceOptions(requests=COMPUTE, limits=COMPUTE)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ([], ValueError, "must not be empty"),
        ({"image": "i"}, TypeError, "sequence"),
        (["i"], TypeError, "Container or dict"),
        (rows("a", "a"), ValueError, "unique"),
        (rows("a", "b", primary=9), ValueError, "primary=True"),
        ([{**row, "name": None} for row in rows("a", "b")], ValueError, "needs a name"),
        ([{**row, "resources": None} for row in rows("a", "b")], ValueError, "needs resources"),
        ([*rows("a", "b"), {**rows("c")[0], "primary": True}], ValueError, "exactly one"),
        (
            [rows("a")[0], {**rows("x", "b")[1], "resources": {**COMPUTE, "gpu": 1}}],
            ValueError,
            "only the primary",
        ),
    ],
)
def test_refused_rows(given: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        containers(given)


def test_status_numbers() -> None:
    for status in cw.SandboxStatus:
        assert cw.SandboxStatus.from_proto(status.to_proto()) is status
    assert cw.SandboxStatus.PREPARING.to_proto() == 9


def test_unknown_status_number(caplog: pytest.LogCaptureFixture) -> None:
    assert cw.SandboxStatus.from_proto(99) is cw.SandboxStatus.UNSPECIFIED
    assert "99" in caplog.text


def test_enums_are_texts() -> None:
    assert str(cw.PlacementMode.CKS) == "cks"
    assert f"{cw.SandboxStatus.RUNNING}" == "running"
