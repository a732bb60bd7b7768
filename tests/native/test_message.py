"""The C core's conversion of messages, against Python's protobuf over the same .proto files."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from cwsandbox import _cwsandbox
from protos import pool

FACTS_FILE = Path(__file__).parents[1] / "unit" / "data" / "wire-1.22.json"
NAMES = [
    message["full_name"]
    for message in json.loads(FACTS_FILE.read_text())["messages"]
    if not message.get("map_entry")
]
V1 = "coreweave.sandbox.v1."
MAX_DEPTH = 100

EDGES: dict[int, list[Any]] = {
    FieldDescriptor.TYPE_INT32: [0, 1, -1, 2**31 - 1, -(2**31), 300],
    FieldDescriptor.TYPE_INT64: [0, 1, -1, 2**63 - 1, -(2**63)],
    FieldDescriptor.TYPE_UINT32: [0, 1, 2**32 - 1],
    FieldDescriptor.TYPE_UINT64: [0, 1, 2**63, 2**64 - 1],
    FieldDescriptor.TYPE_ENUM: [0, 1, 2, 12345, -1, 2**31 - 1, -(2**31)],
    FieldDescriptor.TYPE_BOOL: [False, True],
    FieldDescriptor.TYPE_DOUBLE: [0.0, 1.5, -1e300, math.inf],
    FieldDescriptor.TYPE_STRING: ["", "a", "grüße \N{SNOWMAN} \U0001f40d", "x" * 300],
    FieldDescriptor.TYPE_BYTES: [b"", b"\0", b"\xff\xfe", bytes(range(256)) * 2],
}


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def value_of(field: FieldDescriptor, value: Any) -> Any:
    return fields_of(value) if field.message_type is not None else value


def fields_of(message: Message) -> dict[str, Any]:
    """What the core must make of a message, by way of Python's protobuf."""
    fields: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if is_map(field):
            item = field.message_type.fields_by_name["value"]
            fields[field.name] = {key: value_of(item, value[key]) for key in value}
        elif field.is_repeated:
            fields[field.name] = [value_of(field, item) for item in value]
        elif not field.has_presence or message.HasField(field.name):
            fields[field.name] = value_of(field, value)
    return fields


def parse(name: str, data: bytes) -> Message:
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(name)).FromString(data)


def pack(name: str, fields: Mapping[Any, Any]) -> bytes:
    return _cwsandbox._message_pack(name, fields)


def unpack(name: str, data: bytes) -> dict[str, Any]:
    return _cwsandbox._message_unpack(name, data)


class Maker:
    """Makes random fields for a message, and what they must read as."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def value(self, field: FieldDescriptor, depth: int) -> tuple[Any, Any]:
        if field.message_type is not None:
            return self.message(field.message_type, depth + 1)
        value = self.random.choice(EDGES[field.type])
        return value, value

    def many(self, field: FieldDescriptor, depth: int) -> tuple[Any, Any]:
        count = self.random.choice([0, 1, 3])
        pairs = [self.value(field, depth) for _ in range(count)]
        return [given for given, _ in pairs], [expected for _, expected in pairs]

    def mapping(self, field: FieldDescriptor, depth: int) -> tuple[Any, Any]:
        keys = self.random.sample(["", "A", "ключ", "k" * 200], self.random.choice([0, 1, 4]))
        item = field.message_type.fields_by_name["value"]
        pairs = {key: self.value(item, depth) for key in keys}
        return {k: v[0] for k, v in pairs.items()}, {k: v[1] for k, v in pairs.items()}

    def message(self, descriptor: Descriptor, depth: int = 0) -> tuple[Any, Any]:
        given: dict[str, Any] = {}
        expected = fields_of(message_factory.GetMessageClass(descriptor)())
        taken = set()
        for field in self.random.sample(list(descriptor.fields), len(descriptor.fields)):
            oneof = field.containing_oneof
            skip = oneof is not None and oneof.name in taken
            too_deep = depth > 4 and field.message_type is not None
            if skip or too_deep or self.random.random() < 0.25:
                if self.random.random() < 0.5:
                    given[field.name] = None
                continue
            if oneof is not None:
                taken.add(oneof.name)
            if is_map(field):
                made = self.mapping(field, depth)
            elif field.is_repeated:
                made = self.many(field, depth)
            else:
                made = self.value(field, depth)
            given[field.name], expected[field.name] = made
        return given, expected


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_message_has_its_defaults(name: str) -> None:
    assert pack(name, {}) == b""
    assert unpack(name, b"") == fields_of(parse(name, b""))


@pytest.mark.parametrize("name", NAMES)
def test_both_ways_agree_with_protobuf(name: str) -> None:
    descriptor = pool().FindMessageTypeByName(name)
    for seed in range(25):
        given, expected = Maker(seed).message(descriptor)
        message = parse(name, pack(name, given))
        assert fields_of(message) == expected
        assert unpack(name, message.SerializeToString()) == expected


def test_each_member_of_a_oneof_can_be_empty() -> None:
    request = V1 + "ExecStreamRequest"
    for member, empty in {"init": {}, "stdin": b"", "resize": {}, "close": {}}.items():
        data = pack(request, {member: empty})
        assert parse(request, data).WhichOneof("message") == member
        assert list(unpack(request, data)) == [member]


def test_zero_is_given_only_where_the_field_is_optional() -> None:
    assert (
        unpack(V1 + "SandboxStatus", pack(V1 + "SandboxStatus", {"exit_code": 0}))["exit_code"] == 0
    )
    assert "exit_code" not in unpack(V1 + "SandboxStatus", b"")
    assert pack(V1 + "ContainerStatus", {"exit_code": 0, "name": "", "state": 0}) == b""


class Colour(IntEnum):
    RED = 1


class Index:
    def __index__(self) -> int:
        return 7


class Pairs(Mapping[str, Any]):
    def __init__(self, **pairs: Any) -> None:
        self.pairs = pairs

    def __getitem__(self, key: str) -> Any:
        return self.pairs[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)


class Numbers(Sequence[str]):
    def __getitem__(self, index: Any) -> Any:
        return str(range(3)[index])

    def __len__(self) -> int:
        return 3


@pytest.mark.parametrize(
    ("name", "given", "field", "expected"),
    [
        ("ExecStreamRequest", {"stdin": bytearray(b"ab")}, "stdin", b"ab"),
        ("ExecStreamRequest", {"stdin": memoryview(b"abcd")[::2]}, "stdin", b"ac"),
        ("ExecRequest", {"command": ("a", "b")}, "command", ["a", "b"]),
        ("ExecRequest", {"command": Numbers()}, "command", ["0", "1", "2"]),
        ("ExecRequest", Pairs(command=["a"]), "command", ["a"]),
        ("ExecRequest", {"env": Pairs(A="b")}, "env", {"A": "b"}),
        ("Sandbox", {"control": Colour.RED}, "control", 1),
        ("Service", {"port": Index()}, "port", 7),
    ],
)
def test_kinds_of_values(name: str, given: Any, field: str, expected: Any) -> None:
    assert unpack(V1 + name, pack(V1 + name, given))[field] == expected


SELF_REFERENCE: dict[str, Any] = {"values": []}
SELF_REFERENCE["values"].append({"list_value": SELF_REFERENCE})


class FalsePairs(Pairs):
    def items(self) -> Any:
        return [("command", ["a"], "extra")]


class BrokenIndex:
    def __index__(self) -> int:
        raise RuntimeError("no index today")


INT32 = r"is out of range for int32 \(-2147483648 to 2147483647\)"


@pytest.mark.parametrize(
    ("name", "given", "error", "text"),
    [
        (V1 + "Sandbox", {"sandbox": 1}, ValueError, "Sandbox has no field 'sandbox'"),
        (V1 + "Sandbox", {"spec\0x": 1}, ValueError, r"Sandbox has no field 'spec\\x00x'"),
        (V1 + "Sandbox", {"\udc80": 1}, ValueError, "Sandbox has no field"),
        (V1 + "Sandbox", {1: 1}, TypeError, "Sandbox: a field name is a str, not 1"),
        (V1 + "Sandbox", [], TypeError, "Sandbox: expected a mapping, not list"),
        (V1 + "Sandbox", "spec", TypeError, "Sandbox: expected a mapping, not str"),
        (V1 + "Sandbox", {"spec": []}, TypeError, "Sandbox.spec: expected a mapping, not list"),
        (V1 + "Sandbox", {"spec": {"x": 1}}, ValueError, "SandboxSpec has no field 'x'"),
        (V1 + "Sandbox", {"control": "x"}, TypeError, "Sandbox.control: expected int, not str"),
        (V1 + "Sandbox", {"control": 2**31}, ValueError, "out of range for an enum"),
        (V1 + "Container", {"image": b"x"}, TypeError, "Container.image: expected str, not bytes"),
        (V1 + "Container", {"image": "a\0b"}, ValueError, "Container.image: .* NUL character"),
        (V1 + "Container", {"image": "\udc80"}, ValueError, "Container.image: .* lone surrogate"),
        (
            V1 + "Container",
            {"args": "ls"},
            TypeError,
            "Container.args: expected a sequence, not str",
        ),
        (
            V1 + "Container",
            {"args": b"ls"},
            TypeError,
            "Container.args: expected a sequence, not by",
        ),
        (
            V1 + "Container",
            {"args": {"a"}},
            TypeError,
            "Container.args: expected a sequence, not set",
        ),
        (
            V1 + "Container",
            {"args": {}},
            TypeError,
            "Container.args: expected a sequence, not dict",
        ),
        (
            V1 + "Container",
            {"args": ["a", 1]},
            TypeError,
            r"Container.args\[1\]: expected str, not int",
        ),
        (V1 + "Container", {"args": [None]}, TypeError, r"args\[0\]: expected str, not NoneType"),
        (
            V1 + "Container",
            {"files": [{}, 3]},
            TypeError,
            r"files\[1\]: expected a mapping, not int",
        ),
        (V1 + "Container", {"primary": 1}, TypeError, "Container.primary: expected bool, not int"),
        (
            V1 + "Container",
            {"environment_variables": [("A", "b")]},
            TypeError,
            "Container.environment_variables: expected a mapping, not list",
        ),
        (
            V1 + "Container",
            {"environment_variables": {"A": 1}},
            TypeError,
            r"Container.environment_variables\['A'\]: expected str, not int",
        ),
        (
            V1 + "Container",
            {"environment_variables": {1: "A"}},
            TypeError,
            r"Container.environment_variables\[1\]: expected str, not int",
        ),
        (
            V1 + "FileMount",
            {"content": "x"},
            TypeError,
            "FileMount.content: expected bytes, not str",
        ),
        (V1 + "Service", {"port": 1.0}, TypeError, "Service.port: expected int, not float"),
        (V1 + "Service", {"port": True}, TypeError, "Service.port: expected int, not bool"),
        (V1 + "Service", {"port": 2**31}, ValueError, f"Service.port: 2147483648 {INT32}"),
        (V1 + "Service", {"port": -(2**31) - 1}, ValueError, f"Service.port: -2147483649 {INT32}"),
        (V1 + "Service", {"port": 10**30}, ValueError, f"Service.port: 1{'0' * 30} {INT32}"),
        (V1 + "Service", {"port": BrokenIndex()}, RuntimeError, "no index today"),
        (
            V1 + "ExecStreamResize",
            {"width": -1},
            ValueError,
            r"-1 is out of range for uint32 \(0 to 4",
        ),
        (
            V1 + "ExecStreamResize",
            {"width": 2**32},
            ValueError,
            "4294967296 is out of range for uint32",
        ),
        (V1 + "Gpu", {"count": 2**63}, ValueError, "out of range for int64"),
        (V1 + "Gpu", {"count": -(2**63) - 1}, ValueError, "out of range for int64"),
        (V1 + "LogEntry", {"next_log_offset": 2**64}, ValueError, "out of range for uint64"),
        (V1 + "LogEntry", {"next_log_offset": -1}, ValueError, "out of range for uint64"),
        (
            V1 + "ExecStreamRequest",
            {"init": {}, "stdin": b""},
            ValueError,
            "ExecStreamRequest.stdin: cannot be given together with init",
        ),
        (
            V1 + "ExecRequest",
            FalsePairs(),
            TypeError,
            "items.* gave .* instead of a .key, value. tuple",
        ),
        (
            "google.protobuf.Value",
            {"number_value": "1"},
            TypeError,
            "number_value: expected float, not",
        ),
        ("google.protobuf.Value", {"number_value": 10**400}, ValueError, "too large for a float"),
        ("google.protobuf.ListValue", SELF_REFERENCE, ValueError, "messages nest deeper than 100"),
        ("google.rpc.Nothing", {}, ValueError, "no message is called 'google.rpc.Nothing'"),
    ],
)
def test_what_cannot_be_packed_is_named(
    name: str, given: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        pack(name, given)


def test_an_unhashable_value_of_a_map_is_named() -> None:
    with pytest.raises(TypeError, match=r"ExecRequest.env\['A'\]: expected str, not list"):
        pack(V1 + "ExecRequest", {"env": {"A": []}})


def test_text_that_is_not_utf8_is_replaced() -> None:
    assert unpack(V1 + "LogStreamError", b"\x0a\x03a\xffb")["message"] == "a\ufffdb"
    assert unpack(V1 + "LogStreamError", b"\x0a\x04\xe2\x98ab")["message"] == "\ufffdab"


def test_a_nul_in_text_does_not_cut_it() -> None:
    assert unpack(V1 + "LogStreamError", b"\x0a\x03a\0b\x12\x01\0") == {
        "message": "a\ufffdb",
        "code": "\ufffd",
    }


def test_a_nul_in_bytes_is_kept() -> None:
    assert unpack(V1 + "ReadFileResponse", b"\x0a\x03a\0b") == {"content": b"a\0b"}


def test_unknown_fields_are_skipped() -> None:
    known = pack(V1 + "LogStreamError", {"message": "m"})
    unknown = (
        b"\xfa\x01\x03abc" + b"\xf8\x01\x96\x01" + b"\xf9\x01" + bytes(8) + b"\xfd\x01" + bytes(4)
    )
    assert unpack(V1 + "LogStreamError", unknown + known + unknown) == {"message": "m", "code": ""}


def test_unpacked_enums_are_read() -> None:
    request = pack(V1 + "ConnectSandboxRequest", {"requested_permissions": [1, 2]})
    assert request == b"\x1a\x02\x01\x02"
    for data in (request, b"\x18\x01\x18\x02", b"\x18\x01\x1a\x01\x02"):
        assert unpack(V1 + "ConnectSandboxRequest", data)["requested_permissions"] == [1, 2]


def test_later_values_win_and_messages_merge() -> None:
    first = pack(
        V1 + "Sandbox", {"sandbox_id": "a", "spec": {"tags": ["x"], "network_config_id": "n"}}
    )
    second = pack(V1 + "Sandbox", {"sandbox_id": "b", "spec": {"tags": ["y"]}})
    merged = parse(V1 + "Sandbox", first + second)
    assert unpack(V1 + "Sandbox", first + second) == fields_of(merged)
    frames = [
        pack(V1 + "ExecStreamRequest", {"stdin": b"a"}),
        pack(V1 + "ExecStreamRequest", {"close": {}}),
    ]
    assert unpack(V1 + "ExecStreamRequest", b"".join(frames)) == {"close": {}}


def test_a_submessage_given_over_and_over_is_refused() -> None:
    once = pack(V1 + "Sandbox", {"spec": {"tags": ["x"]}})
    assert unpack(V1 + "Sandbox", once * 50)["spec"]["tags"] == ["x"] * 50
    with pytest.raises(ValueError, match="could not be decoded"):
        unpack(V1 + "Sandbox", once * 1000)
    many = pack(V1 + "ListSandboxesResponse", {"sandboxes": [{}] * 1000})
    assert len(unpack(V1 + "ListSandboxesResponse", many)["sandboxes"]) == 1000


def test_a_map_entry_without_a_value_has_the_default() -> None:
    name = V1 + "CreateSandboxFromFileRequest"
    data = b"\x8a\x01\x03\x0a\x01k" + b"\x22\x00"
    fields = unpack(name, data)
    assert fields["build_context_objects"] == {"k": unpack(V1 + "BuildContextObject", b"")}
    assert fields["image_overrides"] == {"": ""}
    assert fields == fields_of(parse(name, data))


def nested(depth: int) -> bytes:
    """A ListValue in which `depth` messages lie in each other."""
    data = b""
    for level in range(depth - 1):
        tag = b"\x0a" if level % 2 == depth % 2 else b"\x32"
        size = len(data)
        length = b""
        while size > 0x7F:
            length += bytes([size & 0x7F | 0x80])
            size >>= 7
        data = tag + length + bytes([size]) + data
    return data


def test_nesting_is_limited_both_ways() -> None:
    name = "google.protobuf.ListValue"
    fields = unpack(name, nested(MAX_DEPTH))
    assert pack(name, fields) == nested(MAX_DEPTH)
    for depth in (MAX_DEPTH + 1, 20_000):
        with pytest.raises(
            ValueError, match=r"google.protobuf.ListValue: \d+ bytes could not be decoded"
        ):
            unpack(name, nested(depth))
    with pytest.raises(ValueError, match="messages nest deeper than 100"):
        pack("google.protobuf.Value", {"list_value": fields})


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x0a\xff\xff\xff\xff\x7f",
        b"\x08\x01",
        b"\x80\x80\x80\x80\x80\x80",
        b"\x18" + b"\xff" * 11,
        b"\x0b\x0c",
        b"\x19\x00",
        b"\x1d\x00",
        b"\x1e",
    ],
)
def test_undecodable_bytes_are_an_error(data: bytes) -> None:
    with pytest.raises(
        ValueError, match=rf"LogStreamError: {len(data)} bytes could not be decoded"
    ):
        unpack(V1 + "LogStreamError", data)


def test_a_message_cut_anywhere_is_read_as_protobuf_reads_it() -> None:
    name = V1 + "Sandbox"
    given, _ = Maker(7).message(pool().FindMessageTypeByName(name))
    data = pack(name, given)
    refused = 0
    for end in range(min(len(data), 3000)):
        try:
            expected = fields_of(parse(name, data[:end]))
        except DecodeError:
            refused += 1
            with pytest.raises(ValueError, match="could not be decoded"):
                unpack(name, data[:end])
        else:
            assert unpack(name, data[:end]) == expected
    assert refused > 0


def without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [without_nul(item) for item in value]
    if isinstance(value, dict):
        return {without_nul(key): without_nul(item) for key, item in value.items()}
    return value


# Without maps: Python's protobuf drops an entry that has an unknown field, we keep it.
@pytest.mark.parametrize(
    "name", [V1 + "ListVolumesResponse", V1 + "ExecStreamResponse", "google.rpc.Status"]
)
def test_damaged_messages_give_an_error_or_what_protobuf_reads(name: str) -> None:
    random_bytes = random.Random(name)
    descriptor = pool().FindMessageTypeByName(name)
    agreed = 0
    for seed in range(400):
        data = bytearray(pack(name, Maker(seed).message(descriptor)[0]) or b"\0")
        for _ in range(random_bytes.choice([1, 2, 8])):
            data[random_bytes.randrange(len(data))] = random_bytes.randrange(256)
        try:
            fields = unpack(name, bytes(data))
            expected = fields_of(parse(name, bytes(data)))
        except (ValueError, DecodeError):
            continue
        assert fields == without_nul(expected)
        agreed += 1
    assert agreed > 20
