#include "py/errors.h"

#include <string.h>

PyObject *py_raise_core_error(const struct cws_error *err)
{
    switch (err->status) {
    case CWS_NO_MEMORY:
        return PyErr_NoMemory();
    case CWS_INVALID:
    case CWS_TOO_LARGE:
    case CWS_TLS:
        PyErr_SetString(PyExc_ValueError, err->text);
        return NULL;
    default:
        PyErr_SetString(PyExc_RuntimeError, err->text);
        return NULL;
    }
}

PyObject *py_rpc_error_class(void)
{
    /* The attributes of an instance that Python code has made itself. */
    PyObject *defaults = Py_BuildValue(
        "{s:s,s:i,s:s,s:s,s:(),s:O,s:O,s:O}", "kind", "status", "code", CWS_GRPC_UNKNOWN,
        "code_name", cws_grpc_code_name(CWS_GRPC_UNKNOWN), "message", "", "details", "local",
        Py_True, "code_text", Py_None, "failure", Py_None);
    if (!defaults)
        return NULL;
    PyObject *class = PyErr_NewExceptionWithDoc(
        "cwsandbox._cwsandbox.RpcError",
        "A call or exec that failed, before the Python layer has given it its class.", NULL,
        defaults);
    Py_DECREF(defaults);
    return class;
}

/* Peers may send any bytes as message. */
static PyObject *message_text(const struct cws_grpc_status *status)
{
    const char *message = status->message ? status->message : "";
    return PyUnicode_DecodeUTF8(message, (Py_ssize_t)strlen(message), "replace");
}

/* The values of grpc-status-details-bin as a tuple of bytes; see cws_grpc_status_add_details. */
static PyObject *details_tuple(const struct cws_grpc_status *status)
{
    PyObject *list = PyList_New(0);
    size_t at = 0;
    while (list && at + 4 <= status->details_len) {
        const uint8_t *head = status->details + at;
        size_t len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
        PyObject *one = PyBytes_FromStringAndSize((const char *)head + 4, (Py_ssize_t)len);
        if (!one || PyList_Append(list, one) < 0)
            Py_CLEAR(list);
        Py_XDECREF(one);
        at += 4 + len;
    }
    PyObject *tuple = list ? PyList_AsTuple(list) : NULL;
    Py_XDECREF(list);
    return tuple;
}

/* Sets one attribute; `value` is stolen, NULL is a failure that has its exception already. */
static int put(PyObject *error, const char *name, PyObject *value)
{
    int rc = value ? PyObject_SetAttrString(error, name, value) : -1;
    Py_XDECREF(value);
    return rc;
}

static PyObject *text_or_none(const char *text)
{
    return text ? PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace")
                : Py_NewRef(Py_None);
}

static int fill(PyObject *error, const char *kind, const struct cws_grpc_status *status,
                const char *code_text, PyObject *failure)
{
    if (put(error, "kind", PyUnicode_FromString(kind)) < 0 ||
        put(error, "code", PyLong_FromLong(status->code)) < 0 ||
        put(error, "code_name", PyUnicode_FromString(cws_grpc_code_name(status->code))) < 0 ||
        put(error, "message", message_text(status)) < 0 ||
        put(error, "details", details_tuple(status)) < 0 ||
        put(error, "local", PyBool_FromLong(status->local)) < 0 ||
        put(error, "code_text", text_or_none(code_text)) < 0)
        return -1;
    return put(error, "failure", Py_NewRef(failure ? failure : Py_None));
}

PyObject *py_rpc_error_new(struct py_state *state, const char *kind,
                           const struct cws_grpc_status *status, const char *code_text,
                           PyObject *failure)
{
    PyObject *message = message_text(status);
    PyObject *text =
        !message ? NULL
        : PyUnicode_GetLength(message) == 0
            ? PyUnicode_FromFormat("%s (%s)", cws_grpc_code_name(status->code), kind)
            : PyUnicode_FromFormat("%s: %U", cws_grpc_code_name(status->code), message);
    Py_XDECREF(message);
    if (!text)
        return NULL;
    PyObject *error = PyObject_CallFunctionObjArgs(state->rpc_error, text, NULL);
    Py_DECREF(text);
    if (error && fill(error, kind, status, code_text, failure) < 0)
        Py_CLEAR(error);
    return error;
}
