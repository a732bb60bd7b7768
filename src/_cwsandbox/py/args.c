#include "py/args.h"

#include <math.h>
#include <string.h>

/* Callers mostly name arguments in order, so the search begins after the one found last. */
static int index_of(const struct py_params *params, PyObject *name, int from)
{
    for (int i = 0; i < params->count; i++) {
        int at = (from + i) % params->count;
        if (PyUnicode_CompareWithASCIIString(name, params->names[at]) == 0)
            return at;
    }
    PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", params->function,
                 name);
    return -1;
}

/* Returns the index of the argument called `name`; -1 with an exception set. */
static int put_named(const struct py_params *params, PyObject *name, int from, PyObject *value,
                     PyObject **out)
{
    int at = index_of(params, name, from);
    if (at < 0)
        return -1;
    if (out[at]) {
        PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%s'",
                     params->function, params->names[at]);
        return -1;
    }
    out[at] = value;
    return at;
}

static int check_positional(const struct py_params *params, Py_ssize_t given)
{
    if (given <= params->positional)
        return 0;
    PyErr_Format(PyExc_TypeError, "%s() takes at most %d positional arguments (%zd given)",
                 params->function, params->positional, given);
    return -1;
}

static int check_required(const struct py_params *params, PyObject *const *out)
{
    for (int i = 0; i < params->required; i++) {
        if (!out[i]) {
            PyErr_Format(PyExc_TypeError, "%s() is missing the argument '%s'", params->function,
                         params->names[i]);
            return -1;
        }
    }
    return 0;
}

int py_args_parse(const struct py_params *params, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames, PyObject **out)
{
    if (check_positional(params, nargs) < 0)
        return -1;
    for (int i = 0; i < params->count; i++)
        out[i] = i < nargs ? args[i] : NULL;
    Py_ssize_t named = kwnames ? PyTuple_Size(kwnames) : 0;
    int last = (int)nargs - 1;
    for (Py_ssize_t i = 0; i < named; i++) {
        last = put_named(params, PyTuple_GetItem(kwnames, i), last + 1, args[nargs + i], out);
        if (last < 0)
            return -1;
    }
    return check_required(params, out);
}

int py_args_parse_call(const struct py_params *params, PyObject *args, PyObject *kwargs,
                       PyObject **out)
{
    Py_ssize_t nargs = PyTuple_Size(args);
    if (check_positional(params, nargs) < 0)
        return -1;
    for (int i = 0; i < params->count; i++)
        out[i] = i < nargs ? PyTuple_GetItem(args, i) : NULL;
    PyObject *name, *value;
    Py_ssize_t at = 0;
    while (kwargs && PyDict_Next(kwargs, &at, &name, &value))
        if (put_named(params, name, 0, value, out) < 0)
            return -1;
    return check_required(params, out);
}

void py_arg_refuse_secret(const char *name, const char *rule, PyObject *value)
{
    PyObject *type = PyType_GetName(Py_TYPE(value));
    if (!type)
        return;
    PyErr_Format(PyExc_TypeError, "%s must be %s, got %U", name, rule, type);
    Py_DECREF(type);
}

int py_arg_exception(PyObject *value, const char *name)
{
    if (py_is_exception(value))
        return 0;
    PyErr_Format(PyExc_TypeError, "%s must be an exception instance, got %.200R", name, value);
    return -1;
}

int py_arg_seconds(PyObject *value, const char *name, bool negative_is_zero, double *out_s)
{
    *out_s = -1;
    if (!value || value == Py_None)
        return 0;
    double seconds = PyFloat_AsDouble(value);
    if (seconds == -1.0 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_TypeError))
            PyErr_Format(PyExc_TypeError, "%s must be a number of seconds, got %.200R", name,
                         value);
        else if (PyErr_ExceptionMatches(PyExc_OverflowError))
            PyErr_Format(PyExc_ValueError,
                         "%s must be a number of seconds that a float can hold: use math.inf "
                         "for no limit",
                         name);
        return -1;
    }
    if (isnan(seconds) || (seconds < 0 && !negative_is_zero)) {
        PyErr_Format(PyExc_ValueError, "%s must be a number of seconds >= 0, got %R", name, value);
        return -1;
    }
    *out_s = seconds > 0 ? seconds : 0;
    return 0;
}

int py_arg_timeout(PyObject *value, double *out_s)
{
    return py_arg_seconds(value, "timeout", true, out_s);
}

/* The text; NULL without an exception if it is not a str or contains a NUL. */
static const char *clean_text(PyObject *value, size_t *out_len)
{
    Py_ssize_t len;
    const char *text = PyUnicode_Check(value) ? PyUnicode_AsUTF8AndSize(value, &len) : NULL;
    if (!text || memchr(text, 0, (size_t)len))
        return NULL;
    if (out_len)
        *out_len = (size_t)len;
    return text;
}

/* Clears the UnicodeEncodeError that clean_text left, if it did. */
static bool clear_not_utf8(void)
{
    bool is_set = PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError);
    if (is_set)
        PyErr_Clear();
    return is_set;
}

/* Says what is wrong with a value that clean_text refused. `name` is a str (stolen), or NULL with
 * an exception set. */
static void raise_not_clean(PyObject *value, PyObject *name, bool is_not_utf8)
{
    if (!name)
        return;
    if (is_not_utf8)
        PyErr_Format(PyExc_ValueError,
                     "%U must not contain a lone surrogate, which UTF-8 cannot carry, got %.200A",
                     name, value);
    else if (PyUnicode_Check(value))
        PyErr_Format(PyExc_ValueError, "%U must not contain a NUL character, got %.200R", name,
                     value);
    else
        PyErr_Format(PyExc_TypeError, "%U must be a str, got %.200R", name, value);
    Py_DECREF(name);
}

/* The same without the value. */
static void raise_secret_not_clean(PyObject *value, PyObject *name, bool is_not_utf8)
{
    PyObject *type = name ? PyType_GetName(Py_TYPE(value)) : NULL;
    if (type && is_not_utf8)
        PyErr_Format(PyExc_ValueError,
                     "%U must not contain a lone surrogate, which UTF-8 cannot carry", name);
    else if (type && PyUnicode_Check(value))
        PyErr_Format(PyExc_ValueError, "%U must not contain a NUL character", name);
    else if (type)
        PyErr_Format(PyExc_TypeError, "%U must be a str, got %U", name, type);
    Py_XDECREF(type);
    Py_XDECREF(name);
}

const char *py_arg_text(PyObject *value, const char *name, size_t *out_len)
{
    const char *text = clean_text(value, out_len);
    if (!text) {
        bool is_not_utf8 = clear_not_utf8();
        raise_not_clean(value, PyErr_Occurred() ? NULL : PyUnicode_FromString(name), is_not_utf8);
    }
    return text;
}

const char *py_arg_secret_text(PyObject *value, const char *name, PyObject *key)
{
    const char *text = clean_text(value, NULL);
    if (!text) {
        bool is_not_utf8 = clear_not_utf8();
        raise_secret_not_clean(value,
                               PyErr_Occurred() ? NULL : PyUnicode_FromFormat("%s[%R]", name, key),
                               is_not_utf8);
    }
    return text;
}

const char *py_arg_item_text(PyObject *value, const char *name, Py_ssize_t index)
{
    const char *text = clean_text(value, NULL);
    if (!text) {
        bool is_not_utf8 = clear_not_utf8();
        raise_not_clean(value,
                        PyErr_Occurred() ? NULL : PyUnicode_FromFormat("%s[%zd]", name, index),
                        is_not_utf8);
    }
    return text;
}
