"""A small internet inside this machine: network namespaces, a name server, TLS servers. Nothing leaves it."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import trustme

T = TypeVar("T")

HOST = "203.0.113.1"  # what runs the sandboxes
NAME_SERVER = "203.0.113.53"
GRANTED = "203.0.113.5"
OTHER = "203.0.113.6"  # nobody listens there
THIRD = "203.0.113.7"
FOURTH = "203.0.113.8"

CLONE_NEWNET = 0x40000000

# As it is on most machines.
OPEN_TUN = "mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200"
A, AAAA = 1, 28


def missing() -> str | None:
    """Why there cannot be one here."""
    if os.geteuid() != 0:
        return "network namespaces with addresses are root's"
    for tool in ("ip", "nsenter", "unshare"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    try:
        Network().close()
    except OSError as error:
        return f"no network namespace can be made: {error}"
    return None


def become(user: int) -> list[str]:
    """The beginning of a command that an ordinary user runs."""
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]


class Network:
    """A network namespace of its own."""

    def __init__(self) -> None:
        self.fd = -1
        self._in_thread(self._make)

    def _make(self) -> None:
        _libc("unshare", CLONE_NEWNET)
        self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    @staticmethod
    def _in_thread(work: Callable[[], T]) -> T:
        """A thread that changes its namespace ends with that."""
        result: list[T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                result.append(work())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return result[0]

    def socket(self, kind: socket.SocketKind) -> socket.socket:
        """A socket that lives in here, wherever it is used."""

        def make() -> socket.socket:
            _libc("setns", self.fd, CLONE_NEWNET)
            return socket.socket(socket.AF_INET, kind)

        return self._in_thread(make)

    @property
    def path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def enter(self) -> list[str]:
        """The beginning of a command that runs in here."""
        return ["nsenter", f"--net={self.path}"]

    def ip(self, *words: str) -> None:
        subprocess.run([*self.enter(), "ip", *words], check=True, capture_output=True)

    def close(self) -> None:
        os.close(self.fd)


def _libc(function: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*arguments) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class Internet:
    """The network of a host, and behind a cable all others. ``names`` is what the name server knows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, list[str]] = {}
        # What the name server does about a name instead: it is given the message, and how to send a reply, which may
        # also be done later.
        self.scripts: dict[str, Callable[[bytes, Callable[[bytes], object]], object]] = {}
        self.asked: list[str] = []
        self._stack = ExitStack()
        self.host = Network()
        self._stack.callback(self.host.close)
        self.others = Network()
        self._stack.callback(self.others.close)
        self._lay_cable()
        (folder / "resolv.conf").write_text(
            f"nameserver {NAME_SERVER}\noptions timeout:1 attempts:1\n"
        )
        (folder / "hosts").write_text("127.0.0.1 localhost\n")
        self.authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        self._start_name_server()

    def _lay_cable(self) -> None:
        self.host.ip("link", "set", "lo", "up")
        self.others.ip("link", "set", "lo", "up")
        self.host.ip(
            *(
                "link",
                "add",
                "cable",
                "type",
                "veth",
                "peer",
                "name",
                "cable",
                "netns",
                self.others.path,
            )
        )
        self.host.ip("addr", "add", f"{HOST}/24", "dev", "cable")
        for address in (NAME_SERVER, GRANTED, OTHER, THIRD, FOURTH):
            self.others.ip("addr", "add", f"{address}/24", "dev", "cable")
        for side in (self.host, self.others):
            side.ip("link", "set", "cable", "up")
        self.host.ip("route", "add", "default", "via", OTHER)

    def on_host(self, *, as_user: int | None = None) -> list[str]:
        """The beginning of a command that runs on the host, with the name server. ``as_user`` has /dev/net/tun."""
        script = "".join(
            f"mount --bind {self.folder / name} /etc/{name} && "
            for name in ("resolv.conf", "hosts")
        )
        if as_user is not None:
            script += f"{OPEN_TUN} && exec {shlex.join(become(as_user))} "
            return [*self.host.enter(), "unshare", "-m", "/bin/sh", "-c", script + '"$@"', "sh"]
        return [*self.host.enter(), "unshare", "-m", "/bin/sh", "-c", script + 'exec "$@"', "sh"]

    # ---- the name server

    def _start_name_server(self) -> None:
        server = self.others.socket(socket.SOCK_DGRAM)
        server.bind((NAME_SERVER, 53))
        thread = threading.Thread(target=self._answer, args=(server,), daemon=True)
        thread.start()
        self._stack.callback(_stop, server, thread)

    def _answer(self, server: socket.socket) -> None:
        while True:
            message, asker = server.recvfrom(4096)
            if not message:
                return
            name, kind, end = read_question(message)
            self.asked.append(name)
            if name in self.scripts:
                self.scripts[name](message, partial(_send, server, asker))
                continue
            found = self.names.get(name)
            records = b"".join(
                struct.pack(">HHHIH", 0xC00C, A, 1, 0, 4) + socket.inet_aton(address)
                for address in found or []
                if kind == A
            )
            flags = 0x8180 | (3 if found is None else 0)
            head = message[:2] + struct.pack(">HHHHH", flags, 1, len(records) // 16, 0, 0)
            server.sendto(head + message[12:end] + records, asker)

    def serve_names_by_tcp(self, answer: Callable[[bytes], bytes]) -> None:
        """What is asked again by TCP, since a reply was truncated."""
        listener = self.others.socket(socket.SOCK_STREAM)
        listener.bind((NAME_SERVER, 53))
        listener.listen()

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError, struct.error):
                        stream = connection.makefile("rb")
                        while True:
                            (size,) = struct.unpack(">H", stream.read(2))
                            reply = answer(stream.read(size))
                            connection.sendall(struct.pack(">H", len(reply)) + reply)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        self._stack.callback(_stop, listener, thread)

    # ---- TLS servers

    def serve_tls(
        self, address: str, names: Sequence[str], serve: Callable[[ssl.SSLSocket], None]
    ) -> None:
        """A server with a certificate for ``names``. ``serve`` gets each connection, in a thread of its own."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*names).configure_cert(context)
        listener = self.others.socket(socket.SOCK_STREAM)
        listener.bind((address, 443))
        listener.listen()

        def run(connection: socket.socket) -> None:
            with (
                connection,
                suppress(OSError),
                context.wrap_socket(connection, server_side=True) as tls,
            ):
                serve(tls)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=run, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        self._stack.callback(_stop, listener, thread)

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Internet:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def _send(server: socket.socket, asker: Any, reply: bytes) -> None:
    server.sendto(reply, asker)


def _stop(server: socket.socket, thread: threading.Thread) -> None:
    with suppress(OSError):  # it wakes whoever waits, connected or not
        server.shutdown(socket.SHUT_RDWR)
    thread.join()
    server.close()


def read_question(message: bytes) -> tuple[str, int, int]:
    """Name, type, and where the question ends."""
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(labels).lower(), struct.unpack_from(">H", message, at + 1)[0], at + 5


def question(name: str, kind: int = A, number: int = 1) -> bytes:
    """The message that asks for a name."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return (
        struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0)
        + labels
        + struct.pack(">BHH", 0, kind, 1)
    )


def read_answer(message: bytes) -> tuple[int, list[str]]:
    """The code, and the addresses."""
    flags, _, count = struct.unpack_from(">HHH", message, 2)
    _, _, end = read_question(message)
    addresses = [
        socket.inet_ntoa(message[end + 16 * n + 12 : end + 16 * n + 16]) for n in range(count)
    ]
    return flags & 0xF, addresses
