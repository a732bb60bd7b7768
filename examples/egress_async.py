"""Sandboxes of an event loop with different networks: none, one host by name, and what the service gives."""

import asyncio

from cwsandbox import EgressRule, NetworkOptions, Sandbox, SandboxError

NETWORKS = {
    "none": NetworkOptions(deny_egress=True),
    "one host": NetworkOptions(egress=[EgressRule(dns_name="pypi.org")]),
    "not denied": NetworkOptions(deny_egress=False),
}


async def tell(name: str, network: NetworkOptions) -> str:
    try:
        async with Sandbox.run(network=network) as sandbox:
            await sandbox.exec(["true"])
            reached = sandbox.dns_egress_names or sandbox.effective_egress
            return f"{name}: {reached}"
    except SandboxError as error:
        if error.reason != "CWSANDBOX_NOT_IMPLEMENTED":
            raise
        return f"{name}: not on this service (cwsandboxd does with --egress)"


async def main() -> None:
    for line in await asyncio.gather(*(tell(name, network) for name, network in NETWORKS.items())):
        print(line)


asyncio.run(main())
