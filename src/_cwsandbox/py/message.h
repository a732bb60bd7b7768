/*
 * Python values to and from messages: one walk over the descriptors, no code per message.
 *
 * A message is a dict from field names as in the .proto files to values: int (also for enums),
 * float, bool, str, bytes, list, and dict for maps and messages. All functions are called attached
 * to the interpreter, return NULL or -1 with an exception set, and keep nothing.
 */
#pragma once

#include <Python.h>

#include "proto/registry.h"

/*
 * A new dict. Scalars, texts, bytes and enums without presence are always there, lists and maps
 * too; messages, `optional` fields and the member of a oneof only if set. Text that is no UTF-8
 * gets U+FFFD in its place.
 */
PyObject *py_message_to_python(const ProtobufCMessage *msg);

/* As py_message_to_python, from the bytes a peer sent. ValueError when they are no such message. */
PyObject *py_message_unpack(const ProtobufCMessageDescriptor *desc, const uint8_t *data,
                            size_t len);

/*
 * Packs `mapping`. 0, and *out_bytes is a block from cws_malloc, owned by the caller, with
 * `headroom` bytes of no value in front and *out_len bytes of message after them.
 *
 * A value of None counts as not given. int fields take anything with __index__ except bool,
 * repeated ones any sequence but text and bytes, bytes ones also bytearray and memoryview.
 * ValueError: unknown field, number out of range, two members of a oneof, text with NUL or lone
 * surrogates, messages nested too deep. TypeError: a value of the wrong type. Both name the field,
 * as "Container.args[2]".
 */
int py_message_from_python(const ProtobufCMessageDescriptor *desc, PyObject *mapping,
                           size_t headroom, uint8_t **out_bytes, size_t *out_len);

/*
 * For the module's method table, METH_VARARGS; tests use them. (full_name: str, fields: Mapping)
 * -> bytes and (full_name: str, data: bytes) -> dict. ValueError for a name that is no message's.
 */
PyObject *py_message_pack_method(PyObject *module, PyObject *args);
PyObject *py_message_unpack_method(PyObject *module, PyObject *args);
