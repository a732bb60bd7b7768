"""Credentials of your own that are fetched in the event loop, by as many sandboxes as need them."""

import asyncio

from cwsandbox import AuthHeaders, Sandbox


class FromIssuer:
    """Asks whoever gives out keys. It may take its time: this runs outside the event loop."""

    def __init__(self) -> None:
        self.asked = 0

    def resolve_auth(self, *, base_url: str) -> AuthHeaders:
        self.asked += 1
        return AuthHeaders({"Authorization": "Bearer a-key-of-mine"}, "issuer")


async def greet(auth: FromIssuer, name: str) -> str:
    async with Sandbox.run(auth=auth) as sandbox:
        return (await sandbox.exec(["echo", f"hello, {name}"])).stdout.strip()


async def main() -> None:
    auth = FromIssuer()
    print(await asyncio.gather(*(greet(auth, name) for name in ("Ada", "Grace"))))
    print("asked:", auth.asked > 0)


asyncio.run(main())
