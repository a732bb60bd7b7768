#include "py/handmade.h"

PyObject *py_handmade_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *made = NULL;
    PyObject *module = PyImport_ImportModule("cwsandbox._sandbox.handmade");
    PyObject *name = module ? PyType_GetName(type) : NULL;
    PyObject *class = name ? PyObject_GetAttr(module, name) : NULL;
    if (class)
        made = PyObject_Call(class, args, kwargs);
    Py_XDECREF(class);
    Py_XDECREF(name);
    Py_XDECREF(module);
    return made;
}
