"""Bring credentials of your own: headers, or an object that is asked for them."""

import tempfile
from pathlib import Path

from cwsandbox import AuthHeaders, CWSandboxAuthenticationError, Sandbox, list_runners


class FromFile:
    """Reads the key when a sandbox needs it, so that a new one in the file counts from then on."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def resolve_auth(self, *, base_url: str) -> AuthHeaders:
        return AuthHeaders({"Authorization": f"Bearer {self.path.read_text().strip()}"}, "file")


with tempfile.TemporaryDirectory() as folder:
    key = Path(folder, "key")
    key.write_text("a-key-of-mine\n")
    with Sandbox.run(auth=FromFile(key)) as sandbox:
        print(sandbox.exec(["echo", "let in"]).result().stdout, end="")

    print("runners:", len(list_runners(auth=AuthHeaders({"X-Api-Key": "another"}, "mine"))))

    key.write_text("schlüssel")
    try:
        list_runners(auth=FromFile(key))
    except CWSandboxAuthenticationError as error:
        print(error)
