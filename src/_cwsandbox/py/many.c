#include "py/many.h"

#include "base/alloc.h"
#include "py/args.h"
#include "py/operation.h"

struct many;

struct member {
    struct cws_observer observer;
    struct many *many;
    struct py_operation *op;     /* borrowed from `operations` of py_wait_many */
    struct cws_waiters *waiters; /* NULL: was done at the start */
};

struct many {
    struct cws_guest guest;
    PyThread_type_lock lock; /* released when `left` comes to 0 */
    atomic_size_t left;
    size_t count;
    struct member members[];
};

static void count_down(struct cws_observer *observer)
{
    struct many *many = cws_container_of(observer, struct member, observer)->many;
    if (atomic_fetch_sub_explicit(&many->left, 1, memory_order_relaxed) != 1)
        return;
    cws_guest_notify(&many->guest);
    PyThread_release_lock(many->lock);
}

static void many_free(struct many *many)
{
    for (size_t i = 0; i < many->count; i++)
        if (many->members[i].waiters)
            cws_waiters_remove(many->members[i].waiters, &many->members[i].observer);
    cws_guest_rise(&many->guest);
    if (many->lock)
        PyThread_free_lock(many->lock);
    cws_free(many);
}

static struct many *many_new(struct py_state *state, PyObject *operations)
{
    size_t count = (size_t)PyTuple_Size(operations);
    struct many *many = cws_calloc(1, sizeof(*many) + count * sizeof(many->members[0]));
    if (!many)
        return (struct many *)PyErr_NoMemory();
    many->count = count;
    cws_guest_init(&many->guest, state->loop);
    many->lock = py_park_lock_new();
    if (!many->lock) {
        many_free(many);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        many->members[i].op = (struct py_operation *)PyTuple_GetItem(operations, (Py_ssize_t)i);
        many->members[i].many = many;
        many->members[i].observer.notify = count_down;
    }
    return many;
}

/* Registers with all that are not done. One that is done by now counts as if it had notified. */
static int observe_all(struct many *many)
{
    for (size_t i = 0; i < many->count; i++) {
        struct member *member = &many->members[i];
        switch (py_operation_poll_done(member->op, &member->observer, &member->waiters)) {
        case PY_POLL_ERROR:
            return -1;
        case PY_POLL_READY:
            count_down(&member->observer);
            break;
        case PY_POLL_PENDING:
            break;
        }
    }
    return 0;
}

static int check_operations(struct py_state *state, PyObject *operations)
{
    for (Py_ssize_t i = 0; i < PyTuple_Size(operations); i++) {
        PyObject *item = PyTuple_GetItem(operations, i);
        if (!PyObject_TypeCheck(item, state->operation_type)) {
            PyErr_Format(PyExc_TypeError, "operations[%zd] must be an OperationRef, got %R", i,
                         item);
            return -1;
        }
        if (py_operation_check((struct py_operation *)item) < 0)
            return -1;
    }
    return 0;
}

static PyObject *flags(struct many *many)
{
    PyObject *list = PyList_New((Py_ssize_t)many->count);
    for (size_t i = 0; list && i < many->count; i++)
        PyList_SetItem(list, (Py_ssize_t)i,
                       PyBool_FromLong(py_operation_is_done(many->members[i].op)));
    return list;
}

static PyObject *wait_for(struct py_state *state, PyObject *operations, size_t wanted,
                          uint64_t deadline_ns)
{
    struct many *many = many_new(state, operations);
    if (!many)
        return NULL;
    PyObject *result = NULL;
    /* Counting on past 0 is harmless: the step from 1 to 0 comes once, and never if none is
     * wanted. */
    atomic_init(&many->left, wanted);
    if (observe_all(many) < 0)
        goto done;
    /* Python code may complete some of them, for which a thread that runs the loop is not woken. */
    if (wanted && py_park_guest(many->lock, &many->guest, false, deadline_ns) < 0)
        goto done;
    result = flags(many);
done:
    many_free(many);
    return result;
}

PyObject *py_wait_many(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"operations", "count", "timeout"};
    static const struct py_params params = {"wait_many", names, 3, 3, 3};
    PyObject *given[3];
    double timeout_s;
    if (py_args_parse(&params, args, nargs, kwnames, given) < 0)
        return NULL;
    Py_ssize_t count = PyNumber_AsSsize_t(given[1], PyExc_OverflowError);
    if (count == -1 && PyErr_Occurred())
        return NULL;
    if (py_arg_timeout(given[2], &timeout_s) < 0)
        return NULL;
    PyObject *operations = PySequence_Tuple(given[0]);
    if (!operations)
        return NULL;
    PyObject *result = NULL;
    if (count < 0 || count > PyTuple_Size(operations))
        PyErr_Format(PyExc_ValueError,
                     "count is %zd, it must be between 0 and the number of operations, %zd", count,
                     PyTuple_Size(operations));
    else if (check_operations(py_state_of_module(module), operations) == 0)
        result = wait_for(py_state_of_module(module), operations, (size_t)count,
                          py_deadline_ns(timeout_s));
    Py_DECREF(operations);
    return result;
}
