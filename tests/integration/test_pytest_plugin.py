"""The pytest plugin as the projects of others meet it: in a pytest of its own, against a daemon of our own."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from code_blocks import blocks
from cwsandbox import Sandbox

pytest_plugins = "pytester"

GUIDE = blocks("docs/guide/pytest.md", count=6)

STRICT = ("-p", "no:cacheprovider", "--strict-markers", "--strict-config", "-W", "error")
# Without it pytest-asyncio warns, whatever the tests are.
ASYNCIO = ("-o", "asyncio_default_fixture_loop_scope=function")


@pytest.fixture
def run(pytester: pytest.Pytester, own_daemon: str):
    """Run the tests of a file. Whatever becomes of them, no sandbox may be left."""

    def run_tests(source: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(source)
        done = pytester.runpytest_subprocess(*STRICT, *ASYNCIO, *options, timeout=50)
        assert Sandbox.list().result() == []
        return done

    return run_tests


@pytest.mark.parametrize("block", GUIDE, ids=range(len(GUIDE)))
def test_the_guides_examples(run, block: str) -> None:
    run(block).assert_outcomes(passed=1)


def test_the_cookbooks_tests(run) -> None:
    (block,) = blocks("docs/cookbook/ci.md", count=1)
    run(block).assert_outcomes(passed=3)


def test_each_test_has_a_sandbox_of_its_own(run) -> None:
    run("""
        import pytest

        @pytest.mark.parametrize("turn", range(2))
        def test_it(sandbox, turn):
            assert sandbox.exec(["mkdir", "/tmp/mine"]).result().returncode == 0
        """).assert_outcomes(passed=2)


def test_the_closest_marker_wins(run) -> None:
    run("""
        import pytest

        pytestmark = pytest.mark.sandbox(image="python:3.11", tags=["module"])

        @pytest.mark.sandbox(tags=["class"], environment_variables={"AT": "class"})
        class TestIt:
            @pytest.mark.sandbox("sh", "-c", "exec sleep 1000", tags=["test"])
            def test_marked(self, sandbox, sandbox_factory):
                (found,) = type(sandbox).list(tags=["test"]).result()
                assert found.sandbox_id == sandbox.sandbox_id
                found.stop().result()
                sandbox = sandbox_factory()
                echo = ["sh", "-c", "echo $AT; cat /proc/1/cmdline /proc/*/cmdline | tr '\\\\0' ' '"]
                for made in (sandbox, sandbox_factory()):
                    text = made.exec(echo).result().stdout
                    assert text.startswith("class\\n")
                    assert "sleep 1000" in text
                other = sandbox_factory(environment_variables={"AT": "call"})
                assert other.exec(echo).result().stdout.startswith("call\\n")
        """).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("marker", "told"),
    [
        ("imge='x'", "@pytest.mark.sandbox: Sandbox.run() *'imge'. Did you mean 'image'?"),
        ("env={'A': 'x'}", "@pytest.mark.sandbox: *'env'*"),
        ("image='a', container_image='b'", "@pytest.mark.sandbox: a sandbox has one image*"),
        ("tags=3", "@pytest.mark.sandbox: *tags*3*"),
        ("max_lifetime_seconds=-1", "@pytest.mark.sandbox: *max_lifetime_seconds*-1*"),
    ],
)
def test_a_wrong_marker_is_told_at_the_test(run, marker: str, told: str) -> None:
    done = run(f"""
        import pytest

        @pytest.mark.sandbox({marker})
        def test_it(sandbox):
            pass
        """)
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines([told])
    done.stdout.no_fnmatch_line("*pytest_plugin.py*")
    done.stdout.no_fnmatch_line("*another exception*")


@pytest.mark.parametrize("options", ["img='x'", "image='a', container_image='b'"])
def test_a_wrong_call_of_the_factory_is_shown_where_it_stands(run, options: str) -> None:
    done = run(f"""
        import pytest

        def test_it(sandbox_factory):
            with pytest.raises(TypeError):
                sandbox_factory({options})
            sandbox_factory({options})
        """)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines([">*sandbox_factory(*", "E*TypeError*"])
    done.stdout.no_fnmatch_line("*pytest_plugin.py*")


LEAVING = """
    import os, signal
    import pytest

    def test_leaves(sandbox, sandbox_factory):
        # Whoever was started in the background ignores it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        started = sandbox_factory()
        started.start().result()
        unfinished = sandbox_factory()
        process = unfinished.exec(["sleep", "1000"])
        {end}

    def test_after(sandbox):
        pass
    """


@pytest.mark.parametrize(
    ("end", "options", "told"),
    [
        ("assert False", (), "*1 failed, 1 passed*"),
        ("assert False", ("-x",), "*1 failed in*"),
        ("assert False", ("--maxfail=1",), "*1 failed in*"),
        ("pytest.exit('enough')", (), "*enough*"),
        ("os.kill(os.getpid(), signal.SIGINT); process.result()", (), "*KeyboardInterrupt*"),
        ("os.kill(os.getpid(), signal.SIGTERM); process.result()", (), "*Exit: SIGTERM*"),
    ],
)
def test_nothing_is_left_however_it_ends(
    run, end: str, options: tuple[str, ...], told: str
) -> None:
    done = run(LEAVING.format(end=end), *options)
    assert done.ret == (128 + signal.SIGTERM if "SIGTERM" in end else done.ret) != 0
    done.stdout.fnmatch_lines([told])


def test_workers_have_daemons_of_their_own(
    run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("xdist")
    source = """
        import os, pathlib
        import pytest

        @pytest.mark.parametrize("turn", range(4))
        def test_it(cwsandbox_daemon, sandbox, turn):
            assert os.environ["CWSANDBOX_BASE_URL"] == cwsandbox_daemon
            assert sandbox.exec(["true"]).result().returncode == 0
            pathlib.Path(os.environ["SEEN"], os.environ["PYTEST_XDIST_WORKER"]).write_text(cwsandbox_daemon)
        """
    monkeypatch.setenv("SEEN", str(tmp_path))
    monkeypatch.setenv("CWSANDBOX_BASE_URL", "local")
    run(source, "-n", "2", "--dist", "each").assert_outcomes(passed=8)
    addresses = {path.read_text() for path in tmp_path.iterdir()}
    assert len(addresses) == 2
    assert not any(Path(address.removeprefix("unix://")).exists() for address in addresses)


def test_workers_share_the_service_that_is_named(run) -> None:
    pytest.importorskip("xdist")
    run(
        """
        import pytest

        @pytest.mark.parametrize("turn", range(4))
        def test_it(sandbox, turn):
            assert sandbox.exec(["true"]).result().returncode == 0
        """,
        "-n",
        "2",
    ).assert_outcomes(passed=4)


def test_anyio(run) -> None:
    pytest.importorskip("anyio")
    run("""
        import pytest

        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", ["asyncio"])
        async def test_it(sandbox, sandbox_factory):
            for one in (sandbox, sandbox_factory()):
                assert (await one.exec(["echo", "hello"])).stdout == "hello\\n"
        """).assert_outcomes(passed=1)


def test_it_costs_nearly_nothing_unused(run) -> None:
    run("""
        import sys

        def test_it(request):
            ours = {name for name in sys.modules if name.startswith("cwsandbox")}
            assert ours == {"cwsandbox", "cwsandbox.pytest_plugin"}
        """).assert_outcomes(passed=1)


def test_it_defines_no_options(pytester: pytest.Pytester) -> None:
    """Those with and without the plugin are the same."""
    plain = pytester.runpytest_subprocess("--help", "-p", "no:cwsandbox")
    ours = pytester.runpytest_subprocess("--help")
    options = [
        {
            word
            for line in done.outlines
            for word in re.findall(r"^\s+(-[\w-]+)|(?:, )(--[\w-]+)", line)
        }
        for done in (plain, ours)
    ]
    assert options[0] == options[1] != set()
