#include "py/home.h"

void py_home_init(struct py_home *home, const struct py_home *from)
{
    *home = *from;
    Py_INCREF(home->sandbox);
    Py_INCREF(home->failures);
    Py_XINCREF(home->purpose);
}

void py_home_done(struct py_home *home)
{
    Py_CLEAR(home->sandbox);
    Py_CLEAR(home->failures);
    Py_CLEAR(home->purpose);
}

int py_home_traverse(const struct py_home *home, visitproc visit, void *arg)
{
    Py_VISIT(home->sandbox);
    Py_VISIT(home->failures);
    Py_VISIT(home->purpose);
    return 0;
}

PyObject *py_home_failure(const struct py_home *home, bool was_closed, bool was_not_open)
{
    if (was_closed)
        return home->closed_by(home->sandbox);
    return was_not_open && PyList_Size(home->failures) > 0 ? PyList_GetItem(home->failures, 0)
                                                           : NULL;
}
