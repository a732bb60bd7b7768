"""Two containers that share a volume, at work at the same time: one writes what the other reads."""

import asyncio

from cwsandbox import Container, Sandbox, ScratchVolumeOptions, VolumeMount

small = {"cpu": "100m", "memory": "128Mi"}
shared = [VolumeMount(volume="parts", mount_path="/parts")]
containers = [
    Container(name="reader", image="python:3.12", primary=True, resources=small, volume_mounts=shared),
    Container(name="writer", image="python:3.12", resources=small, volume_mounts=shared),
]  # fmt: skip

WRITE = "for n in 1 2 3; do echo part $n > /parts/.new && mv /parts/.new /parts/$n; done"
READ = "for n in 1 2 3; do until [ -e /parts/$n ]; do sleep 0.01; done; cat /parts/$n; done"


async def main() -> None:
    volumes = [ScratchVolumeOptions(name="parts")]
    async with Sandbox.run(containers=containers, volumes=volumes) as sandbox:
        read, written = await asyncio.gather(
            sandbox.exec(["sh", "-c", READ], container="reader"),
            sandbox.exec(["sh", "-c", WRITE], container="writer", check=True),
        )
        print(read.stdout, end="")
        print("exit codes", read.returncode, written.returncode)


asyncio.run(main())
