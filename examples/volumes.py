"""Files that outlive sandboxes: a registered volume, which several may have at once.

Before: ``cwsandboxd --volume-dir PATH``, and ``CWSANDBOX_BASE_URL`` that names it.
"""

from cwsandbox import PvcVolumeSource, RegisteredVolumeOptions, Sandbox, Volume, list_runners

runner = list_runners()[0]
claim = PvcVolumeSource(runner_id=runner.runner_id, namespace="examples", claim_name="shared")
volume = Volume.create("shared", pvc=claim).result().wait_until_ready().result()
print(volume.state.value)

writing = RegisteredVolumeOptions(name="data", volume_id="shared", mount_path="/data")
reading = RegisteredVolumeOptions(name="data", volume_id="shared", mount_path="/in", read_only=True)
with Sandbox.run(volumes=[writing]) as writer, Sandbox.run(volumes=[reading]) as reader:
    writer.write_file("/data/note", b"written by one, ").result()
    note = reader.read_file("/in/note").result().decode()
    print(note + "read by another")

print(Volume.get("shared").result().attached_sandbox_count, "attached")
volume.delete().result()
