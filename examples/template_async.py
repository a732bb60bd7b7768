"""Several sandboxes at once from one description that the service keeps.

Before: ``cwsandbox templates create --image python:3.11 -e GREETING=hello --tag from-template greeter``
"""

import asyncio

from cwsandbox import Sandbox


async def greet(name: str) -> str:
    async with Sandbox(template_id="greeter", tags=[name]) as sandbox:
        result = await sandbox.exec(["sh", "-c", 'echo "$GREETING $0"', name])
        return result.stdout.strip()


async def main() -> None:
    print(await asyncio.gather(*(greet(name) for name in ("Ada", "Grace", "Mary"))))


asyncio.run(main())
