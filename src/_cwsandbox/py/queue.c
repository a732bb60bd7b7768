#include "py/queue.h"

#include "py/args.h"

struct cws_queue *py_queue_in(struct cws_queue **slot)
{
    if (!*slot) {
        *slot = cws_queue_new();
        if (!*slot)
            PyErr_NoMemory();
    }
    return *slot;
}

PyObject *py_queue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs, const char *name,
                       struct py_state *state, struct cws_queue **slot)
{
    const struct py_params params = {name, NULL, 0, 0, 0};
    if (py_args_parse_call(&params, args, kwargs, NULL) < 0)
        return NULL;
    struct cws_queue *queue = py_queue_in(slot);
    if (!queue)
        return NULL;
    struct py_queue *self = (struct py_queue *)PyType_GenericAlloc(type, 0);
    if (!self)
        return NULL;
    self->state = py_state_ref(state);
    cws_queue_ref(queue);
    self->queue = queue;
    self->generation = cws_loop_generation();
    return (PyObject *)self;
}

void py_queue_dealloc(PyObject *object)
{
    struct py_queue *self = (struct py_queue *)object;
    if (self->generation == cws_loop_generation())
        cws_queue_unref(self->queue);
    py_state_unref(self->state);
    py_object_free(object);
}

struct cws_loop *py_queue_no_loop(PyObject *Py_UNUSED(subject))
{
    return NULL;
}
