/*
 * Converts between Python values and messages with one walk over the descriptors; there is no code
 * per message.
 *
 * A message is a dict. Its keys are the field names of the .proto files. Its values are int (also
 * for enums), float, bool, str, bytes, list, and dict for maps and messages. All functions are
 * called with the GIL held, return NULL or -1 with an exception set on failure, and keep no
 * references.
 */
#pragma once

#include <Python.h>

#include "proto/registry.h"

/*
 * A new dict. It always has the scalar, text, bytes and enum fields without presence, and lists and
 * maps. It has messages, `optional` fields and members of a oneof only if they are set. In texts,
 * bytes that are not UTF-8 become U+FFFD.
 */
PyObject *py_message_to_python(const ProtobufCMessage *msg);

/* As py_message_to_python, from the bytes that a peer sent. ValueError if they are not such a
 * message. */
PyObject *py_message_unpack(const ProtobufCMessageDescriptor *desc, const uint8_t *data,
                            size_t len);

/*
 * Packs `mapping`. On success returns 0; *out_bytes is memory from cws_malloc, owned by the caller:
 * first `headroom` bytes that are not set, then the message's *out_len bytes.
 *
 * A value of None counts as not given. int fields take anything with __index__ except bool.
 * Repeated fields take any sequence except text and bytes. bytes fields also take bytearray and
 * memoryview. ValueError: an unknown field, a number out of range, two members of a oneof, text
 * with NUL or lone surrogates, or messages nested too deeply. TypeError: a value of the wrong type.
 * Both name the field, for example "Container.args[2]".
 */
int py_message_from_python(const ProtobufCMessageDescriptor *desc, PyObject *mapping,
                           size_t headroom, uint8_t **out_bytes, size_t *out_len);

/*
 * For the module's method table, METH_VARARGS; tests use them. (full_name: str, fields: Mapping)
 * -> bytes and (full_name: str, data: bytes) -> dict. ValueError if no message has that name.
 */
PyObject *py_message_pack_method(PyObject *module, PyObject *args);
PyObject *py_message_unpack_method(PyObject *module, PyObject *args);
