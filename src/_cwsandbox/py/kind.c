#include "py/kind.h"

#include <string.h>

#include "py/args.h"

static const struct {
    const char *name;
    bool has_value; /* that Python code makes */
} kinds[PY_KINDS] = {
    [PY_KIND_EXEC] = {"exec", true},     [PY_KIND_TERMINAL] = {"terminal", true},
    [PY_KIND_HELPER] = {"helper", true}, [PY_KIND_WRITE] = {"write", false},
    [PY_KIND_FILE] = {"file", false},    [PY_KIND_LOG] = {"log", false},
};

/* -1 with an exception set. */
static int kind_named(PyObject *given)
{
    const char *name = py_arg_text(given, "kind", NULL);
    if (!name)
        return -1;
    for (int kind = 0; kind < PY_KINDS; kind++)
        if (strcmp(kinds[kind].name, name) == 0)
            return kind;
    PyErr_Format(PyExc_ValueError, "kind is %R, but there is no such kind of operation", given);
    return -1;
}

static int check_maker(int kind, PyObject *maker, const char *name, bool is_wanted)
{
    if (!is_wanted && !maker)
        return 0;
    if (!is_wanted)
        PyErr_Format(PyExc_TypeError, "kind '%s' has no %s", kinds[kind].name, name);
    else if (!maker)
        PyErr_Format(PyExc_TypeError, "kind '%s' needs %s", kinds[kind].name, name);
    else if (!PyCallable_Check(maker))
        PyErr_Format(PyExc_TypeError, "%s must be callable, got %.200R", name, maker);
    else
        return 0;
    return -1;
}

static void replace(PyObject **slot, PyObject *value)
{
    PyObject *before = *slot;
    *slot = Py_XNewRef(value);
    Py_XDECREF(before);
}

PyObject *py_kind_configure(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *kwnames)
{
    static const char *const names[] = {"kind", "make_value", "make_error"};
    static const struct py_params params = {"configure", names, 3, 1, 1};
    PyObject *given[3];
    if (py_args_parse(&params, args, nargs, kwnames, given) < 0)
        return NULL;
    if (given[1] == Py_None)
        given[1] = NULL;
    int kind = kind_named(given[0]);
    if (kind < 0 || check_maker(kind, given[1], names[1], kinds[kind].has_value) < 0 ||
        check_maker(kind, given[2], names[2], true) < 0)
        return NULL;
    struct py_makers *makers = &py_state_of_module(module)->makers[kind];
    replace(&makers->value, given[1]);
    replace(&makers->error, given[2]);
    Py_RETURN_NONE;
}

int py_kind_check(const struct py_state *state, enum py_kind kind)
{
    if (state->makers[kind].error)
        return 0;
    PyErr_Format(PyExc_RuntimeError, "configure() was not called for '%s'", kinds[kind].name);
    return -1;
}

PyObject *py_kind_make_error(struct py_state *state, enum py_kind kind, PyObject *what,
                             PyObject *why)
{
    if (py_kind_check(state, kind) < 0)
        return NULL;
    PyObject *made = PyObject_CallFunctionObjArgs(state->makers[kind].error, what, why, NULL);
    if (!made || py_is_exception(made))
        return made;
    PyErr_Format(PyExc_TypeError,
                 "make_error of '%s' must return an exception instance, got %.200R",
                 kinds[kind].name, made);
    Py_DECREF(made);
    return NULL;
}
