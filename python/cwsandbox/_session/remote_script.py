"""What runs in the sandbox for one call of a remote function: ``python3 -c <this text> PAYLOAD RESULT MODE``.

It is sent as text and needs nothing but the standard library of Python 3.11. The payload tells how to make the function
and what it refers to (``capture`` writes it). The result is one line of JSON that tells how the call ended, and after
it, if there is one, the value: in mode "json" as JSON, in mode "pickle" as a pickle. What the function prints goes
where a program's output goes. Once the result is there, Python ends as always, but waits for nothing that the function
has left running.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import importlib
import json
import linecache
import os
import pickle
import platform
import signal
import sys
import traceback
import types
import typing
from typing import Any

# The scope that closures are made in, as it shows in the names of what is made there.
SCOPE = "_cws_cells.<locals>._cws_make.<locals>."
PICKLE_PROTOCOL = 5
OLDEST = (3, 11)
# A result that is larger could not be fetched.
RESULT_MAX = 256 << 20
# Characters of an exception that is too large for a result.
SHOWN_MAX = 10_000
# For all that Python does at its end: handlers of atexit, destructors.
END_LIMIT_S = 60


class Unavailable(Exception):
    """Something that the function refers to cannot be had here."""


class Workshop:
    """Makes what the payload describes."""

    def __init__(self, is_pickle: bool, sender: str) -> None:
        self._is_pickle = is_pickle
        self._sender = sender
        self._namespaces: dict[str, dict[str, Any]] = {}
        self._made: dict[int, Any] = {}
        self._cells: dict[int, types.CellType] = {}
        # What refers to something that is made after it.
        self._late: list[Any] = []
        # By name: why a global is not there.
        self.missing: dict[str, str] = {}

    @property
    def modules(self) -> set[str]:
        return set(self._namespaces)

    def run(self, payload: dict[str, Any]) -> tuple[Any, Any, Any]:
        """The function, its positional and its keyword arguments."""
        for name in payload["modules"]:
            self._namespaces[name] = namespace(name)
        for step in payload["steps"]:
            getattr(self, "_" + step["do"])(step)
        for finish in self._late:
            finish()
        args, kwargs = (self._decoded(each, "the arguments") for each in payload["arguments"])
        return self._made[payload["function"]], args, kwargs

    def _value(self, step: dict[str, Any]) -> None:
        try:
            self._made[step["id"]] = self._decoded(step["value"], step["name"])
        except Unavailable as error:
            # Whoever refers to it is told.
            self._made[step["id"]] = error

    def _typing(self, step: dict[str, Any]) -> None:
        supertype = (object,) if step["kind"] == "NewType" else ()
        made = getattr(typing, step["kind"])(step["name"], *supertype)
        made.__module__ = step["module"]
        self._made[step["id"]] = made

    def _register(self, step: dict[str, Any]) -> None:
        refs = step["class"], step["ref"]

        def register() -> None:
            # Nothing can be of a class that is not there.
            with contextlib.suppress(Unavailable):
                cls, implementation = (self._resolve(ref, step["name"]) for ref in refs)
                self._made[step["function"]].register(cls, implementation)

        self._now_or_late([*refs, {"made": step["function"]}], register)

    def _bind(self, step: dict[str, Any]) -> None:
        home, name, ref = self._namespaces[step["module"]], step["name"], step["ref"]

        def bind() -> None:
            try:
                home[name] = self._resolve(ref, name)
            except Unavailable as error:
                self.missing[name] = str(error)

        self._now_or_late([ref], bind)

    def _cell(self, step: dict[str, Any]) -> None:
        cell, name, ref = self._cell_of(step["id"]), step["name"], step["ref"]

        def fill() -> None:
            cell.cell_contents = self._resolve(ref, name)

        self._now_or_late([ref], fill)

    def _cell_of(self, number: int) -> types.CellType:
        return self._cells.setdefault(number, types.CellType())

    def _function(self, step: dict[str, Any]) -> None:
        # Its text defines one function, which defines one that makes what is wanted.
        code = code_in(code_in(self._compile(step)))
        cells = tuple(self._cell_of(step["cells"][name]) for name in code.co_freevars)
        home = self._namespaces[step["module"]]
        make = types.FunctionType(renamed(code), home, None, None, cells)
        function = make(*(self._resolve(ref, name) for name, ref in step["defaults"]))
        self._made[step["id"]] = function
        # Of a remote function that refers to another one, or to itself.
        with contextlib.suppress(AttributeError, TypeError):
            function.local = function

    def _class(self, step: dict[str, Any]) -> None:
        home = self._namespaces[step["module"]]
        exec(self._compile(step), home)
        self._made[step["id"]] = home[step["name"]]

    def _compile(self, step: dict[str, Any]) -> types.CodeType:
        source, file = step["source"], f"<remote {step['name']}>"
        # So that tracebacks show the lines.
        linecache.cache[file] = (len(source), None, source.splitlines(True), file)
        flags = annotations.compiler_flag if step["future_annotations"] else 0
        code: types.CodeType = compile(source, file, "exec", flags=flags, dont_inherit=True)
        return code

    def _now_or_late(self, refs: list[Any], act: Any) -> None:
        if all(map(self._is_made, refs)):
            act()
        else:
            self._late.append(act)

    def _is_made(self, ref: dict[str, Any]) -> bool:
        return "made" not in ref or ref["made"] in self._made

    def _resolve(self, ref: dict[str, Any], name: str) -> Any:
        if "made" in ref:
            made = self._made[ref["made"]]
            if isinstance(made, Unavailable):
                raise made
            return made
        if "missing" in ref:
            raise Unavailable(ref["missing"])
        if "value" in ref:
            return self._decoded(ref["value"], repr(name))
        try:
            found: Any = importlib.import_module(ref["module"])
            for part in ref.get("path", ()):
                found = getattr(found, part)
        except Exception as error:
            what = ".".join([ref["module"], *ref.get("path", ())])
            raise Unavailable(
                f"{name!r} is {what}, which the sandbox does not have: {text_of(error)}"
            ) from error
        for submodule in ref.get("submodules", ()):
            with contextlib.suppress(ImportError):
                importlib.import_module(submodule)
        return found

    def _decoded(self, sent: Any, what: str) -> Any:
        if not self._is_pickle:
            return sent
        try:
            return pickle.loads(sent)
        except BaseException as error:
            here = platform.python_version()
            raise Unavailable(
                f"{what} cannot be unpickled in the sandbox, which has Python {here} (the sender: "
                f"{self._sender}): {type(error).__name__}: {text_of(error)}"
            ) from error


def namespace(name: str) -> dict[str, Any]:
    """The globals of a module of the sender. One that is here is used; else it has only what was sent."""
    if name != "__main__":
        with contextlib.suppress(Exception):
            return importlib.import_module(name).__dict__
        parent = name.rpartition(".")[0]
        if parent:
            namespace(parent)
    module = types.ModuleType(name)
    module.__dict__["__builtins__"] = builtins
    if name != "__main__":
        module.__path__ = []
    sys.modules[name] = module
    return module.__dict__


def code_in(code: types.CodeType) -> types.CodeType:
    return next(each for each in code.co_consts if isinstance(each, types.CodeType))


def renamed(code: types.CodeType) -> types.CodeType:
    """The code with the scope taken out of the names of what it makes."""

    def constant(value: Any) -> Any:
        if isinstance(value, types.CodeType):
            return renamed(value)
        return value.removeprefix(SCOPE) if isinstance(value, str) else value

    return code.replace(
        co_consts=tuple(map(constant, code.co_consts)),
        co_qualname=code.co_qualname.removeprefix(SCOPE),
    )


def text_of(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as failure:
        return f"(its text cannot be had: {type(failure).__name__})"


def trace_of(error: BaseException, trace: types.TracebackType | None) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, trace))
    except BaseException as failure:  # groups in groups without end
        return f"(its traceback cannot be had: {type(failure).__name__})\n"


def report(stage: str, error: BaseException, workshop: Workshop) -> dict[str, Any]:
    """How the call failed."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals is globals():
        trace = trace.tb_next
    is_named = isinstance(error, Unavailable) and error.__cause__ is not None
    kind = type(error.__cause__ if is_named else error)
    known = {"builtins", "__main__"} | workshop.modules
    prefix = "" if kind.__module__ in known else f"{kind.__module__}."
    name = error.name if isinstance(error, NameError) else None
    return {
        "ok": False,
        "stage": stage,
        "type": prefix + kind.__qualname__,
        "message": text_of(error),
        "traceback": trace_of(error, trace or error.__traceback__),
        "hint": workshop.missing.get(name) if name else None,
        "python": platform.python_version(),
    }


def save(path: str, head: dict[str, Any], body: bytes) -> None:
    """Write the result: whole, or not at all. ``ValueError`` when it is too large, ``OSError`` as from writing."""
    line = json.dumps(head).encode() + b"\n"
    size = len(line) + len(body)
    if size > RESULT_MAX:
        raise ValueError(
            f"it has {size} bytes, and the limit is {RESULT_MAX}: write it to a file, on a volume for example"
        )
    os.makedirs(os.path.dirname(path), exist_ok=True)
    part = path + ".part"
    try:
        with open(part, "wb") as file:
            file.write(line)
            file.write(body)
        os.replace(part, path)
    except OSError:
        # Its room is needed to tell that.
        with contextlib.suppress(OSError):
            os.remove(part)
        raise


def encoded(value: Any, is_pickle: bool) -> bytes:
    return pickle.dumps(value, PICKLE_PROTOCOL) if is_pickle else json.dumps(value).encode()


def save_failure(path: str, head: dict[str, Any], error: BaseException, is_pickle: bool) -> None:
    """Write how the call failed, with the exception itself if that can travel."""
    if is_pickle:
        with contextlib.suppress(BaseException):
            save(path, head, pickle.dumps(error, PICKLE_PROTOCOL))
            return
    try:
        save(path, head, b"")
    except ValueError:
        shown = {name: f"{head[name][:SHOWN_MAX]}…" for name in ("message", "traceback")}
        save(path, head | shown, b"")


def main(payload_path: str, result_path: str, mode: str) -> int:
    del sys.argv[1:]
    result_path = os.path.abspath(result_path)
    is_pickle = mode == "pickle"
    workshop = Workshop(is_pickle, "unknown")
    called = os.getpid()
    stage = "setup"
    try:
        if sys.version_info < OLDEST:
            raise RuntimeError(
                "a remote function needs Python {}.{} or later as python3".format(*OLDEST)
            )
        with open(payload_path, "rb") as file:
            payload = pickle.load(file) if is_pickle else json.load(file)
        workshop = Workshop(is_pickle, payload["python"])
        function, args, kwargs = workshop.run(payload)
        del payload
        stage = "call"
        value = function(*args, **kwargs)
        # A child that the function has forked may return, too. It does not answer for the call.
        if os.getpid() == called:
            stage = "result"
            body = encoded(value, is_pickle)
            stage = "save"
            save(result_path, {"ok": True, "python": platform.python_version()}, body)
    except BaseException as error:
        head = report(stage, error, workshop)
        if os.getpid() == called:
            save_failure(result_path, head, error, is_pickle)
        if isinstance(error, SystemExit):
            raise
        # The function may have closed it.
        with contextlib.suppress(Exception):
            print(head["traceback"], end="", file=sys.stderr)
        return 1
    return 0


def wait_for_nothing() -> None:
    """Have Python end without waiting for the threads and processes that the function has left running."""
    threads = sys.modules.get("threading")
    if threads is not None:
        threads._shutdown = lambda: None  # type: ignore[attr-defined]
    processes = sys.modules.get("multiprocessing.util")
    if processes is not None:
        atexit.unregister(processes._exit_function)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    signal.alarm(END_LIMIT_S)


if __name__ == "__main__":
    here = os.getpid()
    try:
        sys.exit(main(*sys.argv[1:]))
    finally:
        if os.getpid() == here:
            wait_for_nothing()
