"""A request of SandboxFusion's ``POST /run_code``, and what is answered to it. ``fusion`` serves it over HTTP."""

from __future__ import annotations

import base64
import binascii
import json
import posixpath
import reprlib
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

from cwsandbox import Sandbox, SandboxPool
from cwsandbox.exceptions import CWSandboxError, SandboxFileError, SandboxTimeoutError

_FOLDER = "/tmp/run_code"
# So much of each stream is kept, as SandboxFusion does.
_OUTPUT_MAX = 1 << 20


class _Language(NamedTuple):
    file: str
    run: str
    compile: str | None = None


LANGUAGES = {
    "python": _Language("main.py", "python3 main.py"),
    "pytest": _Language("test_main.py", 'python3 -m pytest test_main.py "$@"'),
    "bash": _Language("main.sh", "bash main.sh"),
    "nodejs": _Language("main.js", "node main.js"),
    "typescript": _Language("main.ts", "tsx main.ts"),
    "cpp": _Language("main.cpp", "./main", "g++ -std=c++17 main.cpp -o main -lpthread"),
    "go": _Language("main.go", "./main", "go build -o main main.go"),
    "java": _Language("Main.java", "java -cp . -ea Main", "javac Main.java"),
    "rust": _Language("main.rs", "./main", "rustc main.rs -o main"),
    "php": _Language("main.php", "php -f main.php"),
    "ruby": _Language("main.rb", "ruby main.rb"),
    "perl": _Language("main.pl", "perl main.pl"),
    "lua": _Language("main.lua", "lua main.lua"),
    "R": _Language("main.R", "Rscript main.R"),
    "julia": _Language("main.jl", "julia main.jl"),
}


@dataclass(frozen=True)
class RunCode:
    """A request. Raises ValueError for what the interface does not take; names it does not have are left out."""

    code: str
    language: str
    stdin: str = ""
    compile_timeout: float = 10
    run_timeout: float = 10
    memory_limit_MB: int = -1
    files: tuple[tuple[str, bytes], ...] = ()
    fetch_files: tuple[str, ...] = ()
    args: tuple[str, ...] = ()

    @classmethod
    def of(cls, body: bytes) -> RunCode:
        try:
            request = json.loads(body)
        except RecursionError:
            raise ValueError("the request is nested too deeply") from None
        if not isinstance(request, dict):
            raise ValueError("the request must be a JSON object")
        language = _field(request, "language", str)
        if language not in LANGUAGES:
            raise ValueError(
                f"language must be one of {', '.join(LANGUAGES)}, got {reprlib.repr(language)}"
            )
        files = _field(request, "files", dict, {})
        return cls(
            code=_field(request, "code", str),
            language=language,
            stdin=_field(request, "stdin", str, ""),
            compile_timeout=_seconds(request, "compile_timeout"),
            run_timeout=_seconds(request, "run_timeout"),
            memory_limit_MB=_field(request, "memory_limit_MB", int, -1),
            files=tuple(
                (name, _decoded(name, text)) for name, text in files.items() if text is not None
            ),
            fetch_files=_texts(request, "fetch_files"),
            args=_texts(request, "args"),
        )


def _field(request: dict[str, Any], name: str, kind: Any, default: Any = None) -> Any:
    value = request.get(name)
    if value is None:
        value = default
    if not isinstance(value, kind) or isinstance(value, bool):
        what = "/".join(one.__name__ for one in kind) if isinstance(kind, tuple) else kind.__name__
        raise ValueError(f"{name} must be {what}, got {reprlib.repr(value)}")
    if isinstance(value, str):
        _check_text(name, value)
    return value


def _check_text(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} must be Unicode text: {error}") from None


def _seconds(request: dict[str, Any], name: str) -> float:
    value = float(_field(request, name, (int, float), 10))
    if not 0 < value < 1e6:
        raise ValueError(f"{name} must be a number of seconds above 0, got {value}")
    return value


def _texts(request: dict[str, Any], name: str) -> tuple[str, ...]:
    value = _field(request, name, list, [])
    if not all(isinstance(one, str) for one in value):
        raise ValueError(f"{name} must be a list of strings, got {reprlib.repr(value)}")
    for one in value:
        _check_text(name, one)
    return tuple(value)


def _decoded(name: str, text: object) -> bytes:
    _check_text("files", name)
    try:
        return base64.b64decode(text, validate=True)  # type: ignore[arg-type]
    except (binascii.Error, TypeError, ValueError) as error:
        raise ValueError(f"files: {name!r} must be base64: {error}") from error


async def run_code(pool: SandboxPool, request: RunCode) -> dict[str, Any]:
    """What is answered to a request. A fault of the infrastructure is an answer, too.

    The cancellation of the task ends the command, and its sandbox.
    """
    answer: dict[str, Any] = {"status": "Success", "message": "", "executor_pod_name": None}
    answer |= {"compile_result": None, "run_result": None, "files": {}}
    try:
        async with pool.acquire() as sandbox:
            answer |= await _run(sandbox, request)
    except CWSandboxError as error:
        return answer | {"status": "SandboxError", "message": str(error)}
    ran = [answer[name] for name in ("compile_result", "run_result") if answer[name] is not None]
    if any(one["return_code"] != 0 for one in ran):
        answer["status"] = "Failed"
    return answer


async def _run(sandbox: Sandbox, request: RunCode) -> dict[str, Any]:
    language = LANGUAGES[request.language]
    contents = [(language.file, request.code.encode()), *request.files]
    for writing in [
        sandbox.write_file(posixpath.join(_FOLDER, name), data) for name, data in contents
    ]:
        await writing
    answer: dict[str, Any] = {}
    if language.compile is not None:
        compiled = await _command(sandbox, language.compile, request, request.compile_timeout, "")
        answer["compile_result"] = compiled
        if compiled["return_code"] != 0:
            return answer
    answer["run_result"] = await _command(
        sandbox, language.run, request, request.run_timeout, request.stdin
    )
    files = {}
    faults = []
    for name in request.fetch_files:
        try:
            content = await sandbox.read_file(posixpath.join(_FOLDER, name))
        except SandboxFileError as error:
            if error.reason != "CWSANDBOX_FILE_NOT_FOUND":  # else it was not made
                faults.append(str(error))
        else:
            files[name] = base64.b64encode(content).decode()
    return answer | {"files": files, "message": "\n".join(faults)}


async def _command(
    sandbox: Sandbox, text: str, request: RunCode, timeout: float, stdin: str
) -> dict[str, Any]:
    if request.memory_limit_MB > 0:
        text = f"ulimit -v {request.memory_limit_MB * 1024} && {text}"
    begun = time.monotonic()
    process = sandbox.exec(
        ["/bin/sh", "-c", text, "sh", *request.args],
        cwd=_FOLDER,
        stdin=bool(stdin),
        timeout_seconds=timeout,
        max_output_bytes=_OUTPUT_MAX,
    )
    status = "Finished"
    try:
        if process.stdin is not None:
            process.stdin.write(stdin.encode())
            process.stdin.close()
        result = await process
    except SandboxTimeoutError as error:
        if error.exec_result is None:
            raise  # it was not the command that took so long
        status, result = "TimeLimitExceeded", error.exec_result
    finally:
        process.cancel()  # one that has ended stays as it is
    return {
        "status": status,
        "execution_time": time.monotonic() - begun,
        "return_code": result.returncode if status == "Finished" else None,
        "stdout": result.stdout,
        "stderr": result.stderr,
    }
