"""The life of the process: what has to be known of ``fork()`` and of its end. Loads nothing."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from itertools import chain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ENDING = "the interpreter is ending: no operation on a sandbox can begin any more"

_generation = 0
_installed = False
_exited = False
_ending = False
_hurried = False
# A signal handler may come to need it on the thread that holds it.
_lock = threading.RLock()
_at_fork: list[Callable[[], object]] = []
_before_end: list[Callable[[], object]] = []
_at_exit: list[Callable[[], object]] = []


def generation() -> int:
    """Changes with each ``fork()``: what was made in another generation belongs to another process."""
    return _generation


def is_ending() -> bool:
    """Whether the hooks of ``when_exiting`` were called: whatever is left of the program's end comes after them."""
    return _ending


def hurry() -> None:
    """Nothing is waited for any more: whoever ends the program has lost patience."""
    global _hurried
    _hurried = True


def is_hurried() -> bool:
    return _hurried


def lock() -> threading.RLock:
    """Guards what is made once, at first use."""
    return _lock


def when_forked(hook: Callable[[], object]) -> None:
    """Call ``hook`` in each child of ``fork()``, in the order of these calls."""
    _at_fork.append(hook)


def before_ending(hook: Callable[[], object]) -> None:
    """Call ``hook`` at the end of the process, while operations can still begin."""
    _before_end.append(hook)


def when_exiting(hook: Callable[[], object]) -> None:
    """Call ``hook`` at the end of the process, in the order of these calls; whatever one raises, the others run."""
    _at_exit.append(hook)


def _after_fork_in_child() -> None:
    global _generation, _lock, _hurried, _exited, _ending
    _generation += 1
    _lock = threading.RLock()
    _hurried = _exited = _ending = False
    for hook in _at_fork:
        hook()


def _exit() -> None:
    global _exited
    if _exited:
        return
    _exited = True

    def end() -> None:
        global _ending
        _ending = True

    # Hooks that come meanwhile count: another thread may be in its first operation.
    hooks = chain(_before_end, [end], _at_exit)

    def run_rest() -> None:
        for hook in hooks:
            try:
                hook()
            finally:
                run_rest()

    run_rest()


def install() -> None:
    """Have ``fork()`` and the end of the process looked after from now on.

    Call it where the extension is loaded: its own hook at exit then runs after ours, which still need the I/O thread.
    """
    global _installed
    with _lock:
        if _installed:
            return
        os.register_at_fork(after_in_child=_after_fork_in_child)
        atexit.register(_exit)
        _installed = True


def is_worker() -> bool:
    """Whether this is a process of ``multiprocessing``."""
    # Such a process has loaded it.
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def install_here() -> None:
    """Have the end of this process looked after, if it is one of ``multiprocessing``, which may end without atexit.

    Call it in each process in which operations begin: what is registered there does not outlive a ``fork()``.
    """
    if is_worker():
        from multiprocessing.util import Finalize

        Finalize(None, _exit, exitpriority=0)
