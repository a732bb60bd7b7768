"""What is pinned: what sources.toml says of each library, and its archive, downloaded and verified."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tomllib
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PINS = Path(__file__).with_name("sources.toml")
APT_HELPER = "/usr/lib/apt/apt-helper"
TIMEOUT_S = 60


@dataclass(frozen=True)
class Archive:
    """One file, and the places that have it."""

    name: str
    version: str
    sha256: str
    urls: tuple[str, ...]
    debian: str


@dataclass(frozen=True)
class Source(Archive):
    """One library in the wheels."""

    licence: str
    licence_files: tuple[str, ...]


class SourceError(Exception):
    """An archive that cannot be had, or is not the one that was pinned."""


def read(path: Path) -> dict[str, Any]:
    """The pins, with their versions filled in."""
    with path.open("rb") as file:
        pins = tomllib.load(file)
    for pin in pins.values():
        pin["urls"] = tuple(url.format(version=pin["version"]) for url in pin["urls"])
        pin["debian"] = pin["debian"].format(version=pin["version"])
    return pins


def load() -> list[Source]:
    return [
        Source(
            name=name,
            version=pin["version"],
            sha256=pin["sha256"],
            urls=pin["urls"],
            debian=pin["debian"],
            licence=pin["licence"],
            licence_files=tuple(pin["licence-files"]),
        )
        for name, pin in read(PINS).items()
    ]


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download_url(url: str, into: Path) -> None:
    with (
        urllib.request.urlopen(url, timeout=TIMEOUT_S) as response,
        into.open("wb") as file,
    ):
        shutil.copyfileobj(response, file)


def debian_mirrors() -> list[str]:
    """Where this machine gets Debian packages from."""
    if not os.access(APT_HELPER, os.X_OK):
        return []
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return sorted({line.strip() for line in listed.splitlines() if line.strip()})


def download_apt(url: str, into: Path) -> None:
    command = [APT_HELPER, "-q", "download-file", url, str(into)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E:")]
        raise OSError(lines[0] if lines else f"apt-helper ended with {done.returncode}")


def attempts(source: Archive, into: Path) -> Iterator[str]:
    """Tries one place after the other, and yields what was wrong with each; ends where one has the archive."""
    places = [(url, download_url) for url in source.urls]
    places += [(mirror + source.debian, download_apt) for mirror in debian_mirrors()]
    for url, download in places:
        into.unlink(missing_ok=True)
        try:
            download(url, into)
        except (OSError, subprocess.TimeoutExpired) as error:
            yield f"{url}: {error}"
            continue
        found = digest(into)
        if found == source.sha256:
            return
        into.unlink()
        yield f"{url}: its SHA-256 is {found}, not {source.sha256} as pinned"
    raise SourceError(f"{source.name} {source.version} cannot be had from any place")


def fetch(source: Archive, folder: Path) -> Path:
    """The verified archive in `folder`, from there if it has been downloaded before."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / Path(source.debian).name
    if archive.exists() and digest(archive) == source.sha256:
        return archive
    partial = archive.with_name(archive.name + ".partial")
    failures = []
    try:
        for failure in attempts(source, partial):
            failures.append(failure)
    except SourceError as error:
        raise SourceError("\n  - ".join([f"{error}:", *failures])) from None
    partial.rename(archive)
    return archive


def unpack(archive: Path, into: Path) -> None:
    """What is below the archive's single top folder."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            _, _, member.name = member.name.partition("/")
            if member.islnk():
                _, _, member.linkname = member.linkname.partition("/")
            if member.name:
                tar.extract(member, into, filter="tar")
