"""grpcio's client against our daemon: templates, sandboxes from them, and settings."""

from __future__ import annotations

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
tb = protos.messages("sandbox_template")
sb = protos.messages("settings")


class Stubs:
    def __init__(self, channel: grpc.Channel) -> None:
        self.sandboxes = protos.stubs().SandboxServiceStub(channel)
        self.templates = protos.stubs("sandbox_template").SandboxTemplateServiceStub(channel)
        self.settings = protos.stubs("settings").SettingsServiceStub(channel)


@pytest.fixture
def daemon(short_folder: Path) -> Iterator[Daemon]:
    arguments = ("--data-dir", str(short_folder / "data"))
    with Daemon(short_folder / "d", arguments=arguments) as daemon:
        yield daemon


@pytest.fixture
def stubs(daemon: Daemon) -> Iterator[Stubs]:
    with grpc.insecure_channel(daemon.base_url) as channel:
        yield Stubs(channel)


def partial(**fields: Any) -> Any:
    container = pb.PartialContainer(
        name="main",
        image="python:3.11",
        command="sh",
        args=["-c", "exit 4"],
        environment_variables={"B": "2", "A": "1"},
        files=[pb.FileMount(path="/f", content=b"content")],
    )
    return pb.PartialSandboxSpec(containers=[container], **fields)


def make(stubs: Stubs, name: str = "", request_id: str = "", **fields: Any) -> Any:
    template = tb.SandboxTemplate(display_name=name, spec=partial(**fields))
    request = tb.CreateSandboxTemplateRequest(sandbox_template=template, request_id=request_id)
    return stubs.templates.CreateSandboxTemplate(request)


def get(stubs: Stubs, key: str, **fields: Any) -> Any:
    request = tb.GetSandboxTemplateRequest(sandbox_template_id=key, **fields)
    return stubs.templates.GetSandboxTemplate(request, wait_for_ready=True)


def run(stubs: Stubs, key: str, overrides: Any = None, **fields: Any) -> Any:
    request = pb.CreateSandboxFromTemplateRequest(template_id=key, overrides=overrides, **fields)
    return stubs.sandboxes.CreateSandboxFromTemplate(request, wait_for_ready=True)


def refused(call: Any, *arguments: Any, **fields: Any) -> tuple[str, str]:
    """The code and the reason."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **fields)
    status = rpc_status.from_call(caught.value)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return caught.value.code().name, info.reason.removeprefix("CWSANDBOX_")


# ---- templates -------------------------------------------------------------------------------


def test_a_template_is_kept(stubs: Stubs, daemon: Daemon) -> None:
    made = make(stubs, "builder", tags=["a"], request_id="one")
    assert made.sandbox_template_id.startswith("tmpl-")
    assert made.revision == 1
    assert made.create_time == made.update_time
    assert made.spec == partial(tags=["a"])
    assert make(stubs, "builder", tags=["a"], request_id="one") == made
    assert get(stubs, "builder") == get(stubs, made.sandbox_template_id) == made
    daemon.kill()
    daemon.start()
    assert get(stubs, "builder") == made


def test_names_are_one_templates(stubs: Stubs) -> None:
    first = make(stubs, "name", request_id="one")
    assert refused(make, stubs, "name") == ("ALREADY_EXISTS", "TEMPLATE_ALREADY_EXISTS")
    assert refused(make, stubs, "x", request_id="one") == (
        "ALREADY_EXISTS",
        "REQUEST_ID_CONFLICT",
    )
    other = make(stubs)
    assert make(stubs).sandbox_template_id != other.sandbox_template_id
    key = first.sandbox_template_id
    stubs.templates.DeleteSandboxTemplate(tb.DeleteSandboxTemplateRequest(sandbox_template_id=key))
    again = make(stubs, "name")
    assert get(stubs, "name") == again
    assert refused(get, stubs, key) == ("NOT_FOUND", "TEMPLATE_NOT_FOUND")
    deleted = get(stubs, key, show_deleted=True)
    assert deleted.deleted
    assert deleted.delete_time.seconds > 0
    assert refused(run, stubs, key) == ("NOT_FOUND", "TEMPLATE_NOT_FOUND")


def test_lists_come_in_pages(stubs: Stubs) -> None:
    made = [make(stubs, f"t{number}") for number in range(5)]
    key = made[1].sandbox_template_id
    stubs.templates.DeleteSandboxTemplate(tb.DeleteSandboxTemplateRequest(sandbox_template_id=key))

    def pages(**fields: Any) -> list[list[str]]:
        found, token = [], ""
        while True:
            request = tb.ListSandboxTemplatesRequest(page_size=2, page_token=token, **fields)
            reply = stubs.templates.ListSandboxTemplates(request)
            found.append([template.display_name for template in reply.sandbox_templates])
            token = reply.next_page_token
            if not token:
                return found

    assert pages() == [["t0", "t2"], ["t3", "t4"]]
    assert pages(show_deleted=True) == [["t0", "t1"], ["t2", "t3"], ["t4"]]
    listing = stubs.templates.ListSandboxTemplates
    token = listing(tb.ListSandboxTemplatesRequest(page_size=1)).next_page_token
    for wrong in (
        tb.ListSandboxTemplatesRequest(page_token=token, show_deleted=True),
        tb.ListSandboxTemplatesRequest(page_token="x"),
        tb.ListSandboxTemplatesRequest(page_size=-1),
    ):
        assert refused(listing, wrong) == ("INVALID_ARGUMENT", "INVALID_REQUEST")


def test_an_update_is_another_revision(stubs: Stubs) -> None:
    made = make(stubs, "old", tags=["a"])
    changed = tb.SandboxTemplate(display_name="new", spec=partial(tags=["b"]))

    def update(*paths: str) -> Any:
        request = tb.UpdateSandboxTemplateRequest(
            sandbox_template_id=made.sandbox_template_id,
            sandbox_template=changed,
            update_mask=field_mask_pb2.FieldMask(paths=paths),
        )
        return stubs.templates.UpdateSandboxTemplate(request)

    renamed = update("display_name")
    assert (renamed.display_name, list(renamed.spec.tags)) == ("new", ["a"])
    assert renamed.revision == 2
    assert update("*").spec.tags == ["b"]
    assert get(stubs, "new").revision == 3
    assert refused(update, "revision") == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    make(stubs, "taken")
    changed.display_name = "taken"
    assert refused(update) == ("ALREADY_EXISTS", "TEMPLATE_ALREADY_EXISTS")


def test_what_a_template_cannot_be(stubs: Stubs) -> None:
    for wrong in (
        tb.CreateSandboxTemplateRequest(),
        tb.CreateSandboxTemplateRequest(sandbox_template=tb.SandboxTemplate(display_name="x")),
        tb.CreateSandboxTemplateRequest(
            sandbox_template=tb.SandboxTemplate(sandbox_template_id="mine", spec=partial())
        ),
        tb.CreateSandboxTemplateRequest(
            sandbox_template=tb.SandboxTemplate(spec=partial(tags=["x" * (5 << 20)]))
        ),
    ):
        found = refused(stubs.templates.CreateSandboxTemplate, wrong)
        assert found == ("INVALID_ARGUMENT", "INVALID_REQUEST")


# ---- sandboxes from templates ----------------------------------------------------------------


def test_a_sandbox_from_a_template(stubs: Stubs) -> None:
    template = make(
        stubs, "exits", tags=["a", "b"], max_lifetime_seconds=100, annotations={"k": "v"}
    )
    made = run(stubs, "exits", display_name="shown")
    assert made.source_template_id == template.sandbox_template_id
    assert made.source_template_revision == 1
    assert made.display_name == "shown"
    assert list(made.spec.tags) == ["a", "b"]
    assert made.spec.max_lifetime_seconds == 100
    assert dict(made.spec.annotations) == {"k": "v"}
    assert dict(made.spec.containers[0].environment_variables) == {"A": "1", "B": "2"}
    later = stubs.sandboxes.GetSandbox(pb.GetSandboxRequest(sandbox_id=made.sandbox_id))
    assert later.source_template_id == template.sandbox_template_id


def test_what_is_there_replaces(stubs: Stubs) -> None:
    make(stubs, "base", tags=["a", "b"], max_lifetime_seconds=100, annotations={"k": "v"})
    container = pb.PartialContainer(name="other", image="i", command="true")
    overrides = pb.PartialSandboxSpec(
        containers=[container], tags=["c"], annotations={"x": "y"}, network=pb.NetworkOptions()
    )
    spec = run(stubs, "base", overrides).spec
    assert [one.name for one in spec.containers] == ["other"]
    assert not spec.containers[0].environment_variables
    assert not spec.containers[0].files
    assert list(spec.tags) == ["c"]
    assert dict(spec.annotations) == {"x": "y"}
    assert spec.HasField("network")
    assert spec.max_lifetime_seconds == 100
    same = run(stubs, "base", pb.PartialSandboxSpec()).spec
    assert list(same.tags) == ["a", "b"]


def test_the_same_request_is_the_same_sandbox(stubs: Stubs, daemon: Daemon) -> None:
    template = make(stubs, "base")
    overrides = partial(tags=["x"])
    first = run(stubs, "base", overrides, request_id="one")
    key = template.sandbox_template_id
    stubs.templates.DeleteSandboxTemplate(tb.DeleteSandboxTemplateRequest(sandbox_template_id=key))
    assert run(stubs, "base", overrides, request_id="one").sandbox_id == first.sandbox_id
    daemon.kill()
    daemon.start()
    again = run(stubs, "base", overrides, request_id="one")
    assert (again.sandbox_id, again.source_template_id) == (first.sandbox_id, key)
    assert refused(run, stubs, "base", request_id="one") == (
        "ALREADY_EXISTS",
        "REQUEST_ID_CONFLICT",
    )


def test_the_resolved_spec_is_checked(stubs: Stubs) -> None:
    make(stubs, "bad", tags=[""])
    assert refused(run, stubs, "bad") == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert run(stubs, "bad", pb.PartialSandboxSpec(tags=["good"])).sandbox_id
    empty = tb.SandboxTemplate(display_name="empty", spec=pb.PartialSandboxSpec())
    stubs.templates.CreateSandboxTemplate(tb.CreateSandboxTemplateRequest(sandbox_template=empty))
    assert refused(run, stubs, "empty") == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert run(stubs, "empty", partial()).sandbox_id
    assert refused(run, stubs, "nowhere") == ("NOT_FOUND", "TEMPLATE_NOT_FOUND")
    assert refused(run, stubs, "") == ("INVALID_ARGUMENT", "INVALID_REQUEST")


def test_a_template_may_need_a_mode(stubs: Stubs) -> None:
    template = tb.SandboxTemplate(display_name="cks", spec=partial(), requires_cks=True)
    stubs.templates.CreateSandboxTemplate(
        tb.CreateSandboxTemplateRequest(sandbox_template=template)
    )
    assert run(stubs, "cks").spec.mode == pb.SANDBOX_MODE_CKS
    serverless = pb.PartialSandboxSpec(mode=pb.SANDBOX_MODE_SERVERLESS)
    assert refused(run, stubs, "cks", serverless) == (
        "FAILED_PRECONDITION",
        "PLACEMENT_CONSTRAINT_UNSATISFIED",
    )


# ---- settings --------------------------------------------------------------------------------


def test_snapshots_have_no_bucket(stubs: Stubs) -> None:
    found = stubs.settings.GetFileSystemSnapshotBucketConfig(
        sb.GetFileSystemSnapshotBucketConfigRequest()
    )
    assert found.mode == sb.FILE_SYSTEM_SNAPSHOT_BUCKET_MODE_CW_MANAGED
    update = stubs.settings.UpdateFileSystemSnapshotBucketConfig
    config = sb.FileSystemSnapshotBucketConfig()
    request = sb.UpdateFileSystemSnapshotBucketConfigRequest(
        file_system_snapshot_bucket_config=config
    )
    assert update(request) == found
    request.file_system_snapshot_bucket_config.bucket_name = "mine"
    assert refused(update, request) == ("FAILED_PRECONDITION", "FSS_BUCKET_UNAVAILABLE")


def test_nothing_is_built(stubs: Stubs) -> None:
    found = stubs.settings.GetBuildStorageConfig(sb.GetBuildStorageConfigRequest())
    assert not found.enabled
    update = stubs.settings.UpdateBuildStorageConfig
    config = sb.BuildStorageConfig()
    request = sb.UpdateBuildStorageConfigRequest(build_storage_config=config)
    assert update(request) == found
    request.build_storage_config.enabled = True
    assert refused(update, request) == ("UNIMPLEMENTED", "NOT_IMPLEMENTED")
