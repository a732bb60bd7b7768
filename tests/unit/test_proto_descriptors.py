"""The .proto files say exactly what the service's published facts say, and nothing else.

`data/wire-1.22.json` lists every file, service, message and enum. The same shape is made from the
descriptors that protoc gives for `proto/`, and the two must be equal, in both directions.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from protos import descriptor_set

FieldProto = descriptor_pb2.FieldDescriptorProto
Facts = dict[str, dict[str, Any]]

# Fields from this number on are this project's own: docs/wire.md has the table of them.
FIRST_EXTENSION = 1000

ROOT = Path(__file__).parents[2]
FACTS_FILE = Path(__file__).parent / "data" / "wire-1.22.json"
NOT_PACKABLE = {FieldProto.TYPE_STRING, FieldProto.TYPE_BYTES, FieldProto.TYPE_MESSAGE}


def type_name(field: descriptor_pb2.FieldDescriptorProto) -> str:
    return field.type_name.lstrip(".") or FieldProto.Type.Name(field.type)[len("TYPE_") :].lower()


def field_facts(
    field: descriptor_pb2.FieldDescriptorProto,
    message: descriptor_pb2.DescriptorProto,
    entries: dict[str, descriptor_pb2.DescriptorProto],
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": field.name,
        "number": field.number,
        "type": FieldProto.Type.Name(field.type)[len("TYPE_") :].lower(),
        "label": FieldProto.Label.Name(field.label)[len("LABEL_") :].lower(),
        "json_name": field.json_name,
    }
    if field.type_name:
        facts["type_name"] = field.type_name.lstrip(".")
    if field.proto3_optional:
        facts["proto3_optional"] = True
    elif field.HasField("oneof_index"):
        facts["oneof"] = message.oneof_decl[field.oneof_index].name
    if field.label == FieldProto.LABEL_REPEATED and field.type not in NOT_PACKABLE:
        facts["packed"] = field.options.packed if field.options.HasField("packed") else True
    if (entry := entries.get(field.type_name.rpartition(".")[2])) is not None:
        key, value = entry.field
        facts["map"] = {"key": type_name(key), "value": type_name(value)}
    return facts


def message_facts(message: descriptor_pb2.DescriptorProto) -> dict[str, Any]:
    entries = {nested.name: nested for nested in message.nested_type if nested.options.map_entry}
    fields = [
        field_facts(field, message, entries)
        for field in message.field
        if field.number < FIRST_EXTENSION
    ]
    fields.sort(key=lambda field: field["number"])
    names = dict.fromkeys(field["oneof"] for field in fields if "oneof" in field)
    facts: dict[str, Any] = {
        "fields": fields,
        "oneofs": [
            {"name": name, "fields": [f["name"] for f in fields if f.get("oneof") == name]}
            for name in names
        ],
        "reserved_ranges": [[r.start, r.end] for r in message.reserved_range],
        "reserved_names": list(message.reserved_name),
    }
    if message.options.map_entry:
        facts["map_entry"] = True
    return facts


def enum_facts(enum: descriptor_pb2.EnumDescriptorProto) -> dict[str, Any]:
    return {
        "values": [{"name": value.name, "number": value.number} for value in enum.value],
        "reserved_ranges": [[r.start, r.end] for r in enum.reserved_range],
        "reserved_names": list(enum.reserved_name),
    }


def service_facts(full_name: str, service: descriptor_pb2.ServiceDescriptorProto) -> dict[str, Any]:
    return {
        "methods": [
            {
                "name": method.name,
                "path": f"/{full_name}/{method.name}",
                "input": method.input_type.lstrip("."),
                "output": method.output_type.lstrip("."),
                "client_streaming": method.client_streaming,
                "server_streaming": method.server_streaming,
            }
            for method in service.method
        ]
    }


def add_types(
    facts: Facts,
    scope: str,
    file: str,
    holder: descriptor_pb2.FileDescriptorProto | descriptor_pb2.DescriptorProto,
) -> None:
    for enum in holder.enum_type:
        facts[f"enum {scope}.{enum.name}"] = {"file": file, **enum_facts(enum)}
    nested = (
        holder.message_type
        if isinstance(holder, descriptor_pb2.FileDescriptorProto)
        else holder.nested_type
    )
    for message in nested:
        full_name = f"{scope}.{message.name}"
        facts[f"message {full_name}"] = {"file": file, **message_facts(message)}
        add_types(facts, full_name, file, message)


def facts_of(descriptors: descriptor_pb2.FileDescriptorSet) -> Facts:
    facts: Facts = {}
    for file in descriptors.file:
        facts[f"file {file.name}"] = {
            "package": file.package,
            "syntax": file.syntax,
            "imports": sorted(file.dependency),
        }
        for service in file.service:
            full_name = f"{file.package}.{service.name}"
            facts[f"service {full_name}"] = {"file": file.name, **service_facts(full_name, service)}
        add_types(facts, file.package, file.name, file)
    return facts


def published_facts() -> Facts:
    data = json.loads(FACTS_FILE.read_text())
    facts: Facts = {}
    for file in data["files"]:
        file["imports"].sort()
        facts[f"file {file.pop('name')}"] = file
    for kind in ("service", "message", "enum"):
        for entry in data[f"{kind}s"]:
            facts[f"{kind} {entry.pop('full_name')}"] = entry
    return facts


PUBLISHED = published_facts()


def test_the_same_names_exist() -> None:
    assert sorted(facts_of(descriptor_set())) == sorted(PUBLISHED)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_the_same_facts_hold(name: str) -> None:
    assert facts_of(descriptor_set())[name] == PUBLISHED[name]


def test_the_facts_are_complete() -> None:
    counts = json.loads(FACTS_FILE.read_text())["counts"]
    kinds = {
        kind: [PUBLISHED[n] for n in PUBLISHED if n.startswith(f"{kind} ")]
        for kind in ("service", "message", "enum")
    }
    messages = [message for message in kinds["message"] if not message.get("map_entry")]
    assert counts == {
        "services": len(kinds["service"]),
        "methods": sum(len(service["methods"]) for service in kinds["service"]),
        "messages": len(kinds["message"]),
        "messages_excl_map_entries": len(messages),
        "fields": sum(len(message["fields"]) for message in messages),
        "enums": len(kinds["enum"]),
        "enum_values": sum(len(enum["values"]) for enum in kinds["enum"]),
    }


def extensions_in(holder: Any, scope: str = "") -> Iterator[tuple[str, int]]:
    for message in getattr(holder, "message_type", None) or getattr(holder, "nested_type", ()):
        name = f"{scope}{message.name}"
        for field in message.field:
            if field.number >= FIRST_EXTENSION:
                yield f"{name}.{field.name}", field.number
        yield from extensions_in(message, f"{name}.")


def documented_extensions() -> dict[str, set[str]]:
    """The names in the table of docs/wire.md, each with its fields."""
    text = (ROOT / "docs" / "wire.md").read_text().partition("## Extensions")[2]
    rows = re.findall(r"^\| `([a-z_]+)` \| ([^|]*) \|", text, re.MULTILINE)
    return {name: set(re.findall(r"`(\w+\.\w+ = \d+)`", fields)) for name, fields in rows}


def test_the_extensions_are_those_of_the_table() -> None:
    own = {
        f"{name} = {number}"
        for file in descriptor_set().file
        for name, number in extensions_in(file)
    }
    documented = documented_extensions()
    assert own == set().union(*documented.values())
    daemon = (ROOT / "src" / "cwsandboxd" / "values" / "extensions.h").read_text()
    [offered] = re.findall(r'#define CWSD_EXTENSIONS "(.*)"', daemon)
    assert sorted(offered.split(",")) == sorted(documented)
    client = (ROOT / "src" / "_cwsandbox" / "sandbox" / "extensions.c").read_text()
    assert sorted(re.findall(r'\{"(\w+)", CWS_EXTENSION_\w+\}', client)) == sorted(documented)


def spec(file: descriptor_pb2.FileDescriptorProto) -> descriptor_pb2.DescriptorProto:
    return next(message for message in file.message_type if message.name == "SandboxSpec")


def drop_proto3_optional(file: descriptor_pb2.FileDescriptorProto) -> None:
    status = next(message for message in file.message_type if message.name == "SandboxStatus")
    field = next(field for field in status.field if field.name == "exit_code")
    field.ClearField("proto3_optional")
    field.ClearField("oneof_index")


def leave_oneof(file: descriptor_pb2.FileDescriptorProto) -> None:
    rule = next(message for message in file.message_type if message.name == "EgressRule")
    next(field for field in rule.field if field.name == "selector").ClearField("oneof_index")


def set_packed_false(file: descriptor_pb2.FileDescriptorProto) -> None:
    request = next(
        message for message in file.message_type if message.name == "ConnectSandboxRequest"
    )
    request.field[2].options.packed = False


def set_streaming(file: descriptor_pb2.FileDescriptorProto) -> None:
    file.service[0].method[0].server_streaming = True


CHANGES: dict[str, Callable[[descriptor_pb2.FileDescriptorProto], Any]] = {
    "field name": lambda file: setattr(spec(file).field[3], "name", "lifetime"),
    "field number": lambda file: setattr(spec(file).field[3], "number", 99),
    "field type": lambda file: setattr(spec(file).field[3], "type", FieldProto.TYPE_INT64),
    "field label": lambda file: setattr(spec(file).field[3], "label", FieldProto.LABEL_REPEATED),
    "json name": lambda file: setattr(spec(file).field[3], "json_name", "x"),
    "field gone": lambda file: spec(file).field.pop(3),
    "field too many": lambda file: spec(file).field.add(
        name="x", number=99, type=FieldProto.TYPE_BOOL
    ),
    "presence": drop_proto3_optional,
    "oneof": leave_oneof,
    "packed": set_packed_false,
    "reserved range": lambda file: spec(file).reserved_range.pop(),
    "reserved name": lambda file: spec(file).reserved_name.pop(),
    "message gone": lambda file: file.message_type.pop(),
    "message too many": lambda file: file.message_type.add(name="X"),
    "enum value": lambda file: setattr(file.enum_type[0].value[1], "number", 9),
    "enum too many": lambda file: file.enum_type.add(name="X"),
    "method gone": lambda file: file.service[0].method.pop(),
    "method output": lambda file: setattr(file.service[0].method[0], "output_type", ".x.Y"),
    "streaming": set_streaming,
    "service too many": lambda file: file.service.add(name="X"),
    "syntax": lambda file: setattr(file, "syntax", "proto2"),
    "import": lambda file: file.dependency.pop(),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_any_difference_is_seen(change: str) -> None:
    changed = copy.deepcopy(descriptor_set())
    CHANGES[change](
        next(file for file in changed.file if file.name == "coreweave/sandbox/v1/sandbox.proto")
    )
    assert facts_of(changed) != PUBLISHED
