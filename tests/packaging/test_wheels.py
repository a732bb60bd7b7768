"""What `make wheels` takes for a library and for a wheel, without building any."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


class Wheels(NamedTuple):
    sources: ModuleType
    targets: ModuleType
    check: ModuleType
    sbom: ModuleType
    libraries: ModuleType
    cpio: ModuleType


@pytest.fixture
def wheels(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wheels]:
    monkeypatch.syspath_prepend(str(TOOLS))
    from wheels import check, cpio, libraries, sbom, sources, targets

    monkeypatch.setattr(sources, "debian_mirrors", list)
    yield Wheels(sources, targets, check, sbom, libraries, cpio)
    for name in [name for name in sys.modules if name.partition(".")[0] == "wheels"]:
        del sys.modules[name]


def source(wheels: Wheels, content: bytes, *places: Path) -> object:
    return wheels.sources.Source(
        name="thing",
        version="1.0",
        sha256=hashlib.sha256(content).hexdigest(),
        urls=tuple(place.as_uri() for place in places),
        debian="pool/thing_1.0.orig.tar.gz",
        licence="MIT",
        licence_files=("COPYING",),
    )


def test_every_library_is_pinned_and_has_a_recipe(wheels: Wheels) -> None:
    pins = wheels.sources.load()
    assert {pin.name for pin in pins} == set(wheels.libraries.RECIPES)
    for pin in pins:
        assert re.fullmatch("[0-9a-f]{64}", pin.sha256)
        assert all(url.startswith("https://") and pin.version in url for url in pin.urls)


def test_the_next_place_is_tried_when_one_fails_or_has_other_bytes(
    wheels: Wheels, tmp_path: Path
) -> None:
    other, good = tmp_path / "other", tmp_path / "good"
    other.write_bytes(b"not what was pinned")
    good.write_bytes(b"what was pinned")
    pin = source(wheels, b"what was pinned", tmp_path / "nowhere", other, good)
    archive = wheels.sources.fetch(pin, tmp_path / "archives")
    assert archive.read_bytes() == b"what was pinned"


def test_other_bytes_are_never_kept(wheels: Wheels, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"not what was pinned")
    pin = source(wheels, b"what was pinned", tmp_path / "nowhere", other)
    with pytest.raises(wheels.sources.SourceError) as raised:
        wheels.sources.fetch(pin, tmp_path / "archives")
    message = str(raised.value)
    assert "thing 1.0 cannot be had" in message
    assert f"{other.as_uri()}: its SHA-256 is" in message
    assert f"{(tmp_path / 'nowhere').as_uri()}: " in message
    assert list((tmp_path / "archives").iterdir()) == []


def test_a_kept_archive_that_changed_is_downloaded_again(wheels: Wheels, tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.write_bytes(b"what was pinned")
    pin = source(wheels, b"what was pinned", good)
    archive = wheels.sources.fetch(pin, tmp_path / "archives")
    archive.write_bytes(b"changed")
    assert wheels.sources.fetch(pin, tmp_path / "archives").read_bytes() == b"what was pinned"


def test_an_archive_is_unpacked_without_its_top_folder(wheels: Wheels, tmp_path: Path) -> None:
    (tmp_path / "thing-1.0/deep").mkdir(parents=True)
    (tmp_path / "thing-1.0/deep/file").write_text("content")
    with tarfile.open(tmp_path / "thing.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "thing-1.0", "thing-1.0")
    wheels.sources.unpack(tmp_path / "thing.tar.gz", tmp_path / "out")
    assert (tmp_path / "out/deep/file").read_text() == "content"


def test_the_key_of_a_built_library_follows_its_pin(wheels: Wheels) -> None:
    first = wheels.targets.TARGETS[0]
    second = replace(first, triple="x86_64-linux-gnu.2.34")
    openssl, nghttp2 = wheels.sources.load()[:2]
    keys = {
        wheels.libraries.key(target, pin)
        for target in (first, second)
        for pin in (openssl, nghttp2, openssl.__class__(**{**vars(openssl), "sha256": "0" * 64}))
    }
    assert len(keys) == 6


def test_the_sbom_is_the_same_for_the_same_sources(wheels: Wheels) -> None:
    pins = wheels.sources.load()
    text = wheels.sbom.render("1.0+local", "some_platform", pins)
    assert text == wheels.sbom.render("1.0+local", "some_platform", pins)
    bom = json.loads(text)
    assert [part["name"] for part in bom["components"]] == [pin.name for pin in pins]
    hashes = [part["externalReferences"][0]["hashes"][0] for part in bom["components"]]
    assert [hash["content"] for hash in hashes] == [pin.sha256 for pin in pins]


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """The programs that a wheel has, as this machine's compiler makes them."""
    if not shutil.which("cc") or not shutil.which("readelf"):
        pytest.skip("this machine has no compiler")
    (tmp_path / "main.c").write_text("int main(void) { return 0; }\n")
    (tmp_path / "ext.c").write_text("void PyInit__cwsandbox(void) {}\nvoid more(void) {}\n")
    (tmp_path / "map").write_text("{ global: PyInit__cwsandbox; local: *; };\n")
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    for name in ("cwsandboxd", "cwsandbox-init", "cwsandbox-archive", "cwsandbox-egress"):
        cc("-o", tree / "bin" / name, tmp_path / "main.c")
    extension = ("-shared", "-fPIC", tmp_path / "ext.c", "-o", tree / "_cwsandbox.abi3.so")
    cc(*extension, f"-Wl,--version-script={tmp_path / 'map'}")
    return tree


def cc(*arguments: str | Path) -> None:
    subprocess.run(["cc", *map(str, arguments)], check=True, timeout=30)


def faults(wheels: Wheels, tree: Path) -> list[str]:
    machine = subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True)
    for target in wheels.targets.TARGETS:
        if target.machine == machine.stdout.strip() and target.root != "musl":
            return list(wheels.check.faults_of_programs(target, tree))
    pytest.skip(f"there are no wheels for {machine.stdout}")


def test_a_wheel_with_what_it_must_have(wheels: Wheels, built: Path) -> None:
    assert faults(wheels, built) == []


def test_a_second_exported_symbol_is_a_fault(wheels: Wheels, built: Path) -> None:
    cc("-shared", "-fPIC", built.parent / "ext.c", "-o", built / "_cwsandbox.abi3.so")
    assert [fault for fault in faults(wheels, built) if "exports 2 symbols" in fault]


def test_a_library_of_the_machine_is_a_fault(wheels: Wheels, built: Path) -> None:
    library = built.parent / "libother.so.1"
    cc("-shared", "-fPIC", built.parent / "ext.c", "-Wl,-soname,libother.so.1", "-o", library)
    options = ("-Wl,--no-as-needed", library, "-Wl,-rpath,/somewhere")
    cc("-o", built / "bin/cwsandboxd", built.parent / "main.c", *options)
    assert faults(wheels, built) == [
        "cwsandboxd needs ['libother.so.1'] of the machine it is installed on",
        "cwsandboxd has a path of its own to look for libraries",
    ]


def test_what_the_oldest_libc_does_not_have_is_a_fault(wheels: Wheels, built: Path) -> None:
    (built.parent / "oldest.c").write_text("void known(void) {}\n")
    (built.parent / "user.c").write_text(
        "void known(void);\nvoid later(void);\nvoid Py_Known(void);\n"
        "__attribute__((weak)) void without(void);\n"
        "void user(void) { known(); later(); Py_Known(); if (without) without(); }\n"
    )
    libc = built.parent / "libc.so"
    nothing = ("-shared", "-fPIC", "-nostdlib")
    cc(*nothing, built.parent / "oldest.c", "-o", libc)
    for program in ("cwsandboxd", "cwsandbox-init", "cwsandbox-archive", "cwsandbox-egress"):
        cc(*nothing, built.parent / "oldest.c", "-o", built / "bin" / program)
    cc(*nothing, built.parent / "user.c", "-o", built / "_cwsandbox.abi3.so")
    assert list(wheels.check.faults_of_symbols(built, libc)) == [
        "_cwsandbox.abi3.so needs ['later'], which the oldest libc does not have"
    ]


def test_a_missing_program_is_a_fault(wheels: Wheels, built: Path) -> None:
    (built / "bin/cwsandbox-egress").unlink()
    (fault,) = faults(wheels, built)
    assert fault.startswith("its programs are ")


def test_a_program_for_another_processor_is_a_fault(wheels: Wheels, built: Path) -> None:
    program = built / "bin/cwsandboxd"
    content = bytearray(program.read_bytes())
    content[18] = 0xF3  # e_machine: RISC-V
    program.write_bytes(content)
    assert [fault for fault in faults(wheels, built) if "cwsandboxd is not for " in fault]


def test_a_first_file_system_holds_the_tree(wheels: Wheels, tmp_path: Path) -> None:
    if not shutil.which("busybox"):
        pytest.skip("busybox, which has a cpio, is not installed")
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin/program").write_bytes(b"\0\1\2\3\4")
    (tree / "bin/program").chmod(0o755)
    (tree / "naïve").write_text("text")
    (tree / "link").symlink_to("bin/program")
    wheels.cpio.pack(tree, tmp_path / "archive")
    (tmp_path / "out").mkdir()
    with (tmp_path / "archive").open("rb") as archive:
        subprocess.run(["busybox", "cpio", "-i"], cwd=tmp_path / "out", stdin=archive, check=True)
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == sorted(
        path.name for path in tree.rglob("*")
    )
    assert (tmp_path / "out/bin/program").read_bytes() == b"\0\1\2\3\4"
    assert (tmp_path / "out/bin/program").stat().st_mode == (tree / "bin/program").stat().st_mode
    assert (tmp_path / "out/naïve").read_text() == "text"
    assert (tmp_path / "out/link").readlink() == Path("bin/program")
