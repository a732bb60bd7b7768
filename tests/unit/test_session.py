"""``Session``, as far as it goes without a service."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from cwsandbox import NetworkOptions, Sandbox, SandboxDefaults, SandboxError, Session

NOWHERE = SandboxDefaults(base_url="http://127.0.0.1:1", tags=("common",))


def workload(sandbox: Sandbox) -> Any:
    assert sandbox._workload is not None
    return sandbox._workload


# ---- making one ----


def test_both_ways_to_make_one() -> None:
    assert isinstance(Sandbox.session(NOWHERE), Session)
    assert Sandbox.session(NOWHERE)._defaults is NOWHERE
    assert Session()._defaults == SandboxDefaults()


def test_any_mapping_will_do_for_the_defaults() -> None:
    session = Session(MappingProxyType({"tags": ["a"], "unknown": 1, "container_image": None}))
    assert session._defaults == SandboxDefaults(tags=("a",))


@pytest.mark.parametrize("wrong", ["tags", 5, [("tags", ["a"])]])
def test_other_defaults_are_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="defaults must be SandboxDefaults or a mapping"):
        Session(wrong)


def test_auth_takes_the_place_of_the_defaults_one() -> None:
    ours, theirs = object(), object()
    defaults = SandboxDefaults(auth=theirs)  # type: ignore[arg-type]
    assert Session(defaults)._defaults.auth is theirs
    assert Session(defaults, auth=ours)._defaults.auth is ours  # type: ignore[arg-type]
    assert Sandbox.session(defaults, auth=ours)._defaults.auth is ours  # type: ignore[arg-type]
    assert defaults.auth is theirs


def test_repr_and_count() -> None:
    session = Session(NOWHERE)
    assert repr(session) == "<Session sandboxes=0 status=open>"
    kept = [session.sandbox(), session.sandbox()]
    assert session.sandbox_count == len(kept)
    assert repr(session) == "<Session sandboxes=2 status=open>"
    session.close().result()
    assert repr(session) == "<Session sandboxes=0 status=closed>"


# ---- its sandboxes ----


def test_what_is_given_goes_on_top_of_the_defaults() -> None:
    defaults = NOWHERE.with_overrides(
        container_image="img:1",
        environment_variables={"A": "1", "B": "1"},
        annotations={"x": "1"},
        resources={"cpu": "1", "memory": "1Gi"},
        request_timeout_seconds=7.0,
        max_lifetime_seconds=60.0,
    )
    with Session(defaults) as session:
        sandbox = session.sandbox(
            tags=["own"],
            environment_variables={"B": "2"},
            annotations={"y": "2"},
            resources={"cpu": "2"},
        )
        made = workload(sandbox)
        assert made.tags == ("common", "own")
        assert made.containers.image == "img:1"
        assert made.containers.environment_variables == {"A": "1", "B": "2"}
        assert made.annotations == {"x": "1", "y": "2"}
        assert made.containers.resources.requests == {"cpu": "2"}
        assert made.max_lifetime_seconds == 60.0
        assert sandbox._connection.request_timeout == 7.0
        other = session.sandbox(request_timeout_seconds=3)
        assert other._connection.request_timeout == 3.0


def test_pins_are_cleared_by_an_empty_list() -> None:
    with Session(NOWHERE.with_overrides(runner_ids=("r-1",))) as session:
        assert workload(session.sandbox()).placement.runner_ids == ("r-1",)
        assert workload(session.sandbox(runner_ids=[])).placement.runner_ids == ()
        assert workload(session.sandbox(runner_ids=["r-2"])).placement.runner_ids == ("r-2",)


UNEXPECTED = "() got an unexpected keyword argument "
ELSEWHERE = ": set it in the session's defaults"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("profile_ids", "'profile_ids' is no longer supported: use runner_ids"),
        ("profile_names", "'profile_names' is no longer supported: use runner_ids"),
        ("s3_mount", "'s3_mount' is no longer supported: use object_storage_access"),
        ("ports", "'ports' is no longer supported: use services"),
        (
            "max_timeout_seconds",
            "'max_timeout_seconds' is no longer supported: use request_timeout_seconds",
        ),
        ("base_url", f"{{method}}() does not take 'base_url'{ELSEWHERE}"),
        (
            "max_lifetime_seconds",
            f"{{method}}() does not take 'max_lifetime_seconds'{ELSEWHERE}",
        ),
        (
            "poll_retry_budget_seconds",
            f"{{method}}() does not take 'poll_retry_budget_seconds'{ELSEWHERE}",
        ),
        (
            "contaner_image",
            f"{{method}}{UNEXPECTED}'contaner_image'. Did you mean 'container_image'?",
        ),
        ("resource", f"{{method}}{UNEXPECTED}'resource'. Did you mean 'resources'?"),
        ("zzz", f"{{method}}{UNEXPECTED}'zzz'"),
    ],
)
def test_unknown_names_are_refused(name: str, text: str) -> None:
    with Session(NOWHERE) as session:
        with pytest.raises(TypeError) as caught:
            session.sandbox(**{name: 1})
        assert str(caught.value) == text.format(method="Session.sandbox")
        with pytest.raises(TypeError) as caught:
            session.function(**{name: 1})(len)
        assert str(caught.value) == text.format(method="Session.function")
        assert session.sandbox_count == 0


def test_what_a_function_has_from_the_defaults_only() -> None:
    with Session(NOWHERE) as session:
        with pytest.raises(
            TypeError, match="does not take 'tags': set it in the session's defaults"
        ):
            session.function(tags=["a"])(len)
        with pytest.raises(TypeError, match=r"Did you mean 'serialization'\?"):
            session.function(serialisation="json")(len)


def test_values_are_checked_at_once() -> None:
    with Session(NOWHERE) as session:
        with pytest.raises(TypeError, match="network"):
            session.sandbox(network=5)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="resources"):
            session.sandbox(resources={"cpu": 1})
        assert session.sandbox_count == 0
        assert session.sandbox(network=NetworkOptions()) is not None


def test_a_closed_session_makes_and_takes_no_more() -> None:
    session = Session(NOWHERE)
    session.close().result()
    elsewhere = Sandbox(base_url="http://127.0.0.1:1")
    for attempt in (
        session.sandbox,
        lambda: session.sandbox(unknown=1),
        lambda: session.adopt(elsewhere),
        lambda: session.from_id("sb-1"),
        lambda: session.list(adopt=True),
    ):
        with pytest.raises(SandboxError, match="session is closed"):
            attempt()


def test_adopting_takes_a_sandbox_that_was_created() -> None:
    with Session(NOWHERE) as session:
        with pytest.raises(ValueError, match="without sandbox_id"):
            session.adopt(Sandbox(base_url="http://127.0.0.1:1"))
        with pytest.raises(TypeError, match="takes a Sandbox"):
            session.adopt("sb-1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"tags": "bare"},
        {"runner_ids": "bare"},
        {"volume_ids": "bare"},
        {"profile_ids": ["a"]},
        {"profile_names": ["a"]},
    ],
)
def test_wrong_filters(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(wrong))):
        Session(NOWHERE).list(**wrong).result()


# ---- its end ----


def test_closing_ends_what_was_never_started() -> None:
    session = Session(NOWHERE)
    sandbox = session.sandbox()
    session.close().result()
    with pytest.raises(SandboxError):
        sandbox.start().result()


def test_closing_twice() -> None:
    session = Session(NOWHERE)
    session.sandbox()
    assert session.close().result() is None
    assert session.close().result() is None
    with session:
        pass


def test_the_block_raises_what_it_raised() -> None:
    with pytest.raises(KeyError, match="mine"), Session(NOWHERE) as session:
        raise KeyError("mine")
    assert repr(session) == "<Session sandboxes=0 status=closed>"


async def test_asynchronous_block() -> None:
    async with Session(NOWHERE) as session:
        session.sandbox()
        assert session.sandbox_count == 1
    assert repr(session) == "<Session sandboxes=0 status=closed>"
