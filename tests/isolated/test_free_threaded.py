"""A free-threaded Python: with the GIL, which the import turns on, all works; without it the import is refused."""

from __future__ import annotations

import sysconfig

import pytest

from isolated.runner import run

pytestmark = pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python always has a GIL"
)


def test_threads_with_the_gil() -> None:
    script = """
        import sys
        from concurrent.futures import ThreadPoolExecutor
        from cwsandbox import Sandbox

        def work(n):
            return [sandbox.exec(["echo", str(n)]).result().stdout for _ in range(5)]

        with Sandbox.run() as sandbox, ThreadPoolExecutor(8) as pool:
            assert list(pool.map(work, range(8))) == [[f"{n}\\n"] * 5 for n in range(8)]
        print(sys._is_gil_enabled())
    """
    result = run(script)
    assert (result.stdout, result.returncode) == ("True\n", 0), result.stderr
    assert "has been enabled to load module 'cwsandbox._cwsandbox'" in result.stderr


def test_without_the_gil_the_import_is_refused() -> None:
    result = run("from cwsandbox import Sandbox; Sandbox.run()", PYTHON_GIL="0")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("ImportError: cwsandbox needs the GIL")
