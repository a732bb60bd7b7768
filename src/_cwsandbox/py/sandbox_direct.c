/* SandboxCore's direct way, and Refusals. */
#include "base/clock.h"
#include "py/args.h"
#include "py/channel.h"
#include "py/queue.h"
#include "py/sandbox_private.h"

/* Whether the only way that operations may go is none any more. */
static bool is_way_closed(const struct py_sandbox *self)
{
    if (self->hold_ns == CWS_NO_DEADLINE)
        return false;
    if (cws_clock_now_ns() >= self->hold_ns)
        return true;
    return self->only_way && cws_channel_is_refused(py_channel_of(self->state, self->only_way));
}

struct cws_sandbox *py_sandbox_for_operation(struct py_sandbox *self)
{
    struct cws_sandbox *core = py_sandbox_core(self);
    if (!core || !self->is_open || !is_way_closed(self))
        return core;
    if (cws_sandbox_hold(core) != CWS_OK)
        return (struct cws_sandbox *)PyErr_NoMemory();
    self->is_open = false;
    return core;
}

PyObject *py_sandbox_set_direct(PyObject *object, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *kwnames)
{
    static const char *const names[] = {"channel", "permissions", "seconds", "strict"};
    static const struct py_params params = {"set_direct", names, 4, 4, 4};
    struct py_sandbox *self = (struct py_sandbox *)object;
    PyObject *given[4];
    double seconds;
    struct cws_direct direct = {0};
    struct cws_sandbox *core = py_sandbox_core(self);
    if (!core || py_args_parse(&params, args, nargs, kwnames, given) < 0 ||
        py_arg_seconds(given[2], "seconds", false, &seconds) < 0)
        return NULL;
    unsigned long permissions = PyLong_AsUnsignedLong(given[1]);
    int strict = PyErr_Occurred() ? -1 : PyObject_IsTrue(given[3]);
    if (strict < 0)
        return NULL;
    if (given[0] != Py_None && !(direct.channel = py_channel_of(self->state, given[0])))
        return NULL;
    direct.permissions = (unsigned)permissions;
    direct.until_ns = seconds < 0 ? CWS_NO_DEADLINE : cws_clock_deadline_ns(seconds);
    direct.strict = strict;
    if (cws_sandbox_set_direct(core, &direct) != CWS_OK)
        return PyErr_NoMemory();
    PyObject *before = self->only_way;
    self->only_way = strict && direct.channel ? Py_NewRef(given[0]) : NULL;
    self->hold_ns = strict ? direct.until_ns : CWS_NO_DEADLINE;
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

/* ---- Refusals ------------------------------------------------------------------------------- */

static PyObject *refusals_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    struct py_state *state = py_state_of_type(type);
    return state ? py_queue_new(type, args, kwargs, "Refusals", state, &state->refusals) : NULL;
}

/* A new reference to the object of a sandbox, whose operations wait from now on until its way is
 * open. NULL where nobody can open one: what was refused fails. Without memory for either, nothing
 * is lost: the operations that begin are refused as well, and nobody has those that wait. */
static PyObject *object_of(struct cws_sandbox *core)
{
    struct py_sandbox *owner = core->owner;
    if (!owner || !owner->on_refused) {
        (void)!cws_sandbox_end_refused(core);
        return NULL;
    }
    if (owner->is_open && is_way_closed(owner) && cws_sandbox_hold(core) == CWS_OK)
        owner->is_open = false;
    return Py_NewRef((PyObject *)owner);
}

static enum py_poll poll_refusals(PyObject *subject, struct cws_observer *observer,
                                  struct cws_waiters **out_waiters, PyObject **out_value)
{
    struct py_queue *self = (struct py_queue *)subject;
    if (py_state_check_fork(self->generation, "Refusals") < 0)
        return PY_POLL_ERROR;
    struct cws_sandbox *core;
    while ((core = cws_sandbox_pop_refusal(self->queue, observer)) != NULL) {
        *out_value = object_of(core);
        cws_sandbox_unref(core);
        if (*out_value)
            return PY_POLL_READY;
    }
    if (observer)
        *out_waiters = &self->queue->waiters;
    return PY_POLL_PENDING;
}

static const struct py_waitable next_refusal = {.poll = poll_refusals, .loop = py_queue_no_loop};

static PyObject *refusals_anext(PyObject *object)
{
    return py_awaiter_new(((struct py_queue *)object)->state, object, &next_refusal);
}

static PyType_Slot refusals_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("The sandboxes with operations that their endpoint has refused "
                                  "and that wait for another way,\nas they come: for `async for`, "
                                  "without end. on_refused of each is to be called.")},
    {Py_tp_new, refusals_new},
    {Py_am_aiter, PyObject_SelfIter},
    {Py_am_anext, refusals_anext},
    {Py_tp_dealloc, py_queue_dealloc},
    {0, NULL},
};

PyType_Spec py_refusals_spec = {
    .name = "cwsandbox._cwsandbox.Refusals",
    .basicsize = sizeof(struct py_queue),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = refusals_slots,
};
