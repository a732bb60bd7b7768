"""CWSANDBOX_NO_SHORTCUTS: each shortcut can be turned off, and results are the same without it."""

from __future__ import annotations

import pytest

from isolated.runner import run_quietly


@pytest.mark.parametrize("value", ["guest", "text", "pages", "all", "no-such-name"])
def test_results_are_the_same(value: str) -> None:
    script = """
        import hashlib
        from cwsandbox import Sandbox
        with Sandbox.run() as sandbox:
            for n in range(5):
                assert sandbox.exec(["echo", str(n)]).result().stdout == f"{n}\\n"
            text = "seq -s ' ' 1500000"
            result = sandbox.exec(["sh", "-c", text]).result()
            assert result.stdout_bytes.decode() == result.stdout
            expected = " ".join(map(str, range(1, 1_500_001))) + "\\n"
            assert hashlib.sha256(result.stdout_bytes).digest() == hashlib.sha256(expected.encode()).digest()
        print("same")
    """
    assert run_quietly(script, CWSANDBOX_NO_SHORTCUTS=value) == "same\n"


def test_without_guest_the_io_thread_does_the_work() -> None:
    """For each of these commands that thread has to be woken once at least."""
    script = """
        import pathlib
        from cwsandbox import Sandbox

        def switches():
            for task in pathlib.Path("/proc/self/task").iterdir():
                if task.joinpath("comm").read_text() == "cwsandbox-io\\n":
                    lines = task.joinpath("status").read_text().splitlines()
                    return next(int(l.split()[1]) for l in lines if l.startswith("voluntary_ctxt"))

        with Sandbox.run() as sandbox:
            sandbox.exec(["true"]).result()
            before = switches()
            for _ in range(50):
                sandbox.exec(["true"]).result()
            print(switches() - before)
    """
    assert int(run_quietly(script, CWSANDBOX_NO_SHORTCUTS="guest")) >= 50
