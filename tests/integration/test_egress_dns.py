"""The way out by name where the name server is slow, silent, wrong or hostile."""

from __future__ import annotations

import os
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Sequence

import pytest

from integration.internet import (
    AAAA,
    GRANTED,
    HOST,
    A,
    Internet,
    missing,
    question,
    read_question,
)
from integration.test_egress_names import (
    NAME_ERROR,
    NAME_SERVER,
    NO_ERROR,
    SERVER_FAILURE,
    Sandbox,
    greeting,
    say_who,
)

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

Send = Callable[[bytes], object]
CNAME = 5
NAME = "granted.example.org"
TRUNCATED = 0x8380
# As many as are looked up at a time.
LOOKUPS = 16
SHOWN = 8


@pytest.fixture(scope="module")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    with Internet(tmp_path_factory.mktemp("internet")) as made:
        made.names = {"good.example.org": [GRANTED]}
        made.serve_tls(GRANTED, [NAME, "good.example.org"], say_who)
        yield made


@pytest.fixture
def sandbox(internet: Internet) -> Iterator[Sandbox]:
    internet.scripts.clear()
    made = Sandbox(internet, "granted", NAME, "good.example.org", "*.wild.example.org")
    yield made
    made.close()


@pytest.fixture
def patient(internet: Internet) -> Iterator[None]:
    """The host waits for its name server longer than any test lasts."""
    file = internet.folder / "resolv.conf"
    before = file.read_text()
    file.write_text(before.replace("timeout:1", "timeout:30"))
    yield
    file.write_text(before)


def reply(
    message: bytes, records: Sequence[tuple[bytes, int, bytes]] = (), flags: int = 0x8180
) -> bytes:
    """Each record is an owner as it is written, a type and data. None may be kept."""
    _, _, end = read_question(message)
    body = b"".join(
        owner + struct.pack(">HHIH", kind, 1, 0, len(data)) + data for owner, kind, data in records
    )
    return (
        message[:2] + struct.pack(">HHHHH", flags, 1, len(records), 0, 0) + message[12:end] + body
    )


ASKED = b"\xc0\x0c"  # the name of the question


def written(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def addresses(message: bytes, ipv4: Sequence[str] = (), ipv6: Sequence[str] = ()) -> bytes:
    _, kind, _ = read_question(message)
    found = {A: (socket.AF_INET, ipv4), AAAA: (socket.AF_INET6, ipv6)}.get(kind)
    family, texts = found or (socket.AF_INET, ())
    return reply(message, [(ASKED, kind, socket.inet_pton(family, text)) for text in texts])


def answering(
    ipv4: Sequence[str] = (), ipv6: Sequence[str] = ()
) -> Callable[[bytes, Send], object]:
    return lambda message, send: send(addresses(message, ipv4, ipv6))


def never(message: bytes, send: Send) -> None:
    pass


def test_a_server_that_does_not_answer(sandbox: Sandbox, internet: Internet) -> None:
    internet.scripts[NAME] = never
    assert sandbox.resolve(NAME) == (SERVER_FAILURE, [])
    with pytest.raises(ssl.SSLError, match=r"(?i)internal.error"):
        sandbox.tls(NAME)


def test_other_names_do_not_wait_for_it(internet: Internet, patient: None) -> None:
    silent = [f"n{number}.wild.example.org" for number in range(LOOKUPS - 1)]
    internet.scripts |= dict.fromkeys(silent, never)
    sandbox = Sandbox(internet, "granted", "good.example.org", "*.wild.example.org")
    try:
        with sandbox.network.socket(socket.SOCK_DGRAM) as asker:
            for name in silent:
                asker.sendto(question(name), (NAME_SERVER, 53))
            assert sandbox.resolve("good.example.org") == (NO_ERROR, [GRANTED])
            assert greeting(sandbox.tls("good.example.org")) == b"granted hello\n"
    finally:
        sandbox.close()


def test_an_answer_after_the_time_is_none(sandbox: Sandbox, internet: Internet) -> None:
    late: list[tuple[bytes, Send]] = []
    internet.scripts[NAME] = lambda message, send: late.append((message, send))
    assert sandbox.resolve(NAME) == (SERVER_FAILURE, [])
    for message, send in late:
        send(addresses(message, ["127.0.0.1"]))
    internet.scripts[NAME] = answering([GRANTED])
    assert sandbox.resolve(NAME) == (NO_ERROR, [GRANTED])
    assert greeting(sandbox.tls(NAME)) == b"granted hello\n"


def test_answers_to_other_questions_do_not_count(sandbox: Sandbox, internet: Internet) -> None:
    """Of another number, for another name, cut off, and no messages at all; then the right one."""

    def confuse(message: bytes, send: Send) -> None:
        number = struct.unpack(">H", message[:2])[0]
        good = addresses(message, [GRANTED])
        send(struct.pack(">H", number ^ 1) + good[2:])
        _, kind, _ = read_question(message)
        other = question("other.example.org", kind, number)
        send(addresses(other, [HOST]))
        send(os.urandom(3))
        send(message[:2] + os.urandom(600))
        send(good)

    internet.scripts[NAME] = confuse
    code, found = sandbox.resolve(NAME)
    assert code in (NO_ERROR, NAME_ERROR, SERVER_FAILURE)
    assert found in ([], [GRANTED])
    internet.scripts[NAME] = answering([GRANTED])
    assert sandbox.resolve(NAME) == (NO_ERROR, [GRANTED])


def test_only_garbage(sandbox: Sandbox, internet: Internet) -> None:
    def garble(message: bytes, send: Send) -> None:
        whole = addresses(message, [GRANTED] * 3)
        send(message[:2] + b"\x81\x80" + os.urandom(40))
        send(whole[:-3])  # less than its count says

    internet.scripts[NAME] = garble
    code, found = sandbox.resolve(NAME)
    assert code in (SERVER_FAILURE, NAME_ERROR)
    assert found == []
    assert sandbox.resolve("good.example.org") == (NO_ERROR, [GRANTED])


@pytest.mark.parametrize("flags", [0x8182, 0x8185], ids=["failure", "refused"])
def test_a_server_that_refuses(sandbox: Sandbox, internet: Internet, flags: int) -> None:
    internet.scripts[NAME] = lambda message, send: send(reply(message, flags=flags))
    assert sandbox.resolve(NAME) == (SERVER_FAILURE, [])
    with pytest.raises(ssl.SSLError, match=r"(?i)internal.error"):
        sandbox.tls(NAME)


def test_thousands_of_addresses(sandbox: Sandbox, internet: Internet) -> None:
    """They come by TCP. As many as are shown are tried."""
    many = [f"198.51.{number // 250}.{number % 250 + 1}" for number in range(3000)]
    internet.scripts[NAME] = lambda message, send: send(reply(message, flags=TRUNCATED))
    internet.serve_names_by_tcp(
        lambda message: addresses(message, [*many[:1500], HOST, *many[1500:]])
    )
    code, found = sandbox.resolve(NAME)
    assert code == NO_ERROR
    assert len(found) == SHOWN
    assert set(found) <= set(many)
    assert sandbox.resolve("good.example.org") == (NO_ERROR, [GRANTED])


def test_a_chain_of_names(sandbox: Sandbox, internet: Internet) -> None:
    def chain(message: bytes, send: Send) -> None:
        names = [f"n{number}.elsewhere.example.com" for number in range(12)]
        owners = [NAME, *names]
        records = [
            (written(owner), CNAME, written(target))
            for owner, target in zip(owners, names, strict=False)
        ]
        _, kind, _ = read_question(message)
        if kind == A:
            records.append((written(names[-1]), A, socket.inet_aton(GRANTED)))
        send(reply(message, records))

    internet.scripts[NAME] = chain
    assert sandbox.resolve(NAME) == (NO_ERROR, [GRANTED])
    assert greeting(sandbox.tls(NAME)) == b"granted hello\n"


def test_names_that_lead_in_a_circle(sandbox: Sandbox, internet: Internet) -> None:
    def circle(message: bytes, send: Send) -> None:
        other = "other.example.org"
        send(
            reply(
                message,
                [(written(NAME), CNAME, written(other)), (written(other), CNAME, written(NAME))],
            )
        )

    internet.scripts[NAME] = circle
    code, found = sandbox.resolve(NAME)
    assert code in (NO_ERROR, SERVER_FAILURE, NAME_ERROR)
    assert found == []
    with pytest.raises(ssl.SSLError, match=r"(?i)internal.error"):
        sandbox.tls(NAME)
    assert sandbox.resolve("good.example.org") == (NO_ERROR, [GRANTED])


INNER4 = ["127.0.0.1", HOST, "169.254.169.254", "10.0.0.1", "0.0.0.0", "100.64.0.1"]
INNER6 = [
    "::1",
    "::ffff:127.0.0.1",
    f"::ffff:{HOST}",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "fe80::1",
    "fd00:ec2::254",
    "::",
]


def test_inner_addresses_among_others(sandbox: Sandbox, internet: Internet) -> None:
    internet.scripts[NAME] = answering([*INNER4, GRANTED, *INNER4], INNER6)
    assert sandbox.resolve(NAME) == (NO_ERROR, [GRANTED])
    assert greeting(sandbox.tls(NAME)) == b"granted hello\n"


@pytest.mark.parametrize("address", [*INNER4, *INNER6])
def test_nothing_but_an_inner_address(sandbox: Sandbox, internet: Internet, address: str) -> None:
    ipv6 = ":" in address
    internet.scripts[NAME] = answering([] if ipv6 else [address], [address] if ipv6 else [])
    assert sandbox.resolve(NAME) == (NO_ERROR, [])
    with pytest.raises(ssl.SSLError, match=r"(?i)internal.error"):
        sandbox.tls(NAME)


def test_an_address_that_changes(sandbox: Sandbox, internet: Internet) -> None:
    """What a name led to before grants nothing now, and each connection goes where it leads then."""
    internet.scripts[NAME] = answering([GRANTED])
    assert greeting(sandbox.tls(NAME)) == b"granted hello\n"
    for address in ("127.0.0.1", HOST):
        internet.scripts[NAME] = answering([address])
        with pytest.raises(ssl.SSLError, match=r"(?i)internal.error"):
            sandbox.tls(NAME, GRANTED)
    internet.scripts[NAME] = answering([GRANTED])
    assert greeting(sandbox.tls(NAME)) == b"granted hello\n"
