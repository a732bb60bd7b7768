"""Secrets in sandboxes of an event loop: each gets only what it needs, under the name that it expects.

Before: ``cwsandbox secrets set team NAME`` for ``API_KEY`` and ``DEPLOY_KEY``, and ``CWSANDBOX_BASE_URL=local``.
"""

import asyncio

from cwsandbox import Sandbox, Secret

NAMES = "import os; print(sorted(name for name in os.environ if name.endswith('_KEY') or name == 'TOKEN'))"


async def seen_with(*secrets: Secret) -> str:
    async with Sandbox.run(secrets=secrets) as sandbox:
        return (await sandbox.exec(["python3", "-c", NAMES], check=True)).stdout


async def main() -> None:
    tests = Secret(store="team", name="API_KEY")
    release = Secret(store="team", name="DEPLOY_KEY", env_var="TOKEN")
    for seen in await asyncio.gather(seen_with(tests), seen_with(tests, release), seen_with()):
        print(seen, end="")


asyncio.run(main())
