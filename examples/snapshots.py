"""Prepare a working directory once, save it, and start several sandboxes from what was saved."""

from cwsandbox import FileSystemSnapshotOptions, Sandbox, ScratchVolumeOptions, results

workspace = ScratchVolumeOptions(name="workspace", mount_path="/work")
with Sandbox.run(volumes=[workspace]) as sandbox:
    sandbox.exec(["sh", "-c", "seq 1000 > /work/numbers"], check=True).result()
    prepared = sandbox.snapshot().result()
    # What comes later is not in the snapshot.
    sandbox.exec(["rm", "/work/numbers"], check=True).result()

copies = [
    Sandbox(
        file_system_snapshot=FileSystemSnapshotOptions(
            mount_path="/work", file_system_snapshot_id=prepared
        )
    )
    for _ in range(2)
]
lines = [copy.exec(["sh", "-c", "wc -l < /work/numbers"]) for copy in copies]
print([int(result.stdout) for result in results(lines)])

# The first one has changed what it was given, and what it leaves is saved when it is stopped.
first, second = copies
first.exec(["sh", "-c", "echo done > /work/state"], check=True).result()
first.stop(snapshot_on_stop=True).result()
second.stop().result()
last = first.file_system_snapshot_id
assert last is not None
print(Sandbox.get_snapshot(last).result().trigger)

for snapshot_id in (prepared, last):
    Sandbox.delete_snapshot(snapshot_id).result()
print(len(Sandbox.list_snapshots(source_sandbox_id=first.sandbox_id).result()), "left")
