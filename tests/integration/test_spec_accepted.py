"""What programs ask for that is the case anyway, or that they do not insist on."""

from __future__ import annotations

import pytest

from cwsandbox import Sandbox, SecurityContext
from cwsandbox.exceptions import SandboxError


def test_not_denied_egress_is_told_as_it_is(base_url: str) -> None:
    with Sandbox.run(network={"deny_egress": False}) as sandbox:
        sandbox.get_status()
        assert sandbox.effective_egress == ()
        devices = sandbox.exec(["sh", "-c", "tail -n +3 /proc/net/dev | wc -l"]).result()
        assert devices.stdout == "1\n"


def test_root_without_privileges_is_what_there_is(base_url: str) -> None:
    security = SecurityContext(run_as_user=0, run_as_group=0, privileged=False)
    with Sandbox.run(security_context=security) as sandbox:
        assert sandbox.exec(["sh", "-c", "id -u; id -g"]).result().stdout == "0\n0\n"


def test_another_user_is_refused_by_name(base_url: str) -> None:
    with pytest.raises(SandboxError, match="run_as_user: this daemon has no users but root") as it:
        Sandbox.run(security_context=SecurityContext(run_as_user=1000)).wait()
    assert it.value.reason == "CWSANDBOX_NOT_IMPLEMENTED"
