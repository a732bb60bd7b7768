/* Process: a running command. It is an operation whose value is made by the Python layer. Called
 * with the GIL held. */
#pragma once

#include "py/command.h"
#include "py/reader.h"
#include "py/writer.h"

enum { PY_STDOUT, PY_STDERR };

struct py_process {
    struct py_command base;
    PyObject *output; /* Output, once asked for */
    struct py_stream streams[2];
    /* A writer must not keep the command's output. So writers hold a second object, the stand-in,
     * which tells them about the command and is not a keeper of its output. */
    struct py_process *stand_in; /* for its writers; NULL before the first one */
    struct py_process
        *principal; /* borrowed: a stand-in's Process; NULL: gone, or this is not a stand-in */
    struct py_input input; /* used by a stand-in */
};

extern PyType_Spec py_process_spec;

/* As py_command_new. If its home has a purpose, the command is a helper, a part of something
 * else: its kind is PY_KIND_HELPER, its readers raise whatever its makers make of its end, also of
 * its exit code, and it ends when it is dropped or one of its readers is closed. */
PyObject *py_process_new(struct py_state *state, struct cws_exec *exec, const struct py_home *home,
                         PyObject *words);
