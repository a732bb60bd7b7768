/*
 * Tracing of operations by Python code. trace() installs two functions, or none, and then each
 * operation costs a test of a pointer. Called with the GIL held.
 *
 *   begin(kind, subject, detail)  as an operation starts, on the thread that starts it: None, or a
 *                                 pair of the operation's owner, any object, and of the header
 *                                 fields that its calls carry
 *   ended()                       owners can be taken from Ended; called before who asks for an
 *                                 outcome gets it
 *
 * What they raise is reported and goes no further (sys.unraisablehook), unless it is no Exception.
 */
#pragma once

#include "py/state.h"
#include "sandbox/trace.h"

/* For the module's method table, METH_VARARGS: (begin, ended), both callable or both None. */
PyObject *py_trace_install(PyObject *module, PyObject *args);

/* What an operation is to begin(). */
struct py_trace_what {
    const char *kind;
    PyObject *subject; /* the SandboxCore or the Channel */
    PyObject *detail;  /* NULL: None */
};

/* For py_trace_begin. */
int py_trace_begin_traced(struct py_state *state, const struct py_trace_what *what,
                          struct cws_trace **out_trace);

/* *out_trace: a new reference for the operation, which py_trace_drop takes back if it does not
 * start; NULL: nobody traces it. 0, or -1 with an exception that is no Exception. */
static inline int py_trace_begin(struct py_state *state, const struct py_trace_what *what,
                                 struct cws_trace **out_trace)
{
    *out_trace = NULL;
    return state->trace_begin ? py_trace_begin_traced(state, what, out_trace) : 0;
}

/* NULL is allowed. */
void py_trace_drop(struct cws_trace *trace);

/* Calls ended(). As py_trace_settle. */
int py_trace_call_ended(struct py_state *state);

/* Somebody asks for an outcome: calls ended() if any trace has ended, also if another thread is
 * about to end its span: ended() waits for that. 0, or -1 with an exception that is no Exception,
 * such as Ctrl-C's. */
static inline int py_trace_settle(struct py_state *state)
{
    bool is_due = state->traces && (cws_queue_has_any(state->traces) || state->traces_taken != 0);
    return is_due ? py_trace_call_ended(state) : 0;
}

/* A new reference: the owner, None without one, or once it was taken. */
PyObject *py_trace_owner(const struct cws_trace *trace);

extern PyType_Spec py_ended_spec;
