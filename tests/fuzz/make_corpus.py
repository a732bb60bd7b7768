"""Writes the hand-made seeds of every target to tests/fuzz/corpus; run it after changing a target.

python tests/fuzz/make_corpus.py
"""

from __future__ import annotations

import base64
import contextlib
import ssl
import struct
import sys
from pathlib import Path

import h2.config
import h2.connection
import h2.errors
import h2.settings

CORPUS = Path(__file__).parent / "corpus"
sys.path.insert(0, str(Path(__file__).parents[1]))


def message(data: bytes, mark: int = 0) -> bytes:
    return struct.pack(">BI", mark, len(data)) + data


def write(target: str, seeds: dict[str, bytes]) -> None:
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in seeds.items():
        (folder / name).write_bytes(data)


def frames() -> dict[str, bytes]:
    return {
        "one": message(b"hello"),
        "several": message(b"") + message(b"a") + message(b"b" * 300),
        "cut": message(b"hello")[:-2],
        "cut-prefix": b"\0\0\0",
        "compressed": message(b"x", 1),
        "bad-mark": message(b"x", 7),
        "too-large": struct.pack(">BI", 0, 4097) + b"x",
        "huge": b"\0\xff\xff\xff\xff",
    }


def texts() -> dict[str, bytes]:
    return {
        "base64": base64.b64encode(bytes(range(64))),
        "base64-url": base64.urlsafe_b64encode(bytes(range(190, 255))).rstrip(b"="),
        "base64-bad": b"ab=c",
        "percent": b"100%25 gr%C3%B6%C3%9Fer %zz %",
        "timeout": b"99999999H",
        "timeout-short": b"5m",
        "timeout-bad": b"123456789S",
        "metadata": b"x-nameabcdefvalue1",
        "metadata-bin": b"a-bin\xff\x00\x01\x02\x03 value",
        "metadata-reserved": b":path/a/path/that/is/x",
    }


def targets() -> dict[str, bytes]:
    urls = [
        "http://localhost",
        "https://api.example.org:443/",
        "http://[::1]:8080",
        "unix:///run/socket",
        "http://user@host:1",
        "http://host:99999",
        "ftp://host",
        "http://",
        "http://[::1",
        "unix://relative",
        "https://host/path",
    ]
    return {f"url-{n:02}": url.encode() for n, url in enumerate(urls)}


def exec_responses() -> dict[str, bytes]:
    from conformance import protos

    pb = protos.messages()
    response, output = pb.ExecStreamResponse, pb.ExecStreamOutput
    return {
        "ready": response(ready=pb.ExecStreamReady(ready_time={"seconds": 5})).SerializeToString(),
        "output": response(output=output(stream=2, data=b"err\n")).SerializeToString(),
        "exit": response(exit=pb.ExecStreamExit(exit_code=-1)).SerializeToString(),
        "error": response(error=pb.ExecStreamError(message="m", code="C")).SerializeToString(),
        "two-members": response(exit=pb.ExecStreamExit(exit_code=1)).SerializeToString()
        + response(output=output(data=b"x")).SerializeToString(),
        "unknown-field": b"\xf2\x7f\x03abc",
        "truncated": response(output=output(data=b"x" * 50)).SerializeToString()[:-10],
        "deep": b"\x0a\x02\x0a\x00" * 8,
    }


def file_responses() -> dict[str, bytes]:
    return {
        "empty": b"",
        "content": b"\x0a\x05hello",
        "long": b"\x0a\xac\x02" + bytes(range(256)) + b"x" * 44,
        "unknown-field": b"\x78\x05\x0a\x03abc\x78\x06",
        "twice": b"\x0a\x01a\x0a\x02bc",
        "cut": b"\x0a\x05hel",
        "too-long": b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        "no-varint": b"\x0a" + b"\xff" * 12,
        "number": b"\x08\x05",
    }


def lines() -> dict[str, bytes]:
    return {
        "lines": b"one\ntwo\nthree\n",
        "no-end": b"one\ntwo",
        "empty-lines": b"\n\n\n",
        "long": b"x" * 70000 + b"\n" + b"y" * 20,
        "empty": b"",
        # The first byte chooses what is kept: ends of 11 bytes, of 1, what is unread.
        "ends": b"\x20one\ntwo\nthree\nfour\nfive\n",
        "no-ends": b"\x02one\ntwo\n",
        "unread": b"\x01one\ntwo\nthree\n" * 40,
        "characters": "gr\u00fc\u00df \u2603\U0001f40d\n".encode() * 9,
    }


def server_side() -> h2.connection.H2Connection:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    return connection


def client_requests(count: int) -> bytes:
    """What our client has sent when the server answers."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    for n in range(count):
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/s/m"),
            (":authority", "a:1"),
        ]
        client.send_headers(2 * n + 1, headers)
    return client.data_to_send()


def responses() -> dict[str, bytes]:
    head = [(":status", "200"), ("content-type", "application/grpc")]
    seeds = {}

    def answer(name: str, script) -> None:  # type: ignore[no-untyped-def]
        server = server_side()
        server.receive_data(client_requests(4))
        script(server)
        seeds[name] = server.data_to_send()

    def whole(server: h2.connection.H2Connection) -> None:
        for stream in (1, 3, 5, 7):
            server.send_headers(stream, head)
            server.send_data(stream, message(b"hello") + message(b""))
            server.send_headers(stream, [("grpc-status", "0")], end_stream=True)

    def trailers_only(server: h2.connection.H2Connection) -> None:
        server.send_headers(1, [*head, ("grpc-status", "5")], end_stream=True)

    def reset(server: h2.connection.H2Connection) -> None:
        server.send_headers(1, head)
        server.send_data(1, message(b"half")[:-1])
        server.reset_stream(1, h2.errors.ErrorCodes.REFUSED_STREAM)

    def goaway(server: h2.connection.H2Connection) -> None:
        server.send_headers(1, head)
        server.close_connection(last_stream_id=1)

    def settings(server: h2.connection.H2Connection) -> None:
        codes = h2.settings.SettingCodes
        server.update_settings({codes.INITIAL_WINDOW_SIZE: 1, codes.MAX_CONCURRENT_STREAMS: 1})
        server.ping(b"12345678")
        server.increment_flow_control_window(1000)

    for script in (whole, trailers_only, reset, goaway, settings):
        answer(script.__name__, script)
    seeds["http1"] = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    seeds["data-on-idle-stream"] = seeds["settings"] + b"\0\0\x01\0\0\0\0\0\x09x"
    return seeds


def requests() -> dict[str, bytes]:
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/s/m"),
        (":authority", "a:1"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ]
    seeds = {}

    def send(name: str, script, fields=headers) -> None:  # type: ignore[no-untyped-def]
        client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        client.initiate_connection()
        client.send_headers(1, fields)
        script(client)
        seeds[name] = client.data_to_send()

    send("unary", lambda c: c.send_data(1, message(b"hello"), end_stream=True))
    send("two-messages", lambda c: c.send_data(1, message(b"a") + message(b"b" * 100)))
    send("too-large", lambda c: c.send_data(1, struct.pack(">BI", 0, 5000) + b"x"))
    send("compressed", lambda c: c.send_data(1, message(b"a", 1), end_stream=True))
    send("reset", lambda c: c.reset_stream(1, h2.errors.ErrorCodes.CANCEL))
    send("nothing", lambda c: c.end_stream(1))
    timed = [*headers, ("grpc-timeout", "1n")]
    send("timed-out", lambda c: c.send_data(1, message(b"hello")), timed)
    send("bad-timeout", lambda c: c.end_stream(1), [*headers, ("grpc-timeout", "forever")])
    other = [field if field[0] != ":path" else (":path", "/no/such") for field in headers]
    send("unknown-method", lambda c: c.end_stream(1), other)
    plain = [
        field if field[0] != "content-type" else ("content-type", "text/html") for field in headers
    ]
    send("not-grpc", lambda c: c.end_stream(1), plain)
    send("goaway", lambda c: c.close_connection())
    seeds["http1"] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    return seeds


def client_hellos() -> dict[str, bytes]:
    def hello(name: str | None) -> bytes:
        tls = ssl.create_default_context()
        tls.check_hostname = name is not None
        outgoing = ssl.MemoryBIO()
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name).do_handshake()
        return outgoing.read()

    def records(message: bytes, size: int) -> bytes:
        pieces = [message[at : at + size] for at in range(0, len(message), size)]
        return b"".join(struct.pack(">BHH", 22, 0x0301, len(piece)) + piece for piece in pieces)

    whole = hello("granted.example.org")
    return {
        "named": whole,
        "nameless": hello(None),
        "cut": whole[: len(whole) // 2],
        "pieces": records(whole[5:], 40),
        "http": b"GET / HTTP/1.1\r\n\r\n",
        "alert": b"\x15\x03\x01\0\x02\x02\x28",
    }


def dns_questions() -> dict[str, bytes]:
    head = struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0)
    name = b"\x07granted\x07example\x03org\0"
    extended = struct.pack(">HHHHHH", 1, 0x0120, 1, 0, 0, 1)
    return {
        "a": head + name + b"\0\x01\0\x01",
        "aaaa": head + name + b"\0\x1c\0\x01",
        "root": head + b"\0\0\x02\0\x01",
        "edns": extended + name + b"\0\x01\0\x01" + b"\0\0\x29\x04\xd0" + bytes(6),
        "pointer": head + b"\xc0\x0c\0\x01\0\x01",
        "answer": struct.pack(">HHHHHH", 1, 0x8100, 1, 0, 0, 0) + name + b"\0\x01\0\x01",
    }


def egress_rules() -> dict[str, bytes]:
    from conformance import protos

    pb = protos.messages()

    def rules(*egress: dict[str, object], offered: int = 2, **options: object) -> bytes:
        network = pb.NetworkOptions(egress=[pb.EgressRule(**rule) for rule in egress], **options)
        return bytes([offered]) + network.SerializeToString()

    def within(cidr: str, *holes: str) -> dict[str, object]:
        return {"cidr": {"cidr": cidr, "except": holes}}

    https = {"protocol": "TCP", "port": 443}
    names = [{"https_hostname": name} for name in ("example.org", "*.example.org", "a-1.b2")]
    return {
        "any": rules({"any": True}),
        "open": rules(deny_egress=False),
        "ranges": rules(within("192.0.2.0/24", "192.0.2.7", "192.0.2.128/25"), within("10.0.0.1")),
        "ports": rules(
            {"any": True, "ports": [https, {"protocol": "udp", "port": 1, "end_port": 9}]}
        ),
        "names": rules(*names, {**within("10.0.0.0/8"), "ports": [https]}),
        "name-and-port": rules({"https_hostname": "example.org", "ports": [https]}),
        "octal": rules(within("10.0.0.0/010")),
        "ipv6": rules(within("2001:db8::/32")),
        "internal": rules(within("169.254.0.0/16")),
        "number": rules({"https_hostname": "10.0.0.1"}, {"https_hostname": "0x7f.1"}),
        "not-sctp": rules({"any": True, "ports": [{"protocol": "sctp", "port": 5}]}, offered=1),
        "none-offered": rules({"any": True}, offered=0),
        "denied": rules({"any": True}, deny_egress=True),
    }


def yaml_documents() -> dict[str, bytes]:
    return {
        "compose": b'services:\n  web: &w\n    image: a\n    ports: ["80:80"]\n  other: *w\n',
        "text": b"a: |\n  one\n  two\nb: >-\n  c\n",
        "directives": b"%YAML 1.1\n%TAG ! tag:x,\n--- !a 'b'\n...\n",
        "circle": b"a: &x [*x]",
    }


def http_heads() -> dict[str, bytes]:
    return {
        "header": b"GET / HTTP/1.1\r\nHost: a\r\nX-Sandbox-Share-Token: token\r\n\r\nbody",
        "query": b"GET /a?b=c&share_token=token HTTP/1.1\r\n\r\n",
        "half": b"POST / HTTP/1.1\r\nX-San",
        "bare": b"GET / HTTP/1.0\n\n",
    }


def rings() -> dict[str, bytes]:
    """Check values are 0, which stands for right ones."""
    least = 64 * 1024
    magic = 0x0A31676F6C737763

    def head(at: int = 0, capacity: int = least - 64, check: int = 0) -> bytes:
        return struct.pack("<8Q", magic, 7, capacity, at, 0, 0, 1, check)

    def records(at: int, count: int, data: bytes = b"a line\n", step: int = 1) -> bytes:
        size = (48 + len(data) + 7) & ~7
        found = b""
        for n in range(0, count * step, step):
            fields = (1000 + n, len(data), 1, at + n * size, n * len(data), n, 0, 0)
            found += struct.pack("<QIIQQQII", *fields) + data.ljust(size - 48, b"\0")
        return found

    def place(shift: int, full: bool = True) -> bytes:
        return struct.pack("<BBH", full, 0, shift)

    few, full = place(0, full=False), 56 * 3
    end = least - 64 - full
    return {
        "one": few + head() + records(0, 1),
        "some": few + head() + records(0, 20),
        "cut-off": few + head() + records(0, 3)[:-9],
        "torn": few + head() + records(0, 2) + bytes(56) + records(168, 2),
        "missing": few + head() + records(0, 5, step=2),
        "around": place(end // 8) + head() + records(end, 6),
        "based": few + head(at=1 << 40) + records(1 << 40, 3),
        "last-place": few + head(at=(1 << 64) - 112) + records((1 << 64) - 112, 1),
        "large": few + head(capacity=1 << 62) + records(0, 2),
        "small": few + head(capacity=64) + records(0, 2),
        "uneven": place(1) + head(capacity=least - 61) + records(8, 3),
        "empty": few + head(),
        "bad-head": few + head(check=1) + records(0, 2),
    }


if __name__ == "__main__":
    write("fuzz_grpc_frame", frames())
    write("fuzz_grpc_text", texts())
    write("fuzz_target", targets())
    write("fuzz_exec_response", exec_responses())
    write("fuzz_file_response", file_responses())
    write("fuzz_lines", lines())
    write("fuzz_h2_client", responses())
    write("fuzz_grpc_server", requests())
    write("fuzz_client_hello", client_hellos())
    write("fuzz_dns_question", dns_questions())
    write("fuzz_egress_rules", egress_rules())
    write("fuzz_yaml", yaml_documents())
    write("fuzz_http_head", http_heads())
    write("fuzz_ring", rings())
