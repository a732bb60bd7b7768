"""Weights & Biases keys: where they are found, which are refused, and what is sent."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from cwsandbox import AuthProvider, AuthStrategy, CWSandboxAuthenticationError, WandbAuth
from cwsandbox._service import auth as _auth

KEY = "k" * 40
OTHER = "prefix-" + "a1_" * 14
TOKEN = "eyJhbGciOi.eyJz-dWIi.c2ln_bmF0"
URL = "https://h"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, which is the working directory's parent, and no W&B variables."""
    for name in [*os.environ]:
        if name.startswith("WANDB_") or name == "NETRC":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def headers(*arguments: str | None) -> dict[str, str]:
    found = WandbAuth(*arguments).resolve_auth(base_url=URL)
    assert found.strategy == "wandb_api_key"
    return found.headers


def key() -> str:
    return headers()["x-wandb-api-key"]


def refusal() -> str:
    with pytest.raises(CWSandboxAuthenticationError) as raised:
        headers()
    return str(raised.value)


# ---- the key ----


def test_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CWSANDBOX_API_KEY", "key")
    assert "no W&B credentials for api.forge.coreweave.com: set WANDB_API_KEY" in refusal()


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert headers() == {"x-wandb-api-key": KEY}
    for auth in (AuthStrategy.WANDB, WandbAuth()):
        assert _auth.metadata(auth, URL) == (("x-wandb-api-key", KEY),)
        assert _auth.runs_foreign_code(auth)
    assert isinstance(WandbAuth(), AuthProvider)


@pytest.mark.parametrize("accepted", [KEY, OTHER, TOKEN, "a-" + KEY, "local-x_-" + KEY])
def test_keys(accepted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", accepted)
    assert key() == accepted


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        ("secret", "at least 40 characters, has 6"),
        ("prefix-" + "a" * 39, "at least 40 characters, has 39"),
        (KEY + "\n", "letters, digits and underscores"),
        (KEY + "é", "letters, digits and underscores"),
        (f"{KEY} {KEY}", "letters, digits and underscores"),
        ("a.b", "letters, digits and underscores"),
    ],
)
def test_what_is_no_key(refused: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", refused)
    said = refusal()
    assert said.startswith("WANDB_API_KEY is not a W&B API key: ")
    assert why in said
    assert refused.strip() not in said


def test_identity_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_IDENTITY_TOKEN_FILE", "/token")
    assert "only be had with an API key" in refusal()
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert "both set" in refusal()


# ---- netrc ----


def netrc(path: Path, machine: str, password: str = KEY) -> None:
    with path.open("a") as file:
        file.write(f"machine {machine}\n  login user\n  password {password}\n")


def test_netrc_files_in_order(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc(home / "_netrc", "api.wandb.ai", "c" * 40)
    assert key() == "c" * 40
    netrc(home / ".netrc", "api.wandb.ai", "b" * 40)
    assert key() == "b" * 40
    netrc(home / "named", "api.wandb.ai", "a" * 40)
    monkeypatch.setenv("NETRC", "~/named")
    assert key() == "a" * 40
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert key() == KEY


def test_netrc_machines(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc(home / ".netrc", "api.wandb.ai", "a" * 40)
    netrc(home / ".netrc", "wandb.example:8443", "b" * 40)
    netrc(home / ".netrc", "default-like", "c" * 40)
    assert key() == "a" * 40
    netrc(home / ".netrc", "api.forge.coreweave.com", "d" * 40)
    assert key() == "d" * 40
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example:8443")
    assert key() == "b" * 40
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example")
    assert "no W&B credentials for wandb.example" in refusal()


def test_another_services_default_password_is_not_sent(home: Path) -> None:
    (home / ".netrc").write_text(f"default\n  login user\n  password {KEY}\n")
    assert "no W&B credentials" in refusal()


def test_netrc_files_that_cannot_be_used(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    (home / ".netrc").write_text("machine api.wandb.ai login user\n")
    assert "no W&B credentials" in refusal()
    (home / ".netrc").write_text("nonsense")
    assert "no W&B credentials" in refusal()
    (home / ".netrc").write_bytes(b"machine \xff\xfe login")
    assert "no W&B credentials" in refusal()
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 3
    assert "no key for the machine api.wandb.ai" in texts[0]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


# ---- the host ----


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://api.wandb.ai", None),
        ("https://API.wandb.ai/", None),
        ("https://api.eu.wandb.ai", None),
        ("https://api.forge.coreweave.com", None),
        ("https://forge.coreweave.com/api/wandb", None),
        ("https://wandb.example", "wandb.example"),
        ("https://Wandb.example:443/", "wandb.example"),
        ("http://wandb.example:80", "wandb.example"),
        ("http://wandb.example:8080", "wandb.example:8080"),
        ("https://not-wandb.ai.example", "not-wandb.ai.example"),
        ("https://evilwandb.ai", "evilwandb.ai"),
        ("http://[::1]:8080", "[::1]:8080"),
    ],
)
def test_hosts(url: str, sent: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", url)
    assert headers().get("x-wandb-host") == sent


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://wandb.ai", "did you mean https://api.wandb.ai"),
        ("https://app.wandb.ai", "did you mean"),
        ("http://api.wandb.ai", "not secure"),
        ("wandb.example", "must be https://"),
        ("ftp://wandb.example", "must be https://"),
        ("https://", "must be https://"),
        ("https://wandb.example:port", "port"),
        ("https://wandb.example:99999", "port"),
    ],
)
def test_bad_hosts(url: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", url)
    said = refusal()
    assert url in said
    assert why.lower() in said.lower()


# ---- entity, project and settings files ----


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        home / ".config/wandb/settings",
        f"[default]\nentity = user\nproject = a%b\napi_key = {KEY}\nbase_url = https://w.example\n",
    )
    assert headers() == {
        "x-wandb-api-key": KEY,
        "x-wandb-host": "w.example",
        "x-entity-id": "user",
        "x-project-name": "a%b",
    }
    write(home / "work/wandb/settings", "[default]\nentity = folder\n")
    assert (headers()["x-entity-id"], headers()["x-project-name"]) == ("folder", "a%b")
    monkeypatch.setenv("WANDB_ENTITY", "variable")
    monkeypatch.setenv("WANDB_PROJECT", "own")
    assert (headers()["x-entity-id"], headers()["x-project-name"]) == ("variable", "own")
    given = headers("argument", "given")
    assert (given["x-entity-id"], given["x-project-name"]) == ("argument", "given")


def test_where_settings_are(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    write(home / "config/settings", "[default]\nproject = p\n")
    write(home / "runs/.wandb/settings", "[default]\nentity = e\n")
    monkeypatch.setenv("WANDB_CONFIG_DIR", "~/config")
    monkeypatch.setenv("WANDB_DIR", str(home / "runs"))
    assert (headers()["x-entity-id"], headers()["x-project-name"]) == ("e", "p")


@pytest.mark.parametrize("content", [b"entity = x\n", b"[other]\nentity = x\n", b"\xff"])
def test_settings_files_that_say_nothing(
    content: bytes, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    write(home / ".config/wandb/settings", "")
    (home / ".config/wandb/settings").write_bytes(content)
    assert headers() == {"x-wandb-api-key": KEY}


def test_a_key_in_the_settings_comes_last(home: Path) -> None:
    write(home / ".config/wandb/settings", f"[default]\napi_key = {OTHER}\n")
    assert key() == OTHER
    netrc(home / ".netrc", "api.wandb.ai")
    assert key() == KEY


# ---- the wandb package, played ----


class PlayedKey:
    def __init__(self, api_key: str) -> None:
        self.api_key = api_key


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A loaded wandb with these settings, and what it holds."""
    played = SimpleNamespace(
        settings=SimpleNamespace(
            base_url="https://w.example", entity="set", project="", api_key=None
        ),
        held=None,
        asked=[],
    )

    def credentials(*, host: str) -> Any:
        played.asked.append(host)
        return played.held

    modules: dict[str, dict[str, Any]] = {
        "wandb": {"__version__": "0.31.0", "run": None},
        "wandb.sdk.wandb_setup": {"singleton": lambda: played},
        "wandb.sdk.lib.wbauth": {
            "HostUrl": str,
            "AuthApiKey": PlayedKey,
            "session_credentials": credentials,
        },
    }
    for name, members in modules.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    return played


def test_what_the_program_told_the_package(
    package: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    package.held = PlayedKey(OTHER)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert headers() == {
        "x-wandb-api-key": OTHER,
        "x-wandb-sdk-version": "0.31.0",
        "x-wandb-host": "w.example",
        "x-entity-id": "set",
    }
    assert package.asked == ["https://w.example"]
    package.held = None
    assert key() == KEY


def test_the_active_run(package: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(sys.modules["wandb"], "run", SimpleNamespace(entity="team"))
    assert headers()["x-entity-id"] == "team"
    assert headers("mine")["x-entity-id"] == "mine"

    class Ending:
        @property
        def entity(self) -> str:
            raise RuntimeError("the run is finished")

    monkeypatch.setattr(sys.modules["wandb"], "run", Ending())
    assert headers()["x-entity-id"] == "set"


def test_a_package_that_is_logged_in_without_a_key(package: SimpleNamespace) -> None:
    package.held = object()
    assert "logged in to w.example without an API key" in refusal()


def test_a_package_whose_settings_fail(
    package: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ValueError("bad settings")

    monkeypatch.setattr(sys.modules["wandb.sdk.wandb_setup"], "singleton", fail)
    assert "bad settings" in refusal()


def test_a_folder_that_is_called_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", ModuleType("wandb"))
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert headers() == {"x-wandb-api-key": KEY}


# ---- the value ----


@pytest.mark.parametrize("blank", ["", "  "])
def test_blank_names(blank: str) -> None:
    with pytest.raises(ValueError, match="WandbAuth entity must not be"):
        WandbAuth(entity=blank)
    with pytest.raises(ValueError, match="WandbAuth project must not be"):
        WandbAuth(project=blank)
    with pytest.raises(TypeError, match="WandbAuth entity must be a str"):
        WandbAuth(entity=3)  # type: ignore[arg-type]


def test_it_is_a_value() -> None:
    assert WandbAuth("e", "p") == WandbAuth(entity="e", project="p")
    assert len({WandbAuth("e"), WandbAuth("e")}) == 1
    assert repr(WandbAuth("e")) == "WandbAuth(entity='e', project=None)"
