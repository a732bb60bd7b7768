"""Templates, registered volumes and settings with the published SDK. It is imported here, so nothing of ours may be."""

from __future__ import annotations

import sys

from common import RUNNER, raised

from cwsandbox import (
    PvcVolumeSource,
    Sandbox,
    SandboxNotFoundError,
    SandboxSnapshotError,
    Volume,
    VolumeError,
    VolumeNotFoundError,
)


def template() -> None:
    """The template's id is the argument: the SDK makes none."""
    with Sandbox.run_from_template(sys.argv[2], tags=["mine"]) as sandbox:
        assert sandbox.exec(["sh", "-c", "echo $GREETING"]).result().stdout == "hello\n"
        assert list(sandbox.tags or []) == ["mine"], sandbox.tags
    with Sandbox.run_from_template("greeter") as sandbox:
        assert sandbox.wait().status == "running"
    error = raised(lambda: Sandbox.run_from_template("nowhere").wait())
    assert isinstance(error, SandboxNotFoundError)
    assert "nowhere" in str(error)


def volumes() -> None:
    pvc = PvcVolumeSource(runner_id=RUNNER, namespace="team", claim_name="data")
    made = Volume.create("data", pvc=pvc, description="first").result()
    assert str(made.state) == "validating"
    error = raised(lambda: made.wait_until_ready().result())
    assert isinstance(error, VolumeError)
    assert "no persistent volume claims" in str(error)
    found = Volume.get("data").result()
    assert found.pvc.claim_name == "data"
    assert (found.description, str(found.state)) == ("first", "error")
    assert found.update(description="second").result().description == "second"
    assert [one.volume_id for one in Volume.list(runner_ids=[RUNNER]).result()] == ["data"]
    assert Volume.list(states=["ready"]).result() == []
    assert str(found.validate().result().state) == "validating"
    found.delete().result()
    assert isinstance(raised(lambda: Volume.get("data").result()), VolumeNotFoundError)
    found.delete(allow_missing=True).result()
    assert found.volume_id == "data"


def settings() -> None:
    config = Sandbox.get_snapshot_bucket_config().result()
    assert str(config.mode) == "cw_managed"
    assert Sandbox.set_snapshot_bucket_config(bucket_name="").result() == config
    error = raised(lambda: Sandbox.set_snapshot_bucket_config(bucket_name="mine").result())
    assert isinstance(error, SandboxSnapshotError)
    assert error.reason == "CWSANDBOX_FSS_BUCKET_UNAVAILABLE"


globals()[sys.argv[1]]()
