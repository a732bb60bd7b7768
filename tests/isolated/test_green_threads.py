"""With the standard library patched by gevent or eventlet a blocking call could not return: it is refused at once."""

from __future__ import annotations

import pytest

from isolated.runner import run_quietly

SCRIPT = """
{patch}
import warnings
warnings.simplefilter("ignore")
from cwsandbox import Sandbox
import cwsandbox

def refused(function):
    try:
        function()
    except RuntimeError as error:
        assert "{name} has patched" in str(error), error
        assert "threads or asyncio" in str(error), error
    else:
        raise AssertionError("it was not refused")

refused(Sandbox.run)
refused(Sandbox.run)
refused(lambda: Sandbox.list().result())
"""

PATCHES = {
    "all of gevent's": ("gevent", "from gevent import monkey; monkey.patch_all()"),
    "gevent's threads": ("gevent", "from gevent import monkey; monkey.patch_thread()"),
    "gevent's sockets": ("gevent", "from gevent import monkey; monkey.patch_socket()"),
    "eventlet's": ("eventlet", "import eventlet; eventlet.monkey_patch()"),
}


@pytest.mark.parametrize("patch", PATCHES)
def test_is_refused(patch: str) -> None:
    name, statement = PATCHES[patch]
    statement = f"import warnings; warnings.simplefilter('ignore'); {statement}"
    run_quietly(SCRIPT.format(name=name, patch=statement))


def test_gevent_without_patches_is_fine() -> None:
    script = """
    import gevent
    from cwsandbox import Sandbox
    with Sandbox.run() as sandbox:
        job = gevent.spawn(lambda: sandbox.exec(["echo", "hello"]).result().stdout)
        assert job.get() == "hello\\n"
    """
    assert run_quietly(script) == ""
