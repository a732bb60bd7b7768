"""The pytest plugin: its fixtures, which docs/guide/pytest.md lists, and the marker ``sandbox``.

pytest loads this file in every project of an environment that has the package, also where no test uses it. So nothing
but pytest is imported before a fixture is asked for.
"""

from __future__ import annotations

import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn, Protocol

    from cwsandbox import Sandbox
    from cwsandbox.testing import Faults

    class SandboxFactory(Protocol):
        """What the fixture ``sandbox_factory`` gives."""

        def __call__(self, *args: str, **options: Any) -> Sandbox: ...


_VARIABLE = "CWSANDBOX_BASE_URL"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "sandbox(*args, image=None, **options): what the fixtures `sandbox` and `sandbox_factory` pass to "
        "Sandbox.run(); `image` is short for `container_image`",
    )


@pytest.fixture(scope="session")
def cwsandbox_daemon() -> Iterator[str]:
    """The address of the service: what ``CWSANDBOX_BASE_URL`` names, else a daemon for this session.

    From its first use to the end of the session the variable holds the address, so that the code under test and the
    programs that it starts use the same service. Under pytest-xdist each worker has a session and a daemon of its own.
    """
    from cwsandbox._service import endpoint, local

    _end_on_sigterm()
    url = endpoint.base_url(None, endpoint.LOCAL)
    if url == endpoint.LOCAL:
        # It ends with this process, however that ends.
        url = local.target()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, _VARIABLE, url)
        yield url


def _end_on_sigterm() -> None:
    """Have SIGTERM end the session, once the client has stopped the sandboxes.

    By default the client then raises SystemExit, which pytest takes for the failure of a test, and goes on.
    """
    import signal
    import threading

    def end(*_: object) -> None:
        pytest.exit("SIGTERM", returncode=128 + signal.SIGTERM)

    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, end)


@pytest.fixture
def sandbox_faults(cwsandbox_daemon: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """A relay in front of the service, for connections that break, are late or are refused (``cwsandbox.testing``).

    ``CWSANDBOX_BASE_URL`` holds its address for the time of the test, and the test's sandboxes are reached through it.
    """
    from cwsandbox.testing import Faults

    with Faults(cwsandbox_daemon) as faults:
        monkeypatch.setenv(_VARIABLE, faults.url)
        yield faults


@pytest.fixture
def sandbox_factory(
    cwsandbox_daemon: str, request: pytest.FixtureRequest
) -> Iterator[SandboxFactory]:
    """Makes sandboxes that are stopped after the test: ``sandbox_factory(*args, **options)`` as for ``Sandbox.run()``.

    Nothing is sent and nothing blocks: the first command creates the sandbox. What is not given comes from the test's
    marker ``sandbox``.
    """
    from cwsandbox import Sandbox, Session
    from cwsandbox._messages import options as known

    marked_args, marked = _marked(request)
    faults: Faults | None = None
    if "sandbox_faults" in request.fixturenames:
        # First, in whatever order the test names them.
        faults = request.getfixturevalue("sandbox_faults")

    # A session's sandboxes are stopped on Ctrl-C and at the end of the program, too.
    with Session(report_to=[]) as session:

        def make(*args: str, **options: Any) -> Sandbox:
            __tracebackhide__ = True
            words = args or marked_args
            try:
                wanted = {**marked, **_spelled_out(options)}
                known.refuse_unknown(
                    "Sandbox.run()", wanted, ("image", "base_url", "defaults", *known.RUN)
                )
                sandbox = Sandbox(
                    command=words[0] if words else None, args=list(words[1:]) or None, **wanted
                )
            except (TypeError, ValueError) as error:
                if args or options:
                    raise
                _refuse_marker(error)
            # Before it is created: no interrupt can come between the two.
            session._own(sandbox)
            return sandbox

        yield make
        if faults is not None:
            # The sandboxes are stopped through it.
            faults.heal()


@pytest.fixture
def sandbox(sandbox_factory: SandboxFactory) -> Sandbox:
    """A sandbox of the test's own, as its marker ``sandbox`` describes it; it is stopped after the test."""
    made = sandbox_factory()
    made.start().result()
    return made


def _marked(request: pytest.FixtureRequest) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The arguments of all markers of a test; the closest wins, option by option."""
    args: tuple[str, ...] = ()
    options: dict[str, Any] = {}
    for mark in request.node.iter_markers("sandbox"):
        args = args or mark.args
        try:
            options = {**_spelled_out(mark.kwargs), **options}
        except TypeError as error:
            _refuse_marker(error)
    return args, options


def _refuse_marker(error: Exception) -> NoReturn:
    # Nothing in a traceback would lead to the marker.
    raise pytest.fail.Exception(f"@pytest.mark.sandbox: {error}", pytrace=False) from None


def _spelled_out(options: dict[str, Any]) -> dict[str, Any]:
    __tracebackhide__ = True
    if "image" not in options:
        return options
    if "container_image" in options:
        raise TypeError("a sandbox has one image: give image or container_image, not both")
    return {
        "container_image" if name == "image" else name: value for name, value in options.items()
    }
