"""First use from several threads at once: whatever each of them loads, it finds it whole."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from isolated.runner import run_quietly

FIRST_USES = """
    import sys, threading
    import cwsandbox

    sys.setswitchinterval(1e-6)
    URL = "unix:///nonexistent/socket"

    def constructed():
        cwsandbox.Sandbox(
            base_url=URL,
            mounted_files=[{"mount_path": "/a", "file_content": b"x"}],
            services=[{"port": 1}],
            secrets=[{"store": "s", "name": "n"}],
        ).exec(["true"]).result()

    def started():
        cwsandbox.Sandbox(base_url=URL).start().result()

    def listed():
        cwsandbox.Sandbox.list(base_url=URL, timeout_seconds=5).result()

    def with_provider():
        class Provider:
            def resolve_auth(self, *, base_url):
                return cwsandbox.AuthHeaders({"x": "1"}, "mine")

        cwsandbox.Sandbox.from_id("a", base_url=URL, auth=Provider()).result()

    def described():
        cwsandbox.SandboxDefaults.from_dict({"volumes": [{"name": "v"}]})
        cwsandbox.wait([])
        raise cwsandbox.SandboxUnavailableError("as the others")

    failures = []
    uses = [constructed, started, listed, with_provider, described]
    together = threading.Barrier(len(uses))

    def work(use):
        together.wait(20)
        try:
            use()
        except cwsandbox.SandboxUnavailableError:
            return
        except BaseException as error:
            failures.append(f"{use.__name__}: {error!r}")

    threads = [threading.Thread(target=work, args=(use,)) for use in uses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(*failures, sep="; ")
"""


@pytest.mark.parametrize("_round", range(8))
def test_first_use_from_many_threads(_round: int) -> None:
    assert run_quietly(FIRST_USES) == "\n"


def modules_with_dataclasses() -> list[str]:
    spec = importlib.util.find_spec("cwsandbox")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    return [
        ".".join(("cwsandbox", *path.relative_to(package).with_suffix("").parts))
        for path in sorted(package.rglob("*.py"))
        if re.search(r"^@dataclass\b", path.read_text(), re.MULTILINE)
    ]


@pytest.mark.parametrize("module", modules_with_dataclasses())
def test_a_dataclass_is_made_with_typing_at_hand(module: str) -> None:
    script = """
        import dataclasses, sys

        real = dataclasses.dataclass

        def dataclass(*arguments, **options):
            print("typing" in sys.modules)
            return real(*arguments, **options)

        dataclasses.dataclass = dataclass
        __import__(sys.argv[1])
    """
    assert set(run_quietly(script, module).split()) == {"True"}
