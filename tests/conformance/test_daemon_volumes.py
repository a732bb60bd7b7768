"""Scratch volumes of a sandbox, as grpcio's client asks for them and commands see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from conformance import protos

pb = protos.messages()


@pytest.fixture
def create(stub: Any) -> Iterator[Callable[..., Any]]:
    """``create(volumes, mounts, **container)`` gives the sandbox as the service answers it."""
    made: list[str] = []

    def create_sandbox(volumes: list[Any], mounts: list[Any], **container: Any) -> Any:
        main = pb.Container(name="main", image="any", volume_mounts=mounts, **container)
        wanted = pb.Sandbox(spec=pb.SandboxSpec(containers=[main], volumes=volumes))
        sandbox = stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=wanted))
        made.append(sandbox.sandbox_id)
        return sandbox

    yield create_sandbox
    for one in made:
        stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=one, allow_missing=True))


def scratch(name: str, **fields: Any) -> Any:
    return pb.SandboxVolume(name=name, scratch=pb.ScratchVolume(**fields))


def sh(stub: Any, sandbox: Any, script: str) -> tuple[int, str]:
    request = pb.ExecRequest(sandbox_id=sandbox.sandbox_id, command=["sh", "-c", script])
    answer = stub.Exec(request)
    return answer.exit_code, answer.stdout.decode()


def refusal(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), str(caught.value.details())


def test_echo(stub: Any, create: Callable[..., Any]) -> None:
    """Create, Get and List repeat the volumes; one without a source is shown as what it is."""
    volumes = [scratch("data", size="8Mi", medium=pb.STORAGE_MEDIUM_MEMORY), {"name": "plain"}]
    mounts = [pb.VolumeMount(volume="data", mount_path="/data", sub_path="in", read_only=True)]
    sandbox = create(volumes, mounts)
    got = stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=sandbox.sandbox_id))
    listed = stub.ListSandboxes(pb.ListSandboxesRequest()).sandboxes
    for shown in (sandbox, got, *(s for s in listed if s.sandbox_id == sandbox.sandbox_id)):
        assert shown.spec.volumes[0] == volumes[0]
        assert shown.spec.volumes[1].WhichOneof("source") == "scratch"
        assert list(shown.spec.containers[0].volume_mounts) == mounts


def test_size_is_a_limit(stub: Any, create: Callable[..., Any]) -> None:
    sandbox = create([scratch("data", size="2Mi")], [{"volume": "data", "mount_path": "/data"}])
    code, _ = sh(stub, sandbox, "head -c 1500K /dev/zero > /data/fits")
    assert code == 0
    code, _ = sh(stub, sandbox, "head -c 1500K /dev/zero > /data/too-much")
    assert code != 0
    assert sh(stub, sandbox, "df -Pk /data | tail -1 | awk '{print $2}'") == (0, "2048\n")


def test_several_mounts(stub: Any, create: Callable[..., Any]) -> None:
    """Folders before what is in them, in whatever order the mounts are given."""
    mounts = [
        pb.VolumeMount(volume="b", mount_path="/a/b", read_only=True),
        pb.VolumeMount(volume="a", mount_path="/a"),
        pb.VolumeMount(volume="a", mount_path="/elsewhere/sub", sub_path="x/y"),
    ]
    sandbox = create([scratch("a"), scratch("b"), scratch("unused")], mounts, working_dir="/a/x/y")
    assert sh(stub, sandbox, "pwd; echo hi > f; cat /elsewhere/sub/f; ls /a") == (
        0,
        "/a/x/y\nhi\nb\nx\n",
    )
    assert sh(stub, sandbox, ": > /a/b/no")[0] != 0


def test_files_go_into_volumes(stub: Any, create: Callable[..., Any]) -> None:
    files = [pb.FileMount(path="/data/conf/file", content=b"text")]
    mounts = [pb.VolumeMount(volume="data", mount_path="/data")]
    sandbox = create([scratch("data")], mounts, files=files)
    assert sh(stub, sandbox, "cat /data/conf/file") == (0, "text")


@pytest.mark.parametrize(
    ("volume", "mount", "says"),
    [
        ({"name": "Bad_Name"}, {}, "Bad_Name"),
        ({"name": "data", "scratch": {"size": "lots"}}, {}, "lots"),
        ({"name": "data"}, {"volume": "data", "mount_path": "/"}, "the root"),
        ({"name": "data"}, {"volume": "data", "mount_path": "/proc/sys"}, "/proc"),
        ({"name": "data"}, {"volume": "none", "mount_path": "/data"}, "none"),
        (
            {"name": "data"},
            {"volume": "data", "mount_path": "/data", "sub_path": "a/../../b"},
            "sub_path",
        ),
    ],
)
def test_refused(
    create: Callable[..., Any], volume: dict[str, Any], mount: dict[str, Any], says: str
) -> None:
    mounts = [pb.VolumeMount(**mount)] if mount else []
    code, details = refusal(lambda: create([pb.SandboxVolume(**volume)], mounts))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert says in details


def test_more_than_the_host_gives(stub: Any, create: Callable[..., Any]) -> None:
    """A size is a limit. One beyond what there is room for is lowered, and the answers say to what."""
    volumes = [scratch("data", size="1Ei"), scratch("small", size="1Mi"), scratch("rest")]
    mounts = [{"volume": "data", "mount_path": "/data"}, {"volume": "rest", "mount_path": "/rest"}]
    sandbox = create(volumes, mounts)
    got = stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=sandbox.sandbox_id))
    assert got.spec.volumes == sandbox.spec.volumes
    large, small, rest = (one.scratch.size for one in sandbox.spec.volumes)
    assert (large[-2:], small, rest) == ("Ki", "1Mi", "")
    _, sizes = sh(stub, sandbox, "df -k --output=size /data /rest | tail -n 2")
    assert [f"{size}Ki" for size in sizes.split()] == [large, large]


def test_a_path_that_is_no_folder(stub: Any, create: Callable[..., Any]) -> None:
    """The sandbox fails, and says which mount it was."""
    sandbox = create([scratch("data")], [{"volume": "data", "mount_path": "/etc/passwd/x"}])
    assert sandbox.status.state == pb.STATE_FAILED
    assert "mounting a volume at /etc/passwd/x" in sandbox.status.state_reason
