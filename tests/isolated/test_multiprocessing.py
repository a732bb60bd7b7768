"""Processes of ``multiprocessing`` use sandboxes of their own, and leave none of a session when they end.

Those that are forked end without the hooks of ``atexit``.
"""

from __future__ import annotations

import textwrap

import pytest

from conformance.grpc_peer import GrpcPeer
from isolated.program import Program

PRELUDE = """
import multiprocessing, os
from concurrent.futures import ProcessPoolExecutor

sessions = []

def work(number=0):
    session = Session()
    sessions.append(session)
    session.sandbox().exec(["true"]).result()

def fail():
    work()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    raise KeyError("mine")

def leave():
    work()
    sys.exit(3)

def call_the_hooks_early():
    import multiprocessing.util
    work()
    multiprocessing.util._exit_function()

def run(context, target):
    process = context.Process(target=target)
    process.start()
    process.join()
    return process.exitcode
"""

# What the program does with `context`, how many sandboxes are made by that, and what it says.
ENDINGS = {
    "returns": ("say(run(context, work))", 1, "0\n"),
    "exits": ("say(run(context, leave))", 1, "3\n"),
    "raises": ("say(run(context, fail))", 1, "1\n"),
    "hooks twice": ("say(run(context, call_the_hooks_early))", 1, "0\n"),
    "pool": (
        "pool = context.Pool(2)\npool.map(work, range(3), 1)\npool.close()\npool.join()",
        3,
        "",
    ),
    "terminated pool": ("with context.Pool(1) as pool:\n    pool.map(work, range(2), 1)", 2, ""),
    "executor": (
        "with ProcessPoolExecutor(2, mp_context=context) as pool:\n    list(pool.map(work, range(3)))",
        3,
        "",
    ),
}


# The others start a server, or an interpreter, which takes a second.
CASES = [
    *(("fork", ending) for ending in ENDINGS),
    *(("forkserver", ending) for ending in ("returns", "executor")),
    *(("spawn", ending) for ending in ("returns", "hooks twice", "terminated pool")),
]


def script(method: str, body: str) -> str:
    main = f"context = multiprocessing.get_context({method!r})\n{body}\n"
    return f"{PRELUDE}\nif __name__ == '__main__':\n{textwrap.indent(main, '    ')}"


@pytest.mark.parametrize(("method", "ending"), CASES)
def test_sandboxes_of_sessions_end_with_the_process(
    peer: GrpcPeer, method: str, ending: str
) -> None:
    body, count, says = ENDINGS[ending]
    with Program(peer, script(method, body)) as program:
        program.ends(0, says=says)
    assert len(peer.created) == count
    assert sorted(peer.deleted) == [f"sb-{n + 1}" for n in range(count)]


def test_those_of_the_parent_stay(peer: GrpcPeer) -> None:
    with Program(peer, script("fork", "work()\nsay(run(context, work))")) as program:
        program.ends(0, says="0\n")
    # The parent's was made first, and was there until the end.
    assert peer.deleted == ["sb-2", "sb-1"]
