"""Importing the package touches nothing: no thread, no signal, no descriptor; from any thread and interpreter."""

from __future__ import annotations

import sys

import pytest

from isolated.runner import run, run_quietly


def test_import_leaves_the_process_as_it_was() -> None:
    script = """
        import os, signal, sys, threading
        before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE)}
        fds = set(os.listdir("/proc/self/fd"))
        threads = len(os.listdir("/proc/self/task"))
        import cwsandbox
        assert before == {n: signal.getsignal(n) for n in before}
        assert set(os.listdir("/proc/self/fd")) == fds
        assert len(os.listdir("/proc/self/task")) == threads
        assert threading.active_count() == 1
        assert not [name for name in sys.modules if name.partition(".")[0] in {"grpc", "google", "h2"}]
    """
    assert run_quietly(script) == ""


def test_import_off_the_main_thread() -> None:
    script = """
        import threading
        def work():
            from cwsandbox import Sandbox
            with Sandbox.run() as sandbox:
                print(sandbox.exec(["echo", "here"]).result().stdout, end="")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    """
    assert run_quietly(script) == "here\n"


def test_needs_no_other_package() -> None:
    """Only the standard library and the package itself are imported by a whole run."""
    script = """
        import sys
        before = set(sys.modules)
        from cwsandbox import Sandbox
        with Sandbox.run() as sandbox:
            sandbox.exec(["true"]).result()
        names = {name.partition(".")[0] for name in set(sys.modules) - before}
        print(sorted(names - set(sys.stdlib_module_names) - {"cwsandbox"}))
    """
    assert run_quietly(script) == "[]\n"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="own-GIL interpreters begin with 3.12")
def test_an_interpreter_with_its_own_gil_is_refused_in_words() -> None:
    script = """
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        import cwsandbox
        inner = interpreters.create()
        code = (
            "try:\\n    import cwsandbox\\n    cwsandbox.Sandbox\\n"
            "except ImportError as error:\\n    print(error, flush=True)"
        )
        interpreters.run_string(inner, code)
        interpreters.destroy(inner)
        with cwsandbox.Sandbox.run() as sandbox:
            print(sandbox.exec(["echo", "outer"]).result().stdout, end="")
    """
    result = run(script)
    assert result.returncode == 0, result.stderr
    assert "does not support loading in subinterpreters" in result.stdout
    assert result.stdout.endswith("outer\n")


def test_subinterpreter_that_shares_the_gil() -> None:
    script = """
        try:
            import _interpreters as interpreters
            inner = interpreters.create("legacy")
        except ImportError:
            import _xxsubinterpreters as interpreters
            inner = interpreters.create(isolated=False)
        failure = interpreters.run_string(inner, "import cwsandbox\\nprint(cwsandbox.Sandbox.__name__, flush=True)")
        assert not failure, failure
        interpreters.destroy(inner)
    """
    result = run(script)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "Sandbox\n"
