"""What runs for the clients of ``FusionServer``, and ends when they hang up."""

from __future__ import annotations

import asyncio
import select
import socket
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any

Answer = dict[str, Any]


class Running:
    """Runs coroutines for clients, on an event loop of its own. Each is cancelled when its client has hung up."""

    def __init__(self) -> None:
        self.is_closed = False
        self._lock = threading.Lock()
        self._tasks: dict[int, asyncio.Task[Any]] = {}
        # It tells that a client has hung up even if something else that the client sent is still unread.
        self._hangups = select.epoll()
        self._loop = asyncio.new_event_loop()
        self._loop.add_reader(self._hangups, self._cancel_gone)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(
        self, work: Callable[[], Coroutine[Any, Any, Answer]], connection: socket.socket
    ) -> Answer:
        with self._lock:
            if self.is_closed:
                raise CancelledError
            watched = self._watched(work, connection.fileno())
            future = asyncio.run_coroutine_threadsafe(watched, self._loop)
        return future.result()

    def close(self) -> None:
        """Cancel all of them, and wait until they have ended."""
        with self._lock:
            if self.is_closed:
                return
            self.is_closed = True
        asyncio.run_coroutine_threadsafe(self._cancel_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._hangups.close()

    # ---- on the event loop ----

    async def _watched(
        self, work: Callable[[], Coroutine[Any, Any, Answer]], descriptor: int
    ) -> Answer:
        task = asyncio.current_task()
        assert task is not None
        self._hangups.register(descriptor, select.EPOLLRDHUP | select.EPOLLONESHOT)
        self._tasks[descriptor] = task
        try:
            return await work()
        finally:
            self._hangups.unregister(descriptor)
            del self._tasks[descriptor]

    def _cancel_gone(self) -> None:
        for descriptor, _ in self._hangups.poll(0):
            self._tasks[descriptor].cancel()

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
