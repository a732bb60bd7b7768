/*
 * Objects that are iterated with `async for` over one of the state's queues (io/queue.h), without
 * end. Under the GIL.
 */
#pragma once

#include "io/queue.h"
#include "py/await.h"

struct py_queue {
    PyObject_HEAD
    struct py_state *state;
    struct cws_queue *queue; /* a reference */
    unsigned generation;
};

/* Borrowed: the queue in *slot, made at first use. NULL with MemoryError. */
struct cws_queue *py_queue_in(struct cws_queue **slot);

/* For Py_tp_new: an object over the queue in *slot, which is of `state`. `name` is the type's, for
 * the error about arguments. NULL with an exception set. */
PyObject *py_queue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs, const char *name,
                       struct py_state *state, struct cws_queue **slot);
void py_queue_dealloc(PyObject *object);

/* The `loop` of what waits for a queue: none. It waits for something that may never come, so
 * nothing is served for its sake. */
struct cws_loop *py_queue_no_loop(PyObject *subject);
