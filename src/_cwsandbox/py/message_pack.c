#include <Python.h>

#include "py/message.h"

#include <string.h>

#include "base/alloc.h"
#include "proto/field.h"
#include "proto/unpack.h"

/* What one packing needs until its bytes are written. Texts and bytes are not copied into the
 * message: `kept` holds the objects whose memory the message points into. */
struct packing {
    struct block *blocks;
    PyObject *kept;
    unsigned depth;
};

struct block {
    struct block *next;
    max_align_t memory[];
};

/* Where a value belongs, for error messages. */
struct place {
    const ProtobufCMessageDescriptor *desc;
    const ProtobufCFieldDescriptor *field;
    PyObject *key; /* borrowed: index or map key; NULL when the field has one value */
};

static void *take_block(struct packing *packing, size_t count, size_t size)
{
    if (size != 0 && count > (SIZE_MAX - sizeof(struct block)) / size) {
        return PyErr_NoMemory();
    }
    struct block *block = cws_calloc(1, sizeof(*block) + count * size);
    if (block == NULL) {
        return PyErr_NoMemory();
    }
    block->next = packing->blocks;
    packing->blocks = block;
    return block->memory;
}

static void packing_done(struct packing *packing)
{
    while (packing->blocks != NULL) {
        struct block *next = packing->blocks->next;
        cws_free(packing->blocks);
        packing->blocks = next;
    }
    Py_CLEAR(packing->kept);
}

/* Sets an exception "Message.field[key]: " + the rest, and returns -1. */
static int fail(PyObject *exception, const struct place *place, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    PyObject *rest = PyUnicode_FromFormatV(fmt, args);
    va_end(args);
    if (rest == NULL) {
        return -1;
    }
    const char *message = place->desc->short_name;
    if (place->key == NULL) {
        PyErr_Format(exception, "%s.%s: %U", message, place->field->name, rest);
    } else {
        PyErr_Format(exception, "%s.%s[%R]: %U", message, place->field->name, place->key, rest);
    }
    Py_DECREF(rest);
    return -1;
}

static int fail_type(const struct place *place, const char *expected, PyObject *value)
{
    PyObject *name = PyType_GetName(Py_TYPE(value));
    if (name != NULL) {
        fail(PyExc_TypeError, place, "expected %s, not %U", expected, name);
        Py_DECREF(name);
    }
    return -1;
}

struct range {
    const char *type;
    int64_t low;
    uint64_t high;
};

static struct range range_of(ProtobufCType type)
{
    switch ((int)type) {
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return (struct range){"uint32", 0, UINT32_MAX};
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return (struct range){"int64", INT64_MIN, INT64_MAX};
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return (struct range){"uint64", 0, UINT64_MAX};
    case PROTOBUF_C_TYPE_ENUM:
        return (struct range){"an enum", INT32_MIN, INT32_MAX};
    default:
        return (struct range){"int32", INT32_MIN, INT32_MAX};
    }
}

/* 1 when in range, 0 when not, -1 with an exception. A negative number is given back as its two's
 * complement. */
static int read_int(PyObject *index, const struct range *range, uint64_t *out_value)
{
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(index, &overflow);
    if (value == -1 && overflow == 0 && PyErr_Occurred()) {
        return -1;
    }
    *out_value = (uint64_t)value;
    if (overflow == 0) {
        return value < 0 ? value >= range->low : *out_value <= range->high;
    }
    if (overflow < 0 || range->high != UINT64_MAX) {
        return 0;
    }
    *out_value = PyLong_AsUnsignedLongLong(index);
    if (!PyErr_Occurred()) {
        return 1;
    }
    if (!PyErr_ExceptionMatches(PyExc_OverflowError)) {
        return -1;
    }
    PyErr_Clear();
    return 0;
}

static int set_int(const struct place *place, PyObject *value, void *member)
{
    if (PyBool_Check(value) || !PyIndex_Check(value)) {
        return fail_type(place, "int", value);
    }
    PyObject *index = PyNumber_Index(value);
    if (index == NULL) {
        return -1;
    }
    struct range range = range_of(place->field->type);
    uint64_t number = 0;
    int in_range = read_int(index, &range, &number);
    if (in_range == 0) {
        fail(PyExc_ValueError, place, "%S is out of range for %s (%lld to %llu)", index, range.type,
             (long long)range.low, (unsigned long long)range.high);
    } else if (in_range > 0 && cws_proto_value_size(place->field->type) == sizeof(uint64_t)) {
        *(uint64_t *)member = number;
    } else if (in_range > 0) {
        *(uint32_t *)member = (uint32_t)number;
    }
    Py_DECREF(index);
    return in_range > 0 ? 0 : -1;
}

static int set_float(const struct place *place, PyObject *value, void *member)
{
    if (PyBool_Check(value) || (!PyFloat_Check(value) && !PyIndex_Check(value))) {
        return fail_type(place, "float", value);
    }
    double number = PyFloat_AsDouble(value);
    if (number == -1.0 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError)) {
            return -1;
        }
        PyErr_Clear();
        return fail(PyExc_ValueError, place, "%S is too large for a float", value);
    }
    if (place->field->type == PROTOBUF_C_TYPE_FLOAT) {
        *(float *)member = (float)number;
    } else {
        *(double *)member = number;
    }
    return 0;
}

static int set_bool(const struct place *place, PyObject *value, protobuf_c_boolean *member)
{
    if (!PyBool_Check(value)) {
        return fail_type(place, "bool", value);
    }
    *member = Py_IsTrue(value);
    return 0;
}

static int set_text(struct packing *packing, const struct place *place, PyObject *value,
                    const char **member)
{
    if (!PyUnicode_Check(value)) {
        return fail_type(place, "str", value);
    }
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(value, &len);
    if (text == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
            return -1;
        }
        PyErr_Clear();
        return fail(PyExc_ValueError, place, "%.80A has a lone surrogate, which UTF-8 cannot carry",
                    value);
    }
    if (strlen(text) != (size_t)len) {
        return fail(PyExc_ValueError, place, "%.80A has a NUL character", value);
    }
    *member = text;
    return PyList_Append(packing->kept, value);
}

static int set_bytes(struct packing *packing, const struct place *place, PyObject *value,
                     ProtobufCBinaryData *member)
{
    if (!PyBytes_Check(value) && !PyByteArray_Check(value) && !PyMemoryView_Check(value)) {
        return fail_type(place, "bytes", value);
    }
    /* The same object for bytes; a copy of what can change or have gaps. */
    PyObject *bytes = PyBytes_FromObject(value);
    if (bytes == NULL) {
        return -1;
    }
    member->data = (uint8_t *)PyBytes_AsString(bytes);
    member->len = (size_t)PyBytes_Size(bytes);
    int result = PyList_Append(packing->kept, bytes);
    Py_DECREF(bytes);
    return result;
}

static bool is_mapping(PyObject *value)
{
    return PyDict_Check(value) ||
           (PyMapping_Check(value) && PyObject_HasAttrString(value, "items"));
}

static ProtobufCMessage *build_message(struct packing *packing,
                                       const ProtobufCMessageDescriptor *desc, PyObject *mapping);

static int set_message(struct packing *packing, const struct place *place, PyObject *value,
                       ProtobufCMessage **member)
{
    if (!is_mapping(value)) {
        return fail_type(place, "a mapping", value);
    }
    if (packing->depth >= CWS_PROTO_MAX_DEPTH) {
        return fail(PyExc_ValueError, place, "messages nest deeper than %d", CWS_PROTO_MAX_DEPTH);
    }
    *member = build_message(packing, place->field->descriptor, value);
    return *member == NULL ? -1 : 0;
}

static int set_value(struct packing *packing, const struct place *place, PyObject *value,
                     void *member)
{
    switch ((int)place->field->type) {
    case PROTOBUF_C_TYPE_BOOL:
        return set_bool(place, value, member);
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
        return set_float(place, value, member);
    case PROTOBUF_C_TYPE_STRING:
        return set_text(packing, place, value, member);
    case PROTOBUF_C_TYPE_BYTES:
        return set_bytes(packing, place, value, member);
    case PROTOBUF_C_TYPE_MESSAGE:
        return set_message(packing, place, value, member);
    default:
        return set_int(place, value, member);
    }
}

static int set_list(struct packing *packing, struct place *place, PyObject *value, void **member,
                    size_t *out_count)
{
    if (!PySequence_Check(value) || PyUnicode_Check(value) || PyBytes_Check(value) ||
        PyByteArray_Check(value) || PyMemoryView_Check(value) || is_mapping(value)) {
        return fail_type(place, "a sequence", value);
    }
    /* A list of our own: nobody can change its length meanwhile. */
    PyObject *list = PySequence_List(value);
    if (list == NULL) {
        return -1;
    }
    size_t size = cws_proto_value_size(place->field->type);
    size_t count = (size_t)PyList_Size(list);
    char *values = take_block(packing, count, size);
    int result = values == NULL ? -1 : 0;
    for (size_t i = 0; result == 0 && i < count; i++) {
        PyObject *index = PyLong_FromSize_t(i);
        if (index == NULL) {
            result = -1;
            break;
        }
        place->key = index;
        PyObject *item = PyList_GetItem(list, (Py_ssize_t)i);
        result = set_value(packing, place, item, values + i * size);
        place->key = NULL;
        Py_DECREF(index);
    }
    *member = values;
    *out_count = count;
    Py_DECREF(list);
    return result;
}

static ProtobufCMessage *take_message(struct packing *packing,
                                      const ProtobufCMessageDescriptor *desc)
{
    ProtobufCMessage *msg = take_block(packing, 1, desc->sizeof_message);
    if (msg != NULL) {
        protobuf_c_message_init(desc, msg);
    }
    return msg;
}

/* The i-th pair of what PyMapping_Items gave, as borrowed references. */
static int pair_at(PyObject *items, size_t i, PyObject **out_key, PyObject **out_value)
{
    PyObject *pair = PyList_GetItem(items, (Py_ssize_t)i);
    if (pair == NULL) {
        return -1;
    }
    if (!PyTuple_Check(pair) || PyTuple_Size(pair) != 2) {
        PyErr_Format(PyExc_TypeError,
                     "items() of a mapping gave %.80R instead of a (key, value) tuple", pair);
        return -1;
    }
    *out_key = PyTuple_GetItem(pair, 0);
    *out_value = PyTuple_GetItem(pair, 1);
    return 0;
}

/* In an error the key follows the map's name; users do not know the entry message. */
static ProtobufCMessage *build_entry(struct packing *packing, const struct place *place,
                                     PyObject *key, PyObject *value)
{
    const ProtobufCMessageDescriptor *desc = place->field->descriptor;
    ProtobufCMessage *entry = take_message(packing, desc);
    if (entry == NULL) {
        return NULL;
    }
    PyObject *members[2] = {key, value};
    for (unsigned i = 0; i < CWS_ARRAY_LEN(members); i++) {
        ProtobufCFieldDescriptor field = desc->fields[i];
        field.name = place->field->name;
        struct place at = {place->desc, &field, key};
        if (set_value(packing, &at, members[i], (char *)entry + field.offset) < 0) {
            return NULL;
        }
    }
    return entry;
}

static int set_map(struct packing *packing, const struct place *place, PyObject *value,
                   void **member, size_t *out_count)
{
    if (!is_mapping(value)) {
        return fail_type(place, "a mapping", value);
    }
    PyObject *items = PyMapping_Items(value);
    if (items == NULL) {
        return -1;
    }
    size_t count = (size_t)PyList_Size(items);
    ProtobufCMessage **entries =
        take_block(packing, count, cws_proto_value_size(PROTOBUF_C_TYPE_MESSAGE));
    int result = entries == NULL ? -1 : 0;
    for (size_t i = 0; result == 0 && i < count; i++) {
        PyObject *key;
        PyObject *item;
        result = pair_at(items, i, &key, &item);
        if (result == 0) {
            entries[i] = build_entry(packing, place, key, item);
            result = entries[i] == NULL ? -1 : 0;
        }
    }
    *member = entries;
    *out_count = count;
    Py_DECREF(items);
    return result;
}

/* Notes which member of its oneof is set; an error when there is another one already. */
static int choose_member(const struct place *place, uint32_t *choice)
{
    if (*choice != 0) {
        const ProtobufCFieldDescriptor *other =
            protobuf_c_message_descriptor_get_field(place->desc, *choice);
        return fail(PyExc_ValueError, place, "cannot be given together with %s", other->name);
    }
    *choice = place->field->id;
    return 0;
}

static int set_field(struct packing *packing, ProtobufCMessage *msg,
                     const ProtobufCFieldDescriptor *field, PyObject *value)
{
    struct place place = {msg->descriptor, field, NULL};
    void *member = (char *)msg + field->offset;
    void *quantifier = (char *)msg + field->quantifier_offset;
    if (cws_proto_is_map(msg->descriptor, field)) {
        return set_map(packing, &place, value, member, quantifier);
    }
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        return set_list(packing, &place, value, member, quantifier);
    }
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && choose_member(&place, quantifier) < 0) {
        return -1;
    }
    return set_value(packing, &place, value, member);
}

/* NULL with an exception when there is none. */
static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *desc,
                                                  PyObject *name)
{
    if (!PyUnicode_Check(name)) {
        PyErr_Format(PyExc_TypeError, "%s: a field name is a str, not %.80R", desc->short_name,
                     name);
        return NULL;
    }
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(name, &len);
    if (text == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
            return NULL;
        }
        PyErr_Clear();
    }
    const ProtobufCFieldDescriptor *field =
        text != NULL && strlen(text) == (size_t)len
            ? protobuf_c_message_descriptor_get_field_by_name(desc, text)
            : NULL;
    if (field == NULL) {
        PyErr_Format(PyExc_ValueError, "%s has no field %.80R", desc->short_name, name);
    }
    return field;
}

/* The message with the fields of `mapping`; it lives as long as `packing`. */
static ProtobufCMessage *build_message(struct packing *packing,
                                       const ProtobufCMessageDescriptor *desc, PyObject *mapping)
{
    ProtobufCMessage *msg = take_message(packing, desc);
    PyObject *items = msg == NULL ? NULL : PyMapping_Items(mapping);
    if (items == NULL) {
        return NULL;
    }
    packing->depth++;
    size_t count = (size_t)PyList_Size(items);
    for (size_t i = 0; msg != NULL && i < count; i++) {
        PyObject *name;
        PyObject *value;
        const ProtobufCFieldDescriptor *field = NULL;
        if (pair_at(items, i, &name, &value) == 0) {
            field = find_field(desc, name);
        }
        if (field == NULL || (!Py_IsNone(value) && set_field(packing, msg, field, value) < 0)) {
            msg = NULL;
        }
    }
    packing->depth--;
    Py_DECREF(items);
    return msg;
}

int py_message_from_python(const ProtobufCMessageDescriptor *desc, PyObject *mapping,
                           size_t headroom, uint8_t **out_bytes, size_t *out_len)
{
    if (!is_mapping(mapping)) {
        PyObject *name = PyType_GetName(Py_TYPE(mapping));
        if (name != NULL) {
            PyErr_Format(PyExc_TypeError, "%s: expected a mapping, not %U", desc->short_name, name);
            Py_DECREF(name);
        }
        return -1;
    }
    int result = -1;
    struct packing packing = {NULL, PyList_New(0), 0};
    ProtobufCMessage *msg = packing.kept == NULL ? NULL : build_message(&packing, desc, mapping);
    if (msg == NULL) {
        goto done;
    }
    size_t len = protobuf_c_message_get_packed_size(msg);
    uint8_t *bytes = cws_malloc(headroom + len);
    if (bytes == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    protobuf_c_message_pack(msg, bytes + headroom);
    *out_bytes = bytes;
    *out_len = len;
    result = 0;
done:
    packing_done(&packing);
    return result;
}
