#include "py/file.h"

#include "py/args.h"
#include "py/await.h"
#include "py/errors.h"
#include "py/kind.h"
#include "py/queue.h"
#include "py/trace.h"
#include "sandbox/file.h"

/* Content up to this size is copied. Larger content moves into the bytes object's memory. */
enum { MOVE_FROM = 64 * 1024 };

struct py_file {
    struct py_operation op; /* core: struct cws_file */
    struct py_home home;
    PyObject *path;
    PyObject *container;
    PyObject *on_cancel; /* while Python code completes it: called if it is cancelled */
    Py_buffer content;   /* write; content.obj is NULL once it is released */
    bool is_taken;       /* Python code completes it */
    bool is_left;        /* made for a write that was dropped, and UnfinishedFiles holds it */
};

static struct cws_file *core_of(const struct py_file *file)
{
    return file->op.core;
}

static void release_content(struct py_file *file)
{
    if (file->content.obj)
        PyBuffer_Release(&file->content);
}

/* ---- the outcome ---------------------------------------------------------------------------- */

static struct cws_future *file_future(void *core)
{
    return &((struct cws_file *)core)->future;
}

static PyObject *content_of(struct cws_file *core)
{
    size_t size = cws_output_size(&core->content);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (!bytes)
        return NULL;
    uint8_t *to = (uint8_t *)PyBytes_AsString(bytes);
    if (size < MOVE_FROM)
        cws_output_copy(&core->content, to, size);
    else if (cws_output_move(&core->content, to) != CWS_OK)
        return PyErr_NoMemory(); /* the bytes object must never be freed */
    cws_output_discard(&core->content);
    return bytes;
}

static PyObject *new_rpc_error(const struct py_file *file)
{
    const struct cws_file *core = core_of(file);
    const char *kind = core->end == CWS_FILE_CLOSED     ? "closed"
                       : core->end == CWS_FILE_NOT_OPEN ? "not_open"
                                                        : "status";
    return py_rpc_error_new(
        file->op.state, kind, &core->status, NULL,
        py_home_failure(&file->home, core->end == CWS_FILE_CLOSED, core->end == CWS_FILE_NOT_OPEN));
}

static int take_failure(struct py_file *file)
{
    PyObject *error = new_rpc_error(file);
    if (!error)
        return -1;
    file->op.error = py_kind_make_error(file->op.state, PY_KIND_FILE, (PyObject *)file, error);
    Py_DECREF(error);
    return file->op.error ? 0 : -1;
}

static int file_take(struct py_operation *op)
{
    struct py_file *file = (struct py_file *)op;
    struct cws_file *core = op->core;
    int rc = 0;
    if (core->end == CWS_FILE_CANCELLED)
        op->cancelled = true;
    else if (core->end != CWS_FILE_DONE)
        rc = take_failure(file);
    else
        op->value = core->is_write ? Py_NewRef(Py_None) : content_of(core);
    if (rc < 0 || !(op->value || op->error || op->cancelled))
        return -1;
    release_content(file);
    return 0;
}

/* For an operation that Python code completes: `error` is NULL if it did not fail. */
static void end_trace(struct cws_trace *trace, PyObject *error, bool is_cancelled)
{
    PyObject *name = error ? PyType_GetName(Py_TYPE(error)) : NULL;
    cws_trace_end(trace, &(struct cws_trace_end){
                             .how = error          ? "failed"
                                    : is_cancelled ? "cancelled"
                                                   : "done",
                             .reason = name ? (char *)PyUnicode_AsUTF8AndSize(name, NULL) : NULL,
                         });
    PyErr_Clear(); /* of a name that is no text */
    Py_XDECREF(name);
}

/* Python code completes it: ends it with one of the two (stolen references), or as cancelled,
 * unless it has ended. */
static bool complete(struct py_file *file, PyObject *value, PyObject *error)
{
    struct py_operation *op = &file->op;
    if (py_operation_is_done(op)) {
        Py_XDECREF(value);
        Py_XDECREF(error);
        return false;
    }
    bool is_cancelled = !value && !error;
    if (core_of(file)->trace)
        end_trace(core_of(file)->trace, error, is_cancelled);
    op->value = value;
    op->error = error;
    op->cancelled = is_cancelled;
    cws_file_finish(op->core);
    release_content(file);
    return true;
}

static bool file_cancel(struct py_operation *op)
{
    struct py_file *file = (struct py_file *)op;
    if (!file->is_taken)
        return cws_file_cancel(op->core);
    PyObject *on_cancel = file->on_cancel;
    file->on_cancel = NULL;
    complete(file, NULL, NULL);
    PyObject *done = on_cancel ? PyObject_CallNoArgs(on_cancel) : NULL;
    if (on_cancel && !done)
        PyErr_WriteUnraisable(on_cancel);
    Py_XDECREF(done);
    Py_XDECREF(on_cancel);
    return true;
}

static void file_release(void *core)
{
    cws_file_unref(core);
}

static const struct py_source file_source = {
    .future = file_future,
    .take = file_take,
    .cancel = file_cancel,
    .release = file_release,
    .by_io_thread = true,
};

/* ---- life ----------------------------------------------------------------------------------- */

/* Takes over the reference to `core`, also on failure. NULL with an exception set. */
static struct py_file *file_make(struct py_state *state, struct cws_file *core,
                                 const struct py_home *home, PyObject *path, PyObject *container)
{
    PyObject *made = py_operation_alloc(state->file_type, state, PyType_GenericAlloc);
    if (!made) {
        cws_file_unref(core);
        return NULL;
    }
    struct py_file *file = (struct py_file *)made;
    py_operation_begin(&file->op, &file_source, core);
    core->owner = file;
    py_home_init(&file->home, home);
    file->path = Py_NewRef(path);
    file->container = Py_XNewRef(container);
    return file;
}

/* A write that is being dropped before its end goes on, in another object. If that cannot be made,
 * the content is never freed: it may be in use. */
static void leave_write(struct py_file *file)
{
    struct cws_file *core = core_of(file);
    cws_file_ref(core);
    struct py_file *left =
        file_make(file->op.state, core, &file->home, file->path, file->container);
    if (!left) {
        PyErr_WriteUnraisable(NULL);
        return;
    }
    left->content = file->content;
    left->is_left = true; /* UnfinishedFiles takes this reference over */
    cws_file_leave(core);
}

/* What was made before fork() stays as it is. */
static void let_go(struct py_file *file)
{
    struct cws_file *core = core_of(file);
    if (file->op.generation != cws_loop_generation())
        return;
    core->owner = NULL;
    if (py_operation_is_done(&file->op)) {
        release_content(file);
        return;
    }
    if (file->is_taken) /* by a coroutine that did not get to its end */
        complete(file, NULL, NULL);
    else if (!core->is_write)
        cws_file_cancel(core);
    else if (!file->op.state->stopped)
        leave_write(file);
}

static int file_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct py_file *file = (struct py_file *)self;
    Py_VISIT(file->on_cancel);
    Py_VISIT(file->content.obj);
    int rc = py_home_traverse(&file->home, visit, arg);
    return rc ? rc : py_operation_traverse(self, visit, arg);
}

static int file_clear(PyObject *self)
{
    Py_CLEAR(((struct py_file *)self)->on_cancel);
    return py_operation_clear(self);
}

static void file_dealloc(PyObject *self)
{
    struct py_file *file = (struct py_file *)self;
    PyObject_GC_UnTrack(self);
    if (file->op.source) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        let_go(file);
        PyErr_Restore(type, value, traceback);
    }
    py_home_done(&file->home);
    Py_CLEAR(file->path);
    Py_CLEAR(file->container);
    Py_CLEAR(file->on_cancel);
    py_operation_dealloc(self);
}

/* ---- the start ------------------------------------------------------------------------------ */

/* `given`: path, timeout, container. Takes the content over, also on failure; `content` NULL: a
 * read. */
static PyObject *start(struct py_state *state, struct cws_sandbox *core, const struct py_home *home,
                       PyObject *const given[3], Py_buffer *content)
{
    struct cws_file_options options = {
        .is_write = content != NULL,
        .path = py_arg_text(given[0], "path", NULL),
        .container = given[2] ? py_arg_text(given[2], "container", NULL) : "",
        .content = content ? content->buf : NULL,
        .content_len = content ? (size_t)content->len : 0,
        .unfinished = py_queue_in(&state->unfinished_files),
    };
    struct cws_file *file = NULL;
    const struct py_trace_what what = {
        .kind = content ? "write_file" : "read_file",
        .subject = home->sandbox,
        .detail = given[0],
    };
    if (options.path && options.container && options.unfinished &&
        py_arg_seconds(given[1], "timeout", false, &options.timeout_s) == 0 &&
        py_trace_begin(state, &what, &options.trace) == 0 &&
        cws_file_start(core, &options, &file) != CWS_OK) {
        py_trace_drop(options.trace);
        PyErr_NoMemory();
    }
    struct py_file *made = file ? file_make(state, file, home, given[0], given[2]) : NULL;
    if (made && content)
        made->content = *content;
    else if (content && !file)
        PyBuffer_Release(
            content); /* else a write has begun that nobody knows of: its content stays */
    return (PyObject *)made;
}

PyObject *py_file_read(struct py_state *state, struct cws_sandbox *core, const struct py_home *home,
                       PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"path", "timeout", "container"};
    static const struct py_params params = {"read_file", names, 3, 3, 1};
    PyObject *given[3];
    if (py_args_parse(&params, args, nargs, kwnames, given) < 0)
        return NULL;
    return start(state, core, home, given, NULL);
}

PyObject *py_file_write(struct py_state *state, struct cws_sandbox *core,
                        const struct py_home *home, PyObject *const *args, Py_ssize_t nargs,
                        PyObject *kwnames)
{
    static const char *const names[] = {"path", "contents", "timeout", "container"};
    static const struct py_params params = {"write_file", names, 4, 4, 2};
    PyObject *given[4];
    Py_buffer content;
    if (py_args_parse(&params, args, nargs, kwnames, given) < 0)
        return NULL;
    if (!PyObject_CheckBuffer(given[1])) {
        py_arg_refuse_secret("contents", "bytes, bytearray or memoryview", given[1]);
        return NULL;
    }
    if (PyObject_GetBuffer(given[1], &content, PyBUF_SIMPLE) < 0)
        return NULL;
    return start(state, core, home, (PyObject *[]){given[0], given[2], given[3]}, &content);
}

/* ---- for the Python code that completes it -------------------------------------------------- */

static PyObject *file_set_result(PyObject *self, PyObject *value)
{
    struct py_file *file = (struct py_file *)self;
    if (py_operation_check(&file->op) < 0)
        return NULL;
    return PyBool_FromLong(file->is_taken && complete(file, Py_NewRef(value), NULL));
}

static PyObject *file_set_exception(PyObject *self, PyObject *exception)
{
    struct py_file *file = (struct py_file *)self;
    if (py_operation_check(&file->op) < 0)
        return NULL;
    if (py_arg_exception(exception, "exception") < 0)
        return NULL;
    return PyBool_FromLong(file->is_taken && complete(file, NULL, Py_NewRef(exception)));
}

static PyObject *file_when_cancelled(PyObject *self, PyObject *callback)
{
    struct py_file *file = (struct py_file *)self;
    PyObject *before = file->on_cancel;
    file->on_cancel = Py_NewRef(callback);
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

static PyObject *file_failure(PyObject *self, void *Py_UNUSED(closure))
{
    const struct py_file *file = (const struct py_file *)self;
    if (!file->is_taken)
        Py_RETURN_NONE;
    return new_rpc_error(file);
}

static PyObject *file_contents(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *contents = ((struct py_file *)self)->content.obj;
    return Py_NewRef(contents ? contents : Py_None);
}

static PyObject *file_is_write(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(core_of((struct py_file *)self)->is_write);
}

static PyObject *file_timeout(PyObject *self, void *Py_UNUSED(closure))
{
    double timeout_s = core_of((struct py_file *)self)->timeout_s;
    if (timeout_s < 0)
        Py_RETURN_NONE;
    return PyFloat_FromDouble(timeout_s);
}

static PyObject *file_time_left(PyObject *self, void *Py_UNUSED(closure))
{
    const struct py_file *file = (struct py_file *)self;
    uint64_t deadline_ns = file->is_taken ? core_of(file)->deadline_ns : CWS_NO_DEADLINE;
    if (deadline_ns == CWS_NO_DEADLINE)
        Py_RETURN_NONE;
    uint64_t now_ns = cws_clock_now_ns();
    return PyFloat_FromDouble(deadline_ns > now_ns ? (double)(deadline_ns - now_ns) / 1e9 : 0.0);
}

static PyObject *file_path(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(((struct py_file *)self)->path);
}

static PyObject *file_container(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *container = ((struct py_file *)self)->container;
    return container ? Py_NewRef(container) : PyUnicode_FromString("");
}

static PyObject *file_sandbox(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(((struct py_file *)self)->home.sandbox);
}

static PyObject *file_trace(PyObject *self, void *Py_UNUSED(closure))
{
    return py_trace_owner(core_of((struct py_file *)self)->trace);
}

static PyMethodDef file_methods[] = {
    {"_set_result", file_set_result, METH_O,
     PyDoc_STR("_set_result($self, value, /)\n--\n\nComplete it, after it came out of "
               "UnfinishedFiles. False when it had ended.")},
    {"_set_exception", file_set_exception, METH_O,
     PyDoc_STR("_set_exception($self, exception, /)\n--\n\nFail it, likewise.")},
    {"_when_cancelled", file_when_cancelled, METH_O,
     PyDoc_STR(
         "_when_cancelled($self, callback, /)\n--\n\nCall this, on the cancelling thread, if it "
         "is cancelled before it is completed.")},
    {NULL},
};

static PyGetSetDef file_getset[] = {
    {"_failure", file_failure, NULL,
     PyDoc_STR("The RpcError of the call that was not enough; None where it has not ended so."),
     NULL},
    {"_contents", file_contents, NULL, PyDoc_STR("What is written, None for a read."), NULL},
    {"_is_write", file_is_write, NULL, PyDoc_STR("Whether the file is written."), NULL},
    {"_timeout", file_timeout, NULL, PyDoc_STR("The time limit in seconds, None without one."),
     NULL},
    {"_time_left", file_time_left, NULL,
     PyDoc_STR("How much of it is left, once its call has ended; None without one."), NULL},
    {"_path", file_path, NULL, PyDoc_STR("The file's path."), NULL},
    {"_container", file_container, NULL, PyDoc_STR("The container's name, or \"\"."), NULL},
    {"_trace", file_trace, NULL,
     PyDoc_STR("What trace()'s begin gave as its owner; None without one, or once it was taken."),
     NULL},
    {"_sandbox", file_sandbox, NULL, PyDoc_STR("The SandboxCore it was started by."), NULL},
    {NULL},
};

static PyType_Slot file_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("Reading or writing a whole file.")},
    {Py_tp_methods, file_methods},
    {Py_tp_getset, file_getset},
    {Py_tp_traverse, file_traverse},
    {Py_tp_clear, file_clear},
    {Py_tp_alloc, py_refuse_alloc},
    {Py_tp_dealloc, file_dealloc},
    {0, NULL},
};

PyType_Spec py_file_spec = {
    .name = "cwsandbox._cwsandbox.FileOperation",
    .basicsize = sizeof(struct py_file),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = file_slots,
};

/* ---- UnfinishedFiles ------------------------------------------------------------------------ */

static PyObject *unfinished_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    struct py_state *state = py_state_of_type(type);
    return state ? py_queue_new(type, args, kwargs, "UnfinishedFiles", state,
                                &state->unfinished_files)
                 : NULL;
}

/* The object of an operation that was taken from the queue: a new reference. NULL, without an
 * exception, where it is not needed any more. Takes the reference to `core` over. */
static PyObject *object_of(struct cws_file *core, bool is_unfinished)
{
    struct py_file *file = core->owner;
    if (file && !file->is_left)
        Py_INCREF((PyObject *)file);
    if (file)
        file->is_left = false;
    if (file && py_operation_is_done(&file->op))
        Py_CLEAR(file);
    else if (file)
        file->is_taken = is_unfinished;
    cws_file_unref(core);
    return (PyObject *)file;
}

static enum py_poll poll_unfinished(PyObject *subject, struct cws_observer *observer,
                                    struct cws_waiters **out_waiters, PyObject **out_value)
{
    struct py_queue *self = (struct py_queue *)subject;
    if (py_state_check_fork(self->generation, "UnfinishedFiles") < 0)
        return PY_POLL_ERROR;
    struct cws_file *core;
    bool is_unfinished;
    while ((core = cws_file_pop(self->queue, &is_unfinished, observer)) != NULL) {
        *out_value = object_of(core, is_unfinished);
        if (*out_value)
            return PY_POLL_READY;
    }
    if (observer)
        *out_waiters = &self->queue->waiters;
    return PY_POLL_PENDING;
}

static const struct py_waitable next_unfinished = {.poll = poll_unfinished,
                                                   .loop = py_queue_no_loop};

static PyObject *unfinished_anext(PyObject *object)
{
    return py_awaiter_new(((struct py_queue *)object)->state, object, &next_unfinished);
}

static PyType_Slot unfinished_slots[] = {
    {Py_tp_doc,
     (void *)PyDoc_STR("The file operations that Python code has to complete, or to keep until "
                       "they have ended,\nas they come: for `async for`, without end.")},
    {Py_tp_new, unfinished_new},
    {Py_am_aiter, PyObject_SelfIter},
    {Py_am_anext, unfinished_anext},
    {Py_tp_dealloc, py_queue_dealloc},
    {0, NULL},
};

PyType_Spec py_unfinished_spec = {
    .name = "cwsandbox._cwsandbox.UnfinishedFiles",
    .basicsize = sizeof(struct py_queue),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = unfinished_slots,
};
