"""The interpreter ends at every stage of a program's life without a hang and without a word."""

from __future__ import annotations

import pytest

from isolated.runner import run, run_quietly

STAGES = {
    "after import": "import cwsandbox",
    "after constructing": "from cwsandbox import Sandbox\ns = Sandbox()",
    "after run": "from cwsandbox import Sandbox\ns = Sandbox.run()",
    "after wait": "from cwsandbox import Sandbox\ns = Sandbox.run()\ns.wait()",
    "with an exec just submitted": (
        "from cwsandbox import Sandbox\ns = Sandbox.run()\np = s.exec(['sleep', '300'])"
    ),
    "with an exec running": (
        "from cwsandbox import Sandbox\ns = Sandbox.run()\n"
        "p = s.exec(['sh', '-c', 'echo begun; sleep 300'])\nnext(p.stdout)"
    ),
    "with a finished exec": (
        "from cwsandbox import Sandbox\ns = Sandbox.run()\nr = s.exec(['true']).result()"
    ),
    "with stdin open": (
        "from cwsandbox import Sandbox\ns = Sandbox.run()\n"
        "p = s.exec(['cat'], stdin=True)\np.stdin.write(b'x').result()"
    ),
    "after a list alone": "from cwsandbox import Sandbox\nSandbox.list().result()",
    "with a provider of credentials that hangs": (
        "import threading\nfrom cwsandbox import Sandbox\nbegun = threading.Event()\n"
        "class Provider:\n    def resolve_auth(self, *, base_url):\n"
        "        begun.set()\n        threading.Event().wait()\n"
        "starting = Sandbox(auth=Provider()).start()\nassert begun.wait(20)"
    ),
    "with a thread blocked in result": (
        "import threading\nfrom cwsandbox import Sandbox\ns = Sandbox.run()\n"
        "p = s.exec(['sh', '-c', 'echo begun; sleep 300'])\nnext(p.stdout)\n"
        "threading.Thread(target=p.result, daemon=True).start()"
    ),
    "with a thread that runs the I/O": (
        "import threading\nfrom cwsandbox import Sandbox\ns = Sandbox.run()\n"
        "for _ in range(50):\n    s.exec(['true']).result()\n"
        "p = s.exec(['sh', '-c', 'echo begun; sleep 300'])\nnext(p.stdout)\n"
        "threading.Thread(target=p.result, daemon=True).start()\ns.exec(['true']).result()"
    ),
    "with a thread blocked in a reader": (
        "import threading\nfrom cwsandbox import Sandbox\ns = Sandbox.run()\n"
        "p = s.exec(['sh', '-c', 'echo begun; sleep 300'])\nnext(p.stdout)\n"
        "threading.Thread(target=list, args=(p.stdout,), daemon=True).start()"
    ),
    "after stop": "from cwsandbox import Sandbox\ns = Sandbox.run()\ns.stop().result()",
    "with a stop in the last finalizer": (
        "import sys\nfrom cwsandbox import Sandbox\nclass Last:\n"
        "    def __init__(self):\n        self.s = Sandbox.run()\n        self.s.stop().result()\n"
        "    def __del__(self):\n        self.s.stop().result()\n"
        "sys.modules['last'] = Last()"
    ),
    "with stop not awaited": "from cwsandbox import Sandbox\ns = Sandbox.run()\ns.stop()",
    "in a reference cycle": (
        "from cwsandbox import Sandbox\ns = Sandbox.run()\np = s.exec(['sleep', '300'])\n"
        "cycle = [s, p]\ncycle.append(cycle)\ndel s, p, cycle"
    ),
    "with sys.exit inside the context": (
        "import sys\nfrom cwsandbox import Sandbox\nwith Sandbox.run() as s:\n    sys.exit(0)"
    ),
    "after asyncio.run": (
        "import asyncio\nfrom cwsandbox import Sandbox\n"
        "async def main():\n    async with Sandbox.run() as s:\n        await s.exec(['true'])\n"
        "asyncio.run(main())"
    ),
    "with an await cancelled by asyncio.run": (
        "import asyncio\nfrom cwsandbox import Sandbox\ns = Sandbox.run()\n"
        "async def main():\n    p = s.exec(['sh', '-c', 'echo begun; sleep 300'])\n"
        "    await anext(p.stdout)\n    asyncio.ensure_future(wait(p))\n    await asyncio.sleep(0)\n"
        "async def wait(p):\n    await p\n"
        "asyncio.run(main())"
    ),
}


@pytest.mark.parametrize("stage", STAGES)
def test_exit(stage: str) -> None:
    assert run_quietly(STAGES[stage]) == ""


def test_os_exit_with_everything_running() -> None:
    script = STAGES["with an exec running"] + "\nimport os\nos._exit(3)"
    assert run(script).returncode == 3


def test_an_exception_is_the_only_thing_said() -> None:
    result = run(STAGES["with an exec running"] + "\nraise KeyError('mine')")
    assert result.returncode == 1
    assert result.stderr.count("Traceback") == 1
    assert result.stderr.endswith("KeyError: 'mine'\n")


def test_calls_after_shutdown_fail_cleanly() -> None:
    """An atexit hook of the user that runs after ours."""
    script = """
        import atexit
        def late():
            try:
                sandbox.exec(["true"]).result(5)
            except Exception as error:
                print("failed")
            else:
                print("worked")
        atexit.register(late)
        from cwsandbox import Sandbox
        sandbox = Sandbox.run()
        sandbox.exec(["true"]).result()
    """
    assert run_quietly(script) in {"failed\n", "worked\n"}


LATE = """
    import atexit, os

    def attempt(name, function):
        try:
            function()
        except RuntimeError as error:
            os.write(1, f"{{name}}: {{error}}\\n".encode())

    def late():
        attempt("stop", lambda: sandbox.stop())
        attempt("exec", lambda: sandbox.exec(["true"]).result())
        {more}

    class AtTheEnd:
        def __del__(self):
            late()

    {when}
    from cwsandbox import Sandbox
    sandbox = Sandbox()
    {before}
"""
MORE = """attempt("run", lambda: Sandbox.run())
        attempt("list", lambda: Sandbox.list())"""


@pytest.mark.parametrize("before", ["", "sandbox.start().result()"], ids=["first use", "in use"])
@pytest.mark.parametrize(
    ("when", "more"),
    [("last = AtTheEnd()", ""), ("atexit.register(late)", MORE)],
    ids=["finalizer", "atexit"],
)
def test_operations_that_begin_too_late(when: str, more: str, before: str) -> None:
    """After the package's own end: one clear error, whatever was begun."""
    said = run_quietly(LATE.format(when=when, more=more, before=before)).splitlines()
    for name in ("stop", *(("run", "list") if more else ())):
        assert (
            f"{name}: the interpreter is ending: no operation on a sandbox can begin"
            in "\n".join(said)
        )
    assert any(line.startswith("exec: ") and "is ending" in line for line in said)
