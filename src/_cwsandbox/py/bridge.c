#include "py/bridge.h"

#include <unistd.h>

#include "io/guest.h"

/* ---- letters -------------------------------------------------------------------------------- */

/* On the thread that made the change, under the lock of the letter's waiters. */
static void post(struct cws_observer *observer)
{
    struct cws_letter *letter = cws_container_of(observer, struct cws_letter, observer);
    cws_container_of(letter, struct py_letter, letter)->posted = true;
    cws_mailbox_put(letter->mailbox, letter);
}

void py_letter_init(struct py_letter *letter, struct py_bridge *bridge, PyObject *owner,
                    int (*wake)(PyObject *owner, bool directly))
{
    assert(!letter->posted);
    cws_letter_init(&letter->letter, bridge->mailbox);
    letter->letter.observer.notify = post;
    cws_list_init(&letter->held);
    letter->bridge = bridge;
    letter->owner = owner;
    letter->wake = wake;
    letter->given_up = false;
}

void py_letter_hold(struct py_letter *letter)
{
    Py_INCREF(letter->owner);
    cws_list_push_back(&letter->bridge->held, &letter->held);
}

/* The letter may be gone after this. */
static void let_go(struct py_letter *letter)
{
    cws_list_remove(&letter->held);
    Py_DECREF(letter->owner);
}

void py_letter_give_up(struct py_letter *letter)
{
    letter->given_up = true;
    if (letter->bridge->generation == cws_loop_generation()) {
        cws_waiters_remove(letter->waiters, &letter->letter.observer);
        if (letter->posted) /* whoever takes it out lets go of the owner */
            return;
    } /* else the letter is the parent's, and a lock of its list may be held for ever */
    let_go(letter);
}

void py_bridge_rely_begin(struct py_bridge *bridge, struct cws_loop *loop)
{
    if (bridge->relying++ == 0) {
        bridge->relied = loop;
        cws_loop_rely_begin(loop);
    }
    assert(bridge->relied == loop);
}

void py_bridge_rely_end(struct py_bridge *bridge)
{
    if (--bridge->relying == 0)
        cws_loop_rely_end(bridge->relied);
}

/* ---- draining ------------------------------------------------------------------------------- */

static struct py_letter *letter_of(struct cws_letter *letter)
{
    return cws_container_of(letter, struct py_letter, letter);
}

/* Takes the letters from the mailbox. The eventfd in use is then `next_fd`, and the other one is no
 * longer written. */
static void collect(struct py_bridge *bridge, int next_fd)
{
    bridge->fd = next_fd;
    struct cws_letter *letter = cws_mailbox_take(bridge->mailbox, next_fd);
    if (!letter)
        return;
    if (bridge->last)
        bridge->last->node.next = &letter->node;
    else
        bridge->first = letter;
    for (; letter; letter = cws_letter_next(letter)) {
        bridge->last = letter;
        bridge->count++;
        /* Taken from the list once more, to know that the posting thread is through with letter
         * and mailbox. Who has given it up has done so. */
        if (!letter_of(letter)->given_up)
            cws_waiters_remove(letter_of(letter)->waiters, &letter->observer);
    }
}

static struct py_letter *take_first(struct py_bridge *bridge)
{
    struct py_letter *letter = letter_of(bridge->first);
    bridge->first = cws_letter_next(bridge->first);
    if (!bridge->first)
        bridge->last = NULL;
    bridge->count--;
    return letter;
}

/* -1 with an exception that ends the loop. */
static int deliver(struct py_letter *letter, bool directly)
{
    letter->posted = false;
    cws_list_remove(&letter->held);
    PyObject *owner = letter->owner; /* with the bridge's reference */
    int rc = letter->given_up ? 0 : letter->wake(owner, directly);
    Py_DECREF(owner);
    return rc;
}

/*
 * Steps the tasks whose letters are queued at the start, so that the loop's other callbacks get
 * their turn, too. While more letters are queued, the eventfd in use stays readable: for a loop
 * that runs inside a task's step, or for the next iteration if an exception ends this one.
 */
static int deliver_all(struct py_bridge *bridge)
{
    bool woken = bridge->count > 1;
    if (woken)
        cws_mailbox_wake(bridge->mailbox);
    for (size_t left = bridge->count; left && bridge->first; left--) {
        struct py_letter *letter = take_first(bridge);
        if (woken && !bridge->first)
            cws_mailbox_quiet(bridge->mailbox, bridge->fd);
        if (deliver(letter, true) < 0)
            return -1;
        if (bridge->generation != cws_loop_generation())
            break; /* the step has forked, and this is the child: the rest belongs to the parent */
    }
    return 0;
}

/* In debug mode each wake-up is a callback of its own: the loop says which task was slow. */
static bool is_debugging(const struct py_bridge *bridge, PyObject *loop)
{
    PyObject *name = py_state_name(&bridge->state->name_get_debug, "get_debug");
    PyObject *debug = name ? PyObject_CallMethodObjArgs(loop, name, NULL) : NULL;
    int is = debug ? PyObject_IsTrue(debug) : -1;
    if (is < 0)
        PyErr_Clear();
    Py_XDECREF(debug);
    return is != 0;
}

/* loop.call_soon(bridge.deliver) */
static int deliver_soon(struct py_bridge *bridge, PyObject *loop)
{
    if (bridge->is_scheduled)
        return 0;
    PyObject *callback = PyObject_GetAttrString((PyObject *)bridge, "deliver");
    PyObject *handle = callback ? PyObject_CallMethod(loop, "call_soon", "O", callback) : NULL;
    bridge->is_scheduled = handle != NULL;
    Py_XDECREF(callback);
    Py_XDECREF(handle);
    return handle ? 0 : -1;
}

/* Each task by a callback of its own. */
static int deliver_each_soon(struct py_bridge *bridge)
{
    int rc = 0;
    while (rc == 0 && bridge->first)
        rc = deliver(take_first(bridge), false);
    return rc;
}

static int deliver_here(struct py_bridge *bridge)
{
    bridge->is_stepping = true;
    int rc = deliver_all(bridge);
    bridge->is_stepping = false;
    return rc;
}

/*
 * The eventfd `fd` was readable. While tasks are stepped in its callback the other one is in use: a
 * loop may run inside of a step (nest_asyncio, Qt's dialogs), and asyncio does not call a callback
 * again that is being called. With such a loop nothing is stepped in these callbacks.
 */
static int drain(struct py_bridge *bridge, PyObject *loop, int fd)
{
    int rc = 0;
    bridge->is_nested |= bridge->is_stepping;
    collect(bridge, bridge->is_nested ? bridge->fd : !fd);
    if (bridge->first && bridge->is_nested)
        rc = deliver_soon(bridge, loop);
    if (rc < 0)
        return -1; /* still readable: it is tried again */
    cws_mailbox_quiet(bridge->mailbox, fd);
    if (bridge->first && !bridge->is_nested)
        rc = is_debugging(bridge, loop) ? deliver_each_soon(bridge) : deliver_here(bridge);
    return rc;
}

/* ---- the bridge ----------------------------------------------------------------------------- */

static PyObject *bridge_drain(PyObject *self, PyObject *which)
{
    struct py_bridge *bridge = (struct py_bridge *)self;
    int rc = 0;
    PyObject *loop = py_bridge_loop(bridge);
    if (loop && bridge->generation == cws_loop_generation())
        rc = drain(bridge, loop, which == Py_True);
    Py_XDECREF(loop);
    if (rc < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *bridge_deliver(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct py_bridge *bridge = (struct py_bridge *)self;
    bridge->is_scheduled = false;
    if (bridge->generation == cws_loop_generation() && deliver_all(bridge) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static int bridge_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct py_bridge *bridge = (struct py_bridge *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(bridge->loop_ref);
    for (struct cws_list *node = bridge->held.next; node != &bridge->held; node = node->next)
        Py_VISIT(cws_list_entry(node, struct py_letter, held)->owner);
    return 0;
}

/* Whoever waits holds the bridge, so where this one is garbage they are, too: what they do when
 * they are cleared ends their part in the cycle. */
static int bridge_clear(PyObject *self)
{
    Py_CLEAR(((struct py_bridge *)self)->loop_ref);
    return 0;
}

static void close_mailbox(struct py_bridge *bridge)
{
    if (bridge->generation == cws_loop_generation()) {
        cws_mailbox_free(bridge->mailbox);
        return;
    }
    /* This process's copies; the memory is left as fork() found it. */
    for (int fd = 0; fd < CWS_MAILBOX_FDS; fd++)
        close(cws_mailbox_fd(bridge->mailbox, fd));
}

/* Nobody waits any more: what is left are letters that were given up after they were posted. */
static void drop_all(struct py_bridge *bridge)
{
    if (bridge->mailbox && bridge->generation == cws_loop_generation())
        collect(bridge, bridge->fd);
    while (!cws_list_is_empty(&bridge->held))
        let_go(cws_list_entry(bridge->held.next, struct py_letter, held));
}

static void bridge_dealloc(PyObject *self)
{
    struct py_bridge *bridge = (struct py_bridge *)self;
    PyObject_GC_UnTrack(self);
    bridge_clear(self);
    cws_list_remove(&bridge->node);
    bridge->state->live_bridges--;
    drop_all(bridge);
    if (bridge->mailbox)
        close_mailbox(bridge);
    py_state_unref(bridge->state);
    py_object_free(self);
}

/* Has `loop` watch one eventfd of `bridge`. */
static int watch(PyObject *loop, struct py_bridge *bridge, int fd)
{
    PyObject *callback = PyObject_GetAttrString((PyObject *)bridge, "drain");
    PyObject *done = callback ? PyObject_CallMethod(loop, "add_reader", "iOO",
                                                    cws_mailbox_fd(bridge->mailbox, fd), callback,
                                                    fd ? Py_True : Py_False)
                              : NULL;
    Py_XDECREF(callback);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static void unwatch(PyObject *loop, struct py_bridge *bridge, int fd)
{
    PyObject *done =
        PyObject_CallMethod(loop, "remove_reader", "i", cws_mailbox_fd(bridge->mailbox, fd));
    if (!done)
        PyErr_Clear();
    Py_XDECREF(done);
}

/* An exception is set, which stays: the bridge could not be built. */
static void tear_down(PyObject *loop, struct py_bridge *bridge)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    unwatch(loop, bridge, 0);
    PyErr_Restore(type, value, traceback);
}

static struct py_bridge *bridge_new(struct py_state *state, PyObject *loop)
{
    struct py_bridge *bridge = (struct py_bridge *)PyType_GenericAlloc(state->bridge_type, 0);
    if (!bridge)
        return NULL;
    struct cws_error err;
    bridge->state = py_state_ref(state);
    state->live_bridges++;
    bridge->generation = cws_loop_generation();
    bridge->loop_id = loop;
    cws_list_init(&bridge->held);
    cws_list_push_front(&state->bridges, &bridge->node);
    bridge->loop_ref = PyWeakref_NewRef(loop, NULL);
    if (!bridge->loop_ref)
        goto fail;
    if (cws_mailbox_new(&bridge->mailbox, &err) != CWS_OK) {
        PyErr_SetString(err.status == CWS_NO_MEMORY ? PyExc_MemoryError : PyExc_OSError, err.text);
        goto fail;
    }
    if (watch(loop, bridge, 0) < 0 || watch(loop, bridge, 1) < 0) {
        tear_down(loop, bridge);
        goto fail;
    }
    return bridge;
fail:
    Py_DECREF(bridge);
    return NULL;
}

PyObject *py_bridge_loop(const struct py_bridge *bridge)
{
    return bridge->loop_ref ? py_weakref_target(bridge->loop_ref) : NULL;
}

static bool is_bridge_of(const struct py_bridge *bridge, PyObject *loop)
{
    /* A loop may have the address of one that is gone, and that of the parent's has a bridge of the
     * parent's. */
    if (bridge->loop_id != loop || bridge->generation != cws_loop_generation())
        return false;
    PyObject *alive = py_bridge_loop(bridge);
    Py_XDECREF(alive);
    return alive == loop;
}

/* The one used last comes first. */
static struct py_bridge *bridge_of(struct py_state *state, PyObject *loop)
{
    for (struct cws_list *node = state->bridges.next; node != &state->bridges; node = node->next) {
        struct py_bridge *bridge = cws_list_entry(node, struct py_bridge, node);
        if (!is_bridge_of(bridge, loop))
            continue;
        if (node != state->bridges.next) {
            cws_list_remove(node);
            cws_list_push_front(&state->bridges, node);
        }
        return (struct py_bridge *)Py_NewRef((PyObject *)bridge);
    }
    return bridge_new(state, loop);
}

/* Replaces asyncio's message, which does not help a user of another kind of loop. */
static void raise_no_loop(void)
{
    if (!PyErr_ExceptionMatches(PyExc_RuntimeError))
        return;
    PyErr_Clear();
    PyErr_SetString(PyExc_RuntimeError,
                    "no running event loop: await works in asyncio's and in loops that stand in "
                    "for it, such as uvloop's; elsewhere (in trio, curio or plain threads) call "
                    "the blocking result() or iterate with a plain for, in a worker thread");
}

struct py_bridge *py_bridge_of_running_loop(struct py_state *state)
{
    if (!py_state_import(&state->get_running_loop, "asyncio", "get_running_loop"))
        return NULL;
    PyObject *loop = PyObject_CallNoArgs(state->get_running_loop);
    if (!loop) {
        raise_no_loop();
        return NULL;
    }
    struct py_bridge *bridge = bridge_of(state, loop);
    Py_DECREF(loop);
    return bridge;
}

static PyMethodDef bridge_methods[] = {
    {"drain", bridge_drain, METH_O, NULL},
    {"deliver", bridge_deliver, METH_NOARGS, NULL},
    {NULL},
};

static PyType_Slot bridge_slots[] = {
    {Py_tp_methods, bridge_methods},
    {Py_tp_traverse, bridge_traverse},
    {Py_tp_clear, bridge_clear},
    {Py_tp_dealloc, bridge_dealloc},
    {0, NULL},
};

PyType_Spec py_bridge_spec = {
    .name = "cwsandbox._cwsandbox.Bridge",
    .basicsize = sizeof(struct py_bridge),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = bridge_slots,
};
