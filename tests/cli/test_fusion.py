"""`cwsandbox serve-fusion`, asked as a trainer asks it."""

from __future__ import annotations

import base64
import json
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from cli.program import PATH, Program, assert_one_line_error
from code_blocks import blocks
from cwsandbox import Sandbox
from integration.env import eventually

Ask = Callable[..., dict]


@pytest.fixture
def url(base_url: str) -> Iterator[str]:
    words = ["serve-fusion", "--port", "0", "--ready", "2", "--alive", "4"]
    with subprocess.Popen([PATH, *words], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(40) == 0


def post(url: str, body: bytes, path: str | None = None) -> tuple[int, dict]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=50)
    try:
        connection.request("POST", parts.path if path is None else path, body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.fixture
def ask(url: str) -> Ask:
    def ask(code: str, language: str = "python", **options: object) -> dict:
        request = {"code": code, "language": language, **options}
        status, answer = post(url, json.dumps(request).encode())
        assert status == 200, answer
        return answer

    return ask


def test_code_that_runs(ask: Ask) -> None:
    answer = ask("import sys; print(input()[::-1]); print('told', file=sys.stderr)", stdin="abc\n")
    assert (answer["status"], answer["message"]) == ("Success", "")
    assert answer["compile_result"] is None
    ran = answer["run_result"]
    assert ran.pop("execution_time") > 0
    assert ran == {"status": "Finished", "return_code": 0, "stdout": "cba\n", "stderr": "told\n"}


def test_code_that_fails(ask: Ask) -> None:
    answer = ask("exit 3", "bash")
    assert answer["status"] == "Failed"
    assert answer["run_result"]["return_code"] == 3


def test_code_that_takes_too_long(ask: Ask) -> None:
    answer = ask("echo begun; sleep 60", "bash", run_timeout=4)
    assert answer["status"] == "Failed"
    ran = answer["run_result"]
    assert (ran["status"], ran["return_code"]) == ("TimeLimitExceeded", None)
    assert ran["stdout"] == "begun\n"


def test_code_that_is_compiled(ask: Ask) -> None:
    answer = ask('#include <cstdio>\nint main() { puts("compiled"); }', "cpp", compile_timeout=50)
    assert answer["compile_result"]["return_code"] == 0, answer
    assert answer["run_result"]["stdout"] == "compiled\n"


def test_code_that_does_not_compile(ask: Ask) -> None:
    answer = ask("int main() { return nothing; }", "cpp", compile_timeout=50)
    assert answer["status"] == "Failed"
    assert "nothing" in answer["compile_result"]["stderr"]
    assert answer["run_result"] is None


def test_files_go_in_and_come_out(ask: Ask) -> None:
    given = base64.b64encode(b"\x00given").decode()
    code = "mkdir -p out; tac data/in > out/made"
    files = {"data/in": given, "none": None}
    answer = ask(code, "bash", files=files, fetch_files=["out/made", "not-made"])
    assert (answer["files"], answer["message"]) == ({"out/made": given}, "")


def test_a_file_that_cannot_come_out_is_named(ask: Ask) -> None:
    code = "truncate -s 1T huge; mkdir folder; echo small > small"
    answer = ask(code, "bash", fetch_files=["huge", "folder", "small"])
    assert list(answer["files"]) == ["small"]
    assert answer["status"] == "Success"
    huge, folder = answer["message"].splitlines()
    assert "huge" in huge
    assert "folder" in folder


def test_memory_has_a_limit(ask: Ask) -> None:
    answer = ask("x = bytearray(1 << 30)", memory_limit_MB=512)
    assert answer["status"] == "Failed"
    assert "MemoryError" in answer["run_result"]["stderr"]


def test_no_request_meets_what_another_left(ask: Ask) -> None:
    code = "ls /tmp/left 2>&1; touch /tmp/left"
    for _ in range(4):
        assert "No such file" in ask(code, "bash")["run_result"]["stdout"]


def test_more_requests_than_sandboxes_wait(ask: Ask) -> None:
    began = threading.Barrier(24, timeout=30)

    def one(number: int) -> str:
        began.wait()
        return ask(f"print({number})")["run_result"]["stdout"]

    with ThreadPoolExecutor(24) as threads:
        assert list(threads.map(one, range(24))) == [f"{number}\n" for number in range(24)]


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (b"{", "Expecting"),
        (b"[]", "JSON object"),
        (b'{"code": "", "language": "cobol"}', "cobol"),
        (b'{"language": "python"}', "code must be str"),
        (b'{"code": "", "language": "bash", "run_timeout": -1}', "run_timeout"),
        (b'{"code": "", "language": "bash", "run_timeout": NaN}', "run_timeout"),
        (b'{"code": "", "language": "bash", "files": {"a": "?"}}', "'a' must be base64"),
        (b'{"code": "", "language": "bash", "files": {"a\\u0000b": ""}}', "a\\x00b"),
        (b'{"code": "", "language": "bash", "fetch_files": [1]}', "fetch_files"),
    ],
)
def test_a_request_that_is_none_is_told_why(url: str, request_: bytes, named: str) -> None:
    status, answer = post(url, request_)
    assert status == 422
    assert named in answer["detail"]


def test_an_unknown_path(url: str) -> None:
    status, answer = post(url, b"{}", "/run_jupyter")
    assert (status, answer["detail"]) == (404, "no such path: POST /run_jupyter")


def test_its_sandboxes_end_with_it(base_url: str, program: Program) -> None:
    with program.start("serve-fusion", "--port", "0", stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        url = server.stdout.readline().decode().strip()
        post(url, b'{"code": "", "language": "bash"}')
        eventually(lambda: Sandbox.list(status="running").result(), "one is there for the next")
        server.send_signal(signal.SIGINT)
        assert server.wait(40) == 0
    assert Sandbox.list().result() == []


def test_an_address_of_ipv6(base_url: str) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this host has no IPv6")
    words = [PATH, "serve-fusion", "--host", "::1", "--port", "0", "--ready", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            url = server.stdout.readline().strip()
            assert url.startswith("http://[::1]:")
            status, answer = post(url, b'{"code": "echo six", "language": "bash"}')
        finally:
            server.send_signal(signal.SIGTERM)
    assert (status, answer["run_result"]["stdout"]) == (200, "six\n")


def test_a_port_that_is_taken(url: str, program: Program) -> None:
    port = str(urlsplit(url).port)
    assert_one_line_error(program.run("serve-fusion", "--port", port), port, "in use")


def test_a_service_that_is_not_there(program: Program) -> None:
    words = ["env", "CWSANDBOX_BASE_URL=unix:///not/there", PATH, "serve-fusion", "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        try:
            url = server.stdout.readline().decode().strip()
            status, answer = post(url, b'{"code": "", "language": "bash"}')
        finally:
            server.send_signal(signal.SIGTERM)
    assert (status, answer["status"]) == (200, "SandboxError")
    assert "/not/there" in answer["message"]


def test_the_guide(url: str) -> None:
    (example,) = blocks("docs/guide/fusion.md", count=1)
    exec(example, {"url": url})
