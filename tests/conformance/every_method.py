"""All methods of all services in `proto/`, and requests and replies for them, made from the descriptors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

import protos

_DEPTH_MAX = 3
_TEXT = {FieldDescriptor.CPPTYPE_STRING}
_NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
}


def methods() -> list[MethodDescriptor]:
    """In the order of their names."""
    found = []
    for file in protos.descriptor_set().file:
        for service in protos.pool().FindFileByName(file.name).services_by_name.values():
            found += service.methods
    return sorted(found, key=path)


def path(method: MethodDescriptor) -> str:
    """As in a call: /package.Service/Method."""
    return f"/{method.containing_service.full_name}/{method.name}"


def short(method: MethodDescriptor) -> str:
    """Service/Method."""
    return f"{method.containing_service.name}/{method.name}"


def empty(kind: Descriptor) -> Any:
    return message_factory.GetMessageClass(kind)()


def plain(kind: Descriptor, depth: int = 0) -> Any:
    """A message with something in every field, in the first of those that exclude each other."""
    made = empty(kind)
    for field in kind.fields:
        of = field.containing_oneof
        if of is None or of.fields[0] is field or len(of.fields) == 1:
            _fill(made, field, depth)
    return made


def _fill(message: Any, field: FieldDescriptor, depth: int) -> None:
    inner = field.message_type
    if inner is None:
        values = list(_scalars(field))
        if field.is_repeated:
            getattr(message, field.name).extend(values)
        else:
            setattr(message, field.name, values[0])
    elif depth == _DEPTH_MAX:
        return
    elif inner.GetOptions().map_entry:
        value = inner.fields_by_name["value"]
        if value.message_type is None:
            getattr(message, field.name)["name"] = next(_scalars(value))
        else:
            entry = getattr(message, field.name)["name"]
            entry.CopyFrom(plain(value.message_type, depth + 1))
    elif field.is_repeated:
        getattr(message, field.name).append(plain(inner, depth + 1))
    else:
        getattr(message, field.name).CopyFrom(plain(inner, depth + 1))


def _scalars(field: FieldDescriptor) -> Iterator[Any]:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        numbers = [one.number for one in field.enum_type.values]
        yield numbers[min(1, len(numbers) - 1)]
    elif kind == FieldDescriptor.CPPTYPE_BOOL:
        yield True
    elif kind in _NUMBERS:
        yield 3
    elif kind in _TEXT:
        yield b"\x00bytes\xff" if field.type == FieldDescriptor.TYPE_BYTES else "a text"
    else:
        yield 2.5
