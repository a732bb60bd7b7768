"""``cwsandbox batch``: a file of jobs, its store, and what is shown and exported of it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import signal
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from cli.program import PATH, Program, assert_one_line_error
from cli.typist import Typist
from cwsandbox import Sandbox, SandboxError
from cwsandbox._batch.reader import Reader
from integration.env.wait import eventually

JOBS: list[dict[str, Any]] = [
    {"key": "good", "command": ["cat"], "stdin": "äöü\n", "metadata": {"n": 1}},
    {
        "key": "../bad",
        "command": ["sh", "-c", 'echo "$A"; cat /in/one /in/two >/tmp/art; exit 3'],
        "env": {"A": "value"},
        "cwd": "/tmp",
        "files": {"/in/one": "text\n", "/in/two": {"path": "two.txt"}},
        "artifacts": ["/tmp/art", "/tmp/none"],
    },
    {"key": "late", "command": ["sh", "-c", "echo half; sleep 60"], "timeout_seconds": 4},
    {"key": "invalid", "command": ["true"], "files": {"/proc/none/x": ""}},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "two.txt").write_text("local\n")
    write(tmp_path / "run.jsonl", JOBS)
    return tmp_path


def write(path: Path, jobs: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(job) + "\n" for job in jobs))


def run(program: Program, folder: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    return program.run(
        "batch", str(folder / "run.jsonl"), "--store", str(folder / "run.db"), *options
    )


def test_a_batch_and_what_became_of_it(program: Program, folder: Path) -> None:
    done = run(program, folder, "--price-per-hour", "3600")
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith(b"4 jobs: 1 ok, 1 failed, 1 timeout, 1 invalid; ")
    assert b"; cost " in done.stdout
    hint = done.stdout.decode().splitlines()[-1]
    bad = "--verdict failed --verdict timeout --verdict invalid"
    assert hint == f"See: cwsandbox batch show {folder / 'run.db'} {bad}"
    assert done.stderr == b""

    exported = program.run("batch", "export", str(folder / "run.db"), "--jsonl")
    found = {one["key"]: one for one in map(json.loads, exported.stdout.splitlines())}
    assert {key: one["verdict"] for key, one in found.items()} == {
        "good": "ok",
        "../bad": "failed",
        "late": "timeout",
        "invalid": "invalid",
    }
    assert found["good"]["stdout"] == "äöü\n"
    assert found["good"]["metadata"] == {"n": 1}
    assert (found["../bad"]["stdout"], found["../bad"]["returncode"]) == ("value\n", 3)
    assert found["late"]["stdout"] == "half\n"
    assert "/proc/none" in found["invalid"]["error"]

    target = folder / "artifacts"
    table = program.run(
        "batch",
        "export",
        str(folder / "run.db"),
        "--csv",
        "--artifacts",
        str(target),
        "--verdict",
        "failed",
    )
    rows = list(csv.DictReader(io.StringIO(table.stdout.decode())))
    assert [(row["key"], row["returncode"]) for row in rows] == [("../bad", "3")]
    written = [path for path in target.rglob("*") if path.is_file()]
    assert [path.read_text() for path in written] == ["text\nlocal\n"]

    shown = program.run("batch", "show", str(folder / "run.db"), "--verdict", "timeout")
    lines = shown.stdout.decode().splitlines()
    assert [line.split()[:2] for line in lines[1:-1]] == [["late", "timeout"]]
    assert lines[-1].startswith("4 jobs: ")
    one = program.run("batch", "show", str(folder / "run.db"), "../bad").stdout.decode()
    assert "artifact /tmp/art: 11 bytes\n" in one
    assert "artifact /tmp/none: " in one
    assert "--- stdout\nvalue\n" in one


def test_going_on_needs_the_option(program: Program, folder: Path) -> None:
    write(folder / "run.jsonl", [{"key": "a", "command": ["cat", "/proc/sys/kernel/random/uuid"]}])
    assert run(program, folder, "--quiet").returncode == 0
    again = run(program, folder)
    assert again.returncode == 2
    assert b"--resume" in again.stderr

    def output() -> str:
        reader = Reader(folder / "run.db")
        found = next(reader.outcomes())["stdout"]
        reader.close()
        return str(found)

    first = output()
    assert run(program, folder, "--resume").returncode == 0
    assert output() == first
    assert run(program, folder, "--resume", "--rerun", "all").returncode == 0
    assert output() != first


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("{", ["not JSON"]),
        ("[1]", ["JSON object", "[1]"]),
        ("[" * 100_000, ["nested too deeply"]),
        ('{"key": "\\ud800", "command": ["true"]}', ["key", "lone surrogate", r"\ud800"]),
        ('{"key": "b", "command": ["cat"], "stdin": "\\ud800"}', ["stdin", r"\ud800"]),
        ('{"key": "b", "command": ["a"], "files": {"/a": "\\udcff"}}', ["files['/a']", "lone"]),
        ('{"key": "b", "command": ["true"], "metadata": {"a": NaN}}', ["metadata", "JSON"]),
        ('{"key": "b", "command": ["true"], "sandbox": {"tags": 5}}', ["tags", "5"]),
        ('{"key": "b"}', ["'command' is missing"]),
        ('{"command": ["true"]}', ["'key' is missing"]),
        ('{"key": "b", "command": "true"}', ["command", "'true'"]),
        ('{"key": "b", "command": ["true"], "imag": 1}', ["imag", "valid keys"]),
        ('{"key": "b", "command": ["true"], "files": {"/a": 7}}', ["files['/a']", "7"]),
        (
            '{"key": "b", "command": ["true"], "files": {"/a": {"path": "none"}}}',
            ["files['/a']", "there is no file ", "/none"],
        ),
        (
            '{"key": "b", "command": ["true"], "files": {"/a": {"path": "."}}}',
            ["files['/a']", "there is no file "],
        ),
        ('{"key": "b", "command": ["true"], "timeout_seconds": -1}', ["timeout_seconds", "-1"]),
        ('{"key": "b", "command": ["true"], "stdin": 7}', ["stdin must be text", "7"]),
        ('{"key": "b", "command": ["true"], "sandbox": []}', ["sandbox", "object", "[]"]),
        ('{"key": "a", "command": ["true"]}', ["key 'a'", "line 1"]),
    ],
)
def test_a_bad_line_is_named_before_anything_runs(
    program: Program, tmp_path: Path, line: str, parts: list[str]
) -> None:
    (tmp_path / "run.jsonl").write_text('{"key": "a", "command": ["true"]}\n\n' + line + "\n")
    done = run(program, tmp_path)
    assert_one_line_error(done, "run.jsonl:", *parts)
    assert_one_line_error(done, "run.jsonl:3: ")
    assert not (tmp_path / "run.db").exists()


def test_going_on_needs_no_files_of_what_is_done(program: Program, tmp_path: Path) -> None:
    write(
        tmp_path / "run.jsonl",
        [{"key": "a", "command": ["true"], "files": {"/a": {"path": "once"}}}],
    )
    (tmp_path / "once").touch()
    assert run(program, tmp_path).returncode == 0
    (tmp_path / "once").unlink()
    assert run(program, tmp_path, "--resume").returncode == 0


def test_bytes_that_are_no_text(program: Program, tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_bytes(b'{"key": "\xff"}\n')
    assert_one_line_error(run(program, tmp_path), "run.jsonl:1: not UTF-8 text")


def test_what_is_no_store(program: Program, folder: Path) -> None:
    for words in (("show",), ("export", "--csv")):
        for name, text in (
            ("none.db", "there is no such store"),
            ("run.jsonl", "file is not a database"),
        ):
            done = program.run("batch", *words, str(folder / name))
            assert_one_line_error(done, name, text)
    done = run(program, folder, "--quiet")
    done = program.run("batch", "show", str(folder / "run.db"), "nobody")
    assert_one_line_error(done, "no outcome with key 'nobody'")


def test_an_export_does_not_overwrite_the_store(program: Program, folder: Path) -> None:
    write(folder / "run.jsonl", [{"key": "a", "command": ["true"]}])
    assert run(program, folder, "--quiet").returncode == 0
    (folder / "link.db").symlink_to("run.db")
    store = folder / "run.db"
    before = store.read_bytes()
    for name in ("run.db", "link.db", "run.db-wal", "run.db-lock"):
        done = program.run("batch", "export", str(store), "--output", str(folder / name))
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"would overwrite the store" in done.stderr
    assert store.read_bytes() == before
    done = program.run("batch", "export", str(store), "--output", str(folder / "run.csv"))
    assert done.returncode == 0


def test_text_of_all_kinds(program: Program, folder: Path) -> None:
    """Wide, combining and acting on terminals, in keys, output and artifacts, whatever the terminal's encoding."""
    keys = ["漢字" * 40, "e\u0301" * 3, "😀", "\x1b[2J\nx", "k" * 400, "k" * 401, "..", "a/b"]
    command = ["sh", "-c", "printf '\\377漢\\033[2J'; printf x > /tmp/art"]
    write(
        folder / "run.jsonl",
        [{"key": key, "command": command, "artifacts": ["/tmp/art"]} for key in keys],
    )
    done = run(program, folder)
    assert done.returncode == 0, done.stderr
    poor = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    for form in ("--jsonl", "--csv"):
        exported = program.run(
            "batch",
            "export",
            str(folder / "run.db"),
            form,
            "--artifacts",
            str(folder / "artifacts"),
            PYTHONIOENCODING="latin-1",
            **poor,
        )
        assert exported.returncode == 0, exported.stderr
        text = exported.stdout.decode()
        if form == "--csv":
            found = list(csv.DictReader(io.StringIO(text, newline="")))
        else:
            found = [json.loads(line) for line in text.splitlines()]
        assert sorted(one["key"] for one in found) == sorted(keys)
        assert {one["stdout"] for one in found} == {"\ufffd漢\x1b[2J"}
    files = [path for path in (folder / "artifacts").rglob("*") if path.is_file()]
    assert len(files) == len(keys)
    shown = program.run("batch", "show", str(folder / "run.db"))
    lines = shown.stdout.decode().splitlines()
    assert len(lines) == len(keys) + 2
    assert "\x1b" not in shown.stdout.decode()
    assert "😀" + " " * 30 + " ok" in shown.stdout.decode()
    assert "e\u0301" * 3 + " " * 29 + " ok" in shown.stdout.decode()
    one = program.run(
        "batch", "show", str(folder / "run.db"), "😀", PYTHONIOENCODING="latin-1", **poor
    )
    assert one.returncode == 0, one.stderr
    assert one.stdout.startswith(b"key: \\U0001f600\n")


@pytest.mark.parametrize(
    ("signals", "code", "verdicts"),
    [
        ([signal.SIGINT], 130, ["ok", "ok"]),
        ([signal.SIGINT, signal.SIGINT], 130, ["ok"]),
        ([signal.SIGTERM], 143, ["ok"]),
    ],
)
def test_signals(
    program: Program,
    tmp_path: Path,
    signals: list[signal.Signals],
    code: int,
    verdicts: list[str],
) -> None:
    """The first job has its row, and the second one is at work until the signals were seen."""
    tag = uuid.uuid4().hex
    waiting = ["sh", "-c", "touch /tmp/begun; until [ -e /tmp/go ]; do sleep 0.05; done"]
    jobs: list[dict[str, Any]] = [{"key": "0", "command": ["true"], "sandbox": {"tags": [tag]}}]
    jobs += [{**jobs[0], "key": str(n), "command": waiting} for n in (1, 2)]
    write(tmp_path / "run.jsonl", jobs)
    store = tmp_path / "run.db"
    running = program.start(
        "batch",
        str(tmp_path / "run.jsonl"),
        "--store",
        str(store),
        "-j",
        "1",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_for_rows(store, 1)
    eventually(lambda: at_work(tag), "the second job is at work")
    assert running.stderr is not None
    for at, number in enumerate(signals, 1):
        running.send_signal(number)
        if number == signal.SIGINT and at == 1:  # two at once would be one
            assert running.stderr.readline().startswith(b"Waiting for the jobs that run.")
    if len(verdicts) == 2:
        (sandbox,) = at_work(tag)
        sandbox.write_file("/tmp/go", b"")  # whose answer the end of the sandbox may overtake
    out, err = running.communicate(timeout=40)
    assert running.returncode == code, err
    assert b"Traceback" not in err
    assert out.startswith(f"{len(verdicts)} jobs: ".encode())
    reader = Reader(store)
    assert [one["verdict"] for one in reader.outcomes()] == verdicts
    reader.close()


def at_work(tag: str) -> list[Sandbox]:
    """The sandboxes of this tag in which a command waits."""
    found = []
    for one in Sandbox.list(tags=[tag], status="running").result():
        with contextlib.suppress(SandboxError):  # it has just ended
            if one.exec(["test", "-e", "/tmp/begun"]).result().returncode == 0:
                found.append(one)
    return found


def wait_for_rows(store: Path, count: int) -> None:
    def has() -> bool:
        if not store.exists():
            return False
        try:
            reader = Reader(store)
            try:
                return reader.summary().jobs >= count
            finally:
                reader.close()
        except Exception:
            return False  # it is just being made

    eventually(has, "a row in the store")


def test_a_bar_for_people(base_url: str, folder: Path) -> None:
    write(folder / "run.jsonl", [{"key": str(n), "command": ["false"]} for n in range(5)])
    words = ["batch", str(folder / "run.jsonl"), "--store", str(folder / "run.db")]
    with Typist([PATH, *words], CWSANDBOX_BASE_URL=base_url, NO_COLOR="1") as one:
        one.resize(120, 24)
        one.see(b"5/5")
        one.see(b"5 failed")
        one.see(b"5 jobs: 5 failed")
        assert one.wait() == 3
