"""What goes beyond the published messages is used only with services that say they know it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from conformance.grpc_peer import Call, GrpcPeer
from cwsandbox import Container, Sandbox, SandboxValidationError

HEADER = "cwsandboxd-extensions"
SCRIPT = 'cd -- "$1" && shift && exec "$@"'


def naming(peer: GrpcPeer, names: str | None, *methods: str) -> None:
    """The answers to these methods have the header."""
    plain = {"CreateSandbox": peer._create, "GetSandbox": peer._get, "ListSandboxes": peer._list}

    def with_header(method: str) -> Any:
        async def answer(request: Any, context: Any) -> Any:
            if names is not None:
                await context.send_initial_metadata(((HEADER, names),))
            return await plain[method](request, context)

        return answer

    for method in methods:
        peer.overrides[method] = with_header(method)


async def run_here(call: Call) -> None:
    """Runs the command on this host."""
    process = await asyncio.create_subprocess_exec(
        *call.argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    stdout, stderr = await process.communicate()
    await call.out(stdout)
    await call.err(stderr)
    await call.exit(process.returncode or 0)


@pytest.fixture
def inits(grpc_peer: GrpcPeer) -> list[Any]:
    """The init messages of the commands, which run on this host."""
    seen: list[Any] = []

    async def run(call: Call) -> None:
        seen.append(call.init)
        await run_here(call)

    for program in ("/bin/sh", "pwd", "printf"):
        grpc_peer.scripts[program] = run
    return seen


def test_with_the_extension_the_directory_is_a_field(grpc_peer: GrpcPeer, inits: list[Any]) -> None:
    naming(grpc_peer, "later, cwd", "CreateSandbox", "GetSandbox")
    with Sandbox.run() as sandbox:
        sandbox.exec(["pwd"], cwd="/usr/lib").result()
        sandbox.exec(["pwd"]).result()
    assert [(list(init.command), init.cwd) for init in inits] == [
        (["pwd"], "/usr/lib"),
        (["pwd"], ""),
    ]


@pytest.mark.parametrize("names", [None, "", "later"])
def test_without_it_a_shell_enters_the_directory(
    grpc_peer: GrpcPeer, inits: list[Any], names: str | None
) -> None:
    naming(grpc_peer, names, "CreateSandbox", "GetSandbox")
    with Sandbox.run() as sandbox:
        result = sandbox.exec(["pwd"], cwd="/usr/lib").result()
        assert (result.stdout, result.command) == ("/usr/lib\n", ["pwd"])
        assert sandbox.exec(["pwd"]).result().returncode == 0
    assert [(list(init.command), init.cwd) for init in inits] == [
        (["/bin/sh", "-c", SCRIPT, "sh", "/usr/lib", "pwd"], ""),
        (["pwd"], ""),
    ]


def test_a_service_that_is_replaced_by_one_without_it(
    grpc_peer: GrpcPeer, inits: list[Any]
) -> None:
    naming(grpc_peer, "cwd", "CreateSandbox", "GetSandbox")
    with Sandbox.run() as sandbox:
        sandbox.exec(["pwd"], cwd="/usr/lib").result()
        naming(grpc_peer, None, "CreateSandbox", "GetSandbox")
        with Sandbox.run() as other:
            other.exec(["pwd"], cwd="/usr/lib").result()
    assert [init.cwd for init in inits] == ["/usr/lib", ""]


@pytest.mark.parametrize("name", ["plain", "two words", "it's", "$HOME", "new\nline", "-dash"])
def test_the_shell_takes_any_name_and_words(
    grpc_peer: GrpcPeer, inits: list[Any], tmp_path: Path, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    words = ["a b", "'", "$x", "", "*", "new\nline", "--"]
    command = ["/bin/sh", "-c", 'pwd; printf "%s|" "$@"', "sh", *words]
    with Sandbox.run() as sandbox:
        result = sandbox.exec(command, cwd=str(folder)).result()
    assert result.stdout == f"{folder}\n" + "|".join(words) + "|"


def test_the_shell_takes_many_words(grpc_peer: GrpcPeer, inits: list[Any]) -> None:
    words = ["w" * 200] * 1000
    with Sandbox.run() as sandbox:
        result = sandbox.exec(["printf", "%s\\n", *words], cwd="/usr").result()
    assert result.stdout.splitlines() == words


def test_a_missing_directory_is_the_shell_s_failure(grpc_peer: GrpcPeer, inits: list[Any]) -> None:
    with Sandbox.run() as sandbox:
        result = sandbox.exec(["pwd"], cwd="/no/such/place").result()
    assert (result.stdout, result.returncode != 0) == ("", True)
    assert "/no/such/place" in result.stderr


SCRIPT_FILE = {"mount_path": "/run.sh", "file_content": "#!/bin/sh\n", "file_mode": 0o755}


@pytest.fixture
def asked(grpc_peer: GrpcPeer) -> list[tuple[str, list[int | None]]]:
    """The methods that were called, with the modes of files in their requests."""
    seen: list[tuple[str, list[int | None]]] = []

    def watched(method: str, answer: Any) -> Any:
        async def note(request: Any, context: Any) -> Any:
            spec = getattr(getattr(request, "sandbox", None), "spec", None)
            files = [file for row in spec.containers for file in row.files] if spec else []
            seen.append((method, [file.mode if file.HasField("mode") else None for file in files]))
            return await answer(request, context)

        return note

    grpc_peer._create = watched("create", grpc_peer._create)  # type: ignore[method-assign]
    grpc_peer._list = watched("list", grpc_peer._list)  # type: ignore[method-assign]
    return seen


def test_file_modes_are_sent_to_those_who_know_them(
    grpc_peer: GrpcPeer, asked: list[tuple[str, list[int | None]]]
) -> None:
    naming(grpc_peer, "cwd,file_modes", "CreateSandbox", "GetSandbox", "ListSandboxes")
    plain = {"mount_path": "/plain", "file_content": ""}
    rows = [Container(image="i", mounted_files=[SCRIPT_FILE])]
    with Sandbox.run(mounted_files=[SCRIPT_FILE, plain]), Sandbox.run(containers=rows):
        pass
    # Only the first had to ask.
    assert asked == [("list", []), ("create", [0o755, None]), ("create", [0o755])]


@pytest.mark.parametrize("names", [None, "cwd"])
def test_file_modes_are_refused_where_nobody_would_mind_them(
    grpc_peer: GrpcPeer, asked: list[tuple[str, list[int | None]]], names: str | None
) -> None:
    naming(grpc_peer, names, "CreateSandbox", "GetSandbox", "ListSandboxes")
    with pytest.raises(SandboxValidationError, match=r"mounted_files: .* give files a file_"):
        Sandbox.run(mounted_files=[SCRIPT_FILE])
    assert asked == [("list", [])]
    with Sandbox.run(mounted_files=[{**SCRIPT_FILE, "file_mode": None}]):
        assert asked[1:] == [("create", [None])]
