#include "py/metadata.h"

#include "py/errors.h"

/* The value of one field: str as UTF-8, or bytes for the binary ones. */
static const char *field_value(PyObject *value, Py_ssize_t *out_len)
{
    char *bytes;
    if (PyUnicode_Check(value))
        return PyUnicode_AsUTF8AndSize(value, out_len);
    if (PyBytes_AsStringAndSize(value, &bytes, out_len) < 0)
        return NULL;
    return bytes;
}

int py_metadata_add(PyObject *field, py_metadata_add_fn *add, void *target)
{
    PyObject *pair = PySequence_Tuple(field);
    if (!pair)
        return -1;
    int rc = -1;
    PyObject *name, *value;
    Py_ssize_t name_len, value_len;
    struct cws_error err;
    if (!PyArg_ParseTuple(pair, "UO;metadata must be pairs of name and value", &name, &value))
        goto done;
    const char *name_text = PyUnicode_AsUTF8AndSize(name, &name_len);
    const char *value_text = name_text ? field_value(value, &value_len) : NULL;
    if (!value_text)
        goto done;
    if (add(target, name_text, (size_t)name_len, value_text, (size_t)value_len, &err) != CWS_OK)
        py_raise_core_error(&err);
    else
        rc = 0;
done:
    Py_DECREF(pair);
    return rc;
}
