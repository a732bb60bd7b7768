#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "py/message.h"

#include <string.h>

#include "base/alloc.h"
#include "proto/field.h"
#include "proto/unpack.h"

static const void *member_at(const void *msg, size_t offset)
{
    return (const char *)msg + offset;
}

static PyObject *text_to_python(const char *text)
{
    return text == NULL ? PyUnicode_FromString("")
                        : PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

/* An absent message reads like one with nothing set. */
static PyObject *empty_message(const ProtobufCMessageDescriptor *desc)
{
    ProtobufCMessage *msg = cws_malloc(desc->sizeof_message);
    if (msg == NULL) {
        return PyErr_NoMemory();
    }
    protobuf_c_message_init(desc, msg);
    PyObject *dict = py_message_to_python(msg);
    cws_free(msg);
    return dict;
}

static PyObject *value_to_python(const ProtobufCFieldDescriptor *field, const void *member)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_ENUM:
        return PyLong_FromLong(*(const int32_t *)member);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return PyLong_FromUnsignedLong(*(const uint32_t *)member);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return PyLong_FromLongLong(*(const int64_t *)member);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return PyLong_FromUnsignedLongLong(*(const uint64_t *)member);
    case PROTOBUF_C_TYPE_FLOAT:
        return PyFloat_FromDouble((double)*(const float *)member);
    case PROTOBUF_C_TYPE_DOUBLE:
        return PyFloat_FromDouble(*(const double *)member);
    case PROTOBUF_C_TYPE_BOOL:
        return PyBool_FromLong(*(const protobuf_c_boolean *)member);
    case PROTOBUF_C_TYPE_STRING:
        return text_to_python(*(char *const *)member);
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *bytes = member;
        return PyBytes_FromStringAndSize((const char *)bytes->data, (Py_ssize_t)bytes->len);
    }
    case PROTOBUF_C_TYPE_MESSAGE: {
        const ProtobufCMessage *msg = *(ProtobufCMessage *const *)member;
        return msg == NULL ? empty_message(field->descriptor) : py_message_to_python(msg);
    }
    }
    Py_UNREACHABLE();
}

static PyObject *map_to_python(ProtobufCMessage *const *entries, size_t count)
{
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict != NULL && i < count; i++) {
        const ProtobufCFieldDescriptor *fields = entries[i]->descriptor->fields;
        PyObject *key = value_to_python(&fields[0], member_at(entries[i], fields[0].offset));
        PyObject *value =
            key == NULL ? NULL
                        : value_to_python(&fields[1], member_at(entries[i], fields[1].offset));
        if (value == NULL || PyDict_SetItem(dict, key, value) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(value);
        Py_XDECREF(key);
    }
    return dict;
}

static PyObject *list_to_python(const ProtobufCFieldDescriptor *field, const void *values,
                                size_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *item =
            value_to_python(field, member_at(values, i * cws_proto_value_size(field->type)));
        if (item == NULL || PyList_SetItem(list, (Py_ssize_t)i, item) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *field_to_python(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field)
{
    const void *member = member_at(msg, field->offset);
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        return value_to_python(field, member);
    }
    size_t count = *(const size_t *)member_at(msg, field->quantifier_offset);
    const void *values = *(void *const *)member;
    return cws_proto_is_map(msg->descriptor, field) ? map_to_python(values, count)
                                                    : list_to_python(field, values, count);
}

static bool is_set(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field)
{
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
        return *(const uint32_t *)member_at(msg, field->quantifier_offset) == field->id;
    }
    return field->type != PROTOBUF_C_TYPE_MESSAGE ||
           *(void *const *)member_at(msg, field->offset) != NULL;
}

PyObject *py_message_to_python(const ProtobufCMessage *msg)
{
    const ProtobufCMessageDescriptor *desc = msg->descriptor;
    PyObject *dict = PyDict_New();
    for (unsigned i = 0; dict != NULL && i < desc->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &desc->fields[i];
        if (field->label != PROTOBUF_C_LABEL_REPEATED && !is_set(msg, field)) {
            continue;
        }
        PyObject *name = PyUnicode_InternFromString(field->name);
        PyObject *value = name == NULL ? NULL : field_to_python(msg, field);
        if (value == NULL || PyDict_SetItem(dict, name, value) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(value);
        Py_XDECREF(name);
    }
    return dict;
}

PyObject *py_message_unpack(const ProtobufCMessageDescriptor *desc, const uint8_t *data, size_t len)
{
    ProtobufCMessage *msg;
    enum cws_status status = cws_proto_unpack(desc, data, len, &msg);
    if (status == CWS_NO_MEMORY) {
        return PyErr_NoMemory();
    }
    if (status != CWS_OK) {
        PyErr_Format(PyExc_ValueError, "%s: %zu bytes could not be decoded", desc->name, len);
        return NULL;
    }
    PyObject *dict = py_message_to_python(msg);
    cws_proto_free(msg);
    return dict;
}

/* ---- for tests ------------------------------------------------------------------------------ */

static const ProtobufCMessageDescriptor *find_message(const char *name, Py_ssize_t len)
{
    const ProtobufCMessageDescriptor *desc = cws_proto_message(name, (size_t)len);
    if (desc == NULL) {
        PyErr_Format(PyExc_ValueError, "no message is called '%s'", name);
    }
    return desc;
}

PyObject *py_message_pack_method(PyObject *module, PyObject *args)
{
    (void)module;
    const char *name;
    Py_ssize_t name_len;
    PyObject *mapping;
    if (!PyArg_ParseTuple(args, "s#O", &name, &name_len, &mapping)) {
        return NULL;
    }
    const ProtobufCMessageDescriptor *desc = find_message(name, name_len);
    uint8_t *bytes;
    size_t len;
    if (desc == NULL || py_message_from_python(desc, mapping, 0, &bytes, &len) < 0) {
        return NULL;
    }
    PyObject *result = PyBytes_FromStringAndSize((const char *)bytes, (Py_ssize_t)len);
    cws_free(bytes);
    return result;
}

PyObject *py_message_unpack_method(PyObject *module, PyObject *args)
{
    (void)module;
    const char *name;
    Py_ssize_t name_len;
    const char *data;
    Py_ssize_t len;
    if (!PyArg_ParseTuple(args, "s#y#", &name, &name_len, &data, &len)) {
        return NULL;
    }
    const ProtobufCMessageDescriptor *desc = find_message(name, name_len);
    return desc == NULL ? NULL : py_message_unpack(desc, (const uint8_t *)data, (size_t)len);
}
