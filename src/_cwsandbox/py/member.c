#include "py/member.h"

#include "archive/member.h"

PyObject *py_member_small_file(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
    char *place, *name;
    Py_ssize_t name_len;
    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError, "small_file takes 2 arguments, got %zd", nargs);
        return NULL;
    }
    /* Without a length: ValueError for a NUL. */
    if (PyBytes_AsStringAndSize(args[0], &place, NULL) < 0 ||
        PyBytes_AsStringAndSize(args[1], &name, &name_len) < 0)
        return NULL;

    struct cws_member member;
    bool is_read;
    /* Once for all system calls: whoever gives up the GIL may wait long for it. */
    Py_BEGIN_ALLOW_THREADS
    is_read = cws_member_read(&member, place, name, (size_t)name_len);
    Py_END_ALLOW_THREADS
    if (!is_read)
        Py_RETURN_NONE;
    return Py_BuildValue("y#n", (const char *)member.data, (Py_ssize_t)member.len,
                         (Py_ssize_t)member.file_size);
}
