"""What importing costs: which modules come in, and when."""

from __future__ import annotations

import subprocess
import sys

import pytest


def new_modules(script: str) -> set[str]:
    """The modules that a script brings into a fresh interpreter."""
    program = f"import sys; before = set(sys.modules)\n{script}\nprint(*sorted(set(sys.modules) - before))"
    # Not `-I`: the tests may run on a package that is on the path by an environment variable.
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_bare_import_brings_in_nothing_else() -> None:
    assert new_modules("import cwsandbox") - {"__future__"} == {"cwsandbox"}


def test_dir_and_all_do_not_load_anything() -> None:
    modules = new_modules("import cwsandbox; dir(cwsandbox); cwsandbox.__all__")
    assert modules - {"__future__"} == {"cwsandbox"}


# What takes long to load, or brings in what does.
HEAVY = {
    "asyncio",
    "concurrent.futures",
    "dataclasses",
    "email",
    "importlib.metadata",
    "inspect",
    "logging",
    "re",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "typing",
}


def test_the_sandbox_class_comes_with_little() -> None:
    modules = new_modules("from cwsandbox import Sandbox")
    ours = {
        "_cwsandbox",
        "_runtime.policy",
        "_service.errors",
        "_service.native",
        "_service.rpc",
        "_types.defaults",
        "_types.result",
    }
    assert modules & (HEAVY | {f"cwsandbox.{name}" for name in ours}) == set()


def resident_kib(script: str) -> int:
    """The memory of a fresh interpreter after a script: the least of some, as other things only add to it."""
    program = f"{script}\nprint(next(line for line in open('/proc/self/status') if 'VmRSS' in line).split()[1])"
    command = [sys.executable, "-c", program]
    runs = (subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(5))
    return min(int(run.stdout) for run in runs)


def test_the_sandbox_class_takes_little_memory() -> None:
    assert resident_kib("from cwsandbox import Sandbox") - resident_kib("pass") <= 2560


@pytest.mark.parametrize(
    "script",
    [
        "import cwsandbox; cwsandbox.Sandbox()",
        "from cwsandbox import Sandbox, SandboxDefaults, SandboxError, ProcessResult, wait, results",
        "from cwsandbox import *",
    ],
)
def test_the_event_loop_is_not_loaded_before_it_is_used(script: str) -> None:
    modules = new_modules(script)
    heavy = HEAVY - {"dataclasses", "inspect", "re", "typing"}
    if script.endswith("*"):
        heavy -= {"tempfile", "socket"}
    assert modules & heavy == set()


def test_a_sandbox_without_defaults_does_not_load_their_class() -> None:
    modules = new_modules("import cwsandbox; cwsandbox.Sandbox(tags=['a'])")
    assert "cwsandbox._service.native" in modules
    assert modules & {"cwsandbox._types.defaults", "cwsandbox._types.auth"} == set()


def test_what_the_first_operation_does_not_load() -> None:
    modules = new_modules("""
from cwsandbox import Sandbox, SandboxUnavailableError
try:
    Sandbox(base_url="unix:///nonexistent/socket").start().result()
except SandboxUnavailableError:
    pass
""")
    assert {"cwsandbox._lifecycle.create", "asyncio"} <= modules
    ours = {"_types.defaults", "_service.local", "_types.service", "_messages.values"}
    assert modules & ({"random", "urllib.parse"} | {f"cwsandbox.{name}" for name in ours}) == set()


def test_opentelemetry_is_loaded_by_who_asks_for_it() -> None:
    script = "from cwsandbox import *; Sandbox(); Session(); batch; SandboxPool"
    assert not any(name.startswith("opentelemetry") for name in new_modules(script))
    asked = new_modules("import cwsandbox; cwsandbox.instrument()")
    assert "opentelemetry.trace" in asked
    assert not any(name.startswith("opentelemetry.sdk") for name in asked)


def test_an_exception_class_comes_nearly_alone() -> None:
    modules = new_modules("from cwsandbox import SandboxTimeoutError")
    assert {name for name in modules if name.startswith("cwsandbox")} == {
        "cwsandbox",
        "cwsandbox._types",
        "cwsandbox._types.annotations",
        "cwsandbox.exceptions",
    }
