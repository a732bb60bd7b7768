"""grpcio's client against our daemon: volumes that are registered, as far as one host can have them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import field_mask_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from conformance import protos
from integration.env import Daemon

pb = protos.messages()
vb = protos.messages("volume")
RUNNER = f"local-{socket.gethostname()}"


@pytest.fixture
def daemon(short_folder: Path) -> Iterator[Daemon]:
    arguments = ("--data-dir", str(short_folder / "data"))
    with Daemon(short_folder / "d", arguments=arguments) as daemon:
        yield daemon


@pytest.fixture
def stub(daemon: Daemon) -> Iterator[Any]:
    with grpc.insecure_channel(daemon.base_url) as channel:
        yield protos.stubs("volume").VolumeServiceStub(channel)


def claim(**fields: Any) -> Any:
    given = {"runner_id": RUNNER, "namespace": "team", "claim_name": "data", **fields}
    return vb.PvcVolumeSource(**given)


def volume(volume_id: str, pvc: Any = None, **fields: Any) -> Any:
    return vb.Volume(volume_id=volume_id, spec=vb.VolumeSpec(pvc=pvc or claim(), **fields))


def create(stub: Any, volume_id: str, request_id: str = "", **fields: Any) -> Any:
    wanted = vb.CreateVolumeRequest(volume=volume(volume_id, **fields), request_id=request_id)
    return stub.CreateVolume(wanted)


def get(stub: Any, volume_id: str) -> Any:
    return stub.GetVolume(vb.GetVolumeRequest(volume_id=volume_id), wait_for_ready=True)


def refused(call: Any, *arguments: Any, **fields: Any) -> tuple[str, str, dict[str, str]]:
    """The code, the reason and its metadata."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **fields)
    info = error_details_pb2.ErrorInfo()
    assert rpc_status.from_call(caught.value).details[0].Unpack(info)
    reason = info.reason.removeprefix("CWSANDBOX_")
    return caught.value.code().name, reason, dict(info.metadata)


def test_a_volume_is_kept_and_says_why_it_is_none(stub: Any, daemon: Daemon) -> None:
    made = create(stub, "data", "one", description="d", read_only=True)
    assert made.status.state == vb.VOLUME_STATE_VALIDATING
    assert made.spec == volume("", description="d", read_only=True).spec
    found = get(stub, "data")
    assert found.status.state == vb.VOLUME_STATE_ERROR
    assert "no persistent volume claims" in found.status.state_reason
    assert found.status.create_time.seconds > 0
    assert found.status.last_validated_time.seconds > 0
    assert create(stub, "data", "one", description="d", read_only=True) == found
    daemon.kill()
    daemon.start()
    assert get(stub, "data") == found
    again = stub.ValidateVolume(vb.ValidateVolumeRequest(volume_id="data"))
    assert again.status.state == vb.VOLUME_STATE_VALIDATING
    assert get(stub, "data").status.state == vb.VOLUME_STATE_ERROR


def test_what_cannot_be_registered(stub: Any) -> None:
    create(stub, "taken", "one")
    invalid = ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert refused(create, stub, "")[:2] == invalid
    assert refused(create, stub, "x" * 257)[:2] == invalid
    for missing in ("runner_id", "namespace", "claim_name"):
        found = refused(create, stub, "x", pvc=claim(**{missing: ""}))
        assert found[:2] == invalid
    bare = vb.CreateVolumeRequest(volume=vb.Volume(volume_id="x", spec=vb.VolumeSpec()))
    assert refused(stub.CreateVolume, bare)[:2] == invalid
    other = refused(create, stub, "x", pvc=claim(runner_id="elsewhere"))
    assert other[:2] == ("FAILED_PRECONDITION", "VOLUME_RUNNER_INELIGIBLE")
    assert refused(create, stub, "taken", "two")[:2] == (
        "ALREADY_EXISTS",
        "VOLUME_ALREADY_EXISTS",
    )
    assert refused(create, stub, "x", "one")[:2] == ("ALREADY_EXISTS", "REQUEST_ID_CONFLICT")
    assert refused(get, stub, "x") == ("NOT_FOUND", "VOLUME_NOT_FOUND", {"volume_id": "x"})


def test_lists(stub: Any) -> None:
    for number in range(5):
        create(stub, f"v{number}")

    def pages(**fields: Any) -> list[list[str]]:
        found, token = [], ""
        while True:
            request = vb.ListVolumesRequest(page_size=2, page_token=token, **fields)
            reply = stub.ListVolumes(request)
            found.append([one.volume_id for one in reply.volumes])
            token = reply.next_page_token
            if not token:
                return found

    everything = [["v0", "v1"], ["v2", "v3"], ["v4"]]
    assert pages() == everything
    assert pages(states=[vb.VOLUME_STATE_READY, vb.VOLUME_STATE_ERROR]) == everything
    assert pages(states=[vb.VOLUME_STATE_READY]) == [[]]
    assert pages(runner_ids=[RUNNER]) == everything
    assert pages(runner_ids=["other"]) == [[]]
    token = stub.ListVolumes(vb.ListVolumesRequest(page_size=1)).next_page_token
    other = vb.ListVolumesRequest(page_token=token, runner_ids=[RUNNER])
    assert refused(stub.ListVolumes, other)[:2] == ("INVALID_ARGUMENT", "INVALID_REQUEST")


def test_only_the_description_changes(stub: Any) -> None:
    create(stub, "data", read_only=True)

    def update(wanted: Any, *paths: str) -> Any:
        request = vb.UpdateVolumeRequest(volume_id="data", volume=wanted)
        if paths:
            request.update_mask.CopyFrom(field_mask_pb2.FieldMask(paths=paths))
        return stub.UpdateVolume(request)

    described = vb.Volume(spec=vb.VolumeSpec(description="new"))
    changed = update(described, "spec.description")
    assert changed.spec == volume("", description="new", read_only=True).spec
    assert changed == get(stub, "data")
    assert update(volume("data", read_only=True)).spec.description == ""
    assert update(volume("data", read_only=True, description="x"), "*").spec.description == "x"
    invalid = ("INVALID_ARGUMENT", "INVALID_REQUEST")
    for wrong, paths in (
        (volume("data"), ()),
        (volume("other", read_only=True), ()),
        (volume("data", claim(claim_name="x"), read_only=True), ("*",)),
        (described, ()),
        (described, ("spec.read_only",)),
        (vb.Volume(), ("spec.description",)),
    ):
        assert refused(update, wrong, *paths)[:2] == invalid
    missing = vb.UpdateVolumeRequest(volume_id="x", volume=described)
    assert refused(stub.UpdateVolume, missing)[:2] == ("NOT_FOUND", "VOLUME_NOT_FOUND")


def test_deletion(stub: Any) -> None:
    create(stub, "data", "one")
    deleted = stub.DeleteVolume(vb.DeleteVolumeRequest(volume_id="data"))
    assert (deleted.volume_id, deleted.status.state) == ("data", vb.VOLUME_STATE_DELETING)
    again = vb.DeleteVolumeRequest(volume_id="data")
    assert refused(stub.DeleteVolume, again)[:2] == ("NOT_FOUND", "VOLUME_NOT_FOUND")
    again.allow_missing = True
    missing = stub.DeleteVolume(again)
    assert (missing.volume_id, missing.status.state) == ("data", vb.VOLUME_STATE_DELETING)
    assert create(stub, "data", "one").status.state == vb.VOLUME_STATE_VALIDATING


def test_sandboxes_are_not_attached(stub: Any, daemon: Daemon) -> None:
    create(stub, "data")

    def run(volume_id: str) -> None:
        spec = pb.SandboxSpec(
            containers=[pb.Container(name="main")],
            volumes=[pb.SandboxVolume(name="v", volume_id=volume_id)],
        )
        with grpc.insecure_channel(daemon.base_url) as channel:
            request = pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=spec))
            protos.stubs().SandboxServiceStub(channel).CreateSandbox(request)

    for volume_id, code, reason in (
        ("data", "FAILED_PRECONDITION", "VOLUME_NOT_READY"),
        ("other", "NOT_FOUND", "VOLUME_NOT_FOUND"),
    ):
        assert refused(run, volume_id) == (code, reason, {"volume_id": volume_id})
