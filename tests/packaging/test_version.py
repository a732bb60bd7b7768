"""One version everywhere, which those who ask for the published SDK by its version accept."""

from __future__ import annotations

import importlib.metadata
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import cwsandbox

VERSION = cwsandbox.__version__


def test_the_package_and_its_metadata_agree() -> None:
    assert importlib.metadata.version("cwsandbox") == VERSION


def test_the_daemon_says_the_same() -> None:
    daemon = Path(cwsandbox.__file__).parent / "bin" / "cwsandboxd"
    said = subprocess.run([daemon, "--version"], capture_output=True, text=True, check=True).stdout
    assert said == f"cwsandboxd {VERSION}\n"


@pytest.mark.parametrize(
    "wanted",
    ["cwsandbox[wandb]>=1.14.2", "cwsandbox[cli]>=1.0.0", "cwsandbox==1.22.0", "cwsandbox~=1.22"],
)
def test_it_stands_in_for_the_published_package(wanted: str) -> None:
    requirement = Requirement(wanted)
    assert Version(VERSION) in requirement.specifier
    extras = importlib.metadata.metadata("cwsandbox").get_all("Provides-Extra")
    assert extras is not None
    assert requirement.extras <= set(extras)
    assert {"cli", "wandb", "dev"} <= set(extras)
