#include "py/log.h"

#include "py/args.h"
#include "py/errors.h"
#include "py/kind.h"

struct py_log {
    struct py_operation op; /* core: struct cws_log */
    struct py_home home;
    struct py_stream stream;
};

/* ---- the outcome ---------------------------------------------------------------------------- */

static struct cws_future *log_future(void *core)
{
    return &((struct cws_log *)core)->future;
}

static const char *failure_kind(enum cws_log_end end)
{
    switch (end) {
    case CWS_LOG_FRAME:
        return "frame";
    case CWS_LOG_LOST:
        return "lost";
    case CWS_LOG_NOT_OPEN:
        return "not_open";
    case CWS_LOG_CLOSED:
        return "closed";
    default:
        return "status";
    }
}

static int log_take(struct py_operation *op)
{
    struct py_log *self = (struct py_log *)op;
    const struct cws_log *log = op->core;
    if (log->end == CWS_LOG_CANCELLED) {
        op->cancelled = true;
        return 0;
    }
    if (log->end == CWS_LOG_COMPLETE) {
        op->value = Py_NewRef(Py_None);
        return 0;
    }
    PyObject *error = py_rpc_error_new(
        op->state, failure_kind(log->end), &log->status, log->frame_code,
        py_home_failure(&self->home, log->end == CWS_LOG_CLOSED, log->end == CWS_LOG_NOT_OPEN));
    if (!error)
        return -1;
    op->error = py_kind_make_error(op->state, PY_KIND_LOG, self->home.sandbox, error);
    Py_DECREF(error);
    return op->error ? 0 : -1;
}

static bool log_cancel(struct py_operation *op)
{
    return cws_log_cancel(op->core);
}

/* Nobody can read it any more. */
static void log_release(void *core)
{
    cws_log_cancel(core);
    cws_log_unref(core);
}

static const struct py_source log_source = {
    .future = log_future,
    .take = log_take,
    .cancel = log_cancel,
    .release = log_release,
    .by_io_thread = true,
};

/* A py_failure_fn: a log that was closed has none. */
static int log_failure(struct py_operation *op, PyObject **out_failure)
{
    *out_failure = NULL;
    if (py_operation_settle(op) < 0)
        return -1;
    *out_failure = Py_XNewRef(op->error);
    return 0;
}

static void log_close(const struct py_stream *stream)
{
    cws_output_close(stream->output);
    py_operation_cancel(stream->op);
}

/* What is unread holds the service back, and is never dropped: there are no gaps. */
static const struct py_stream_kind log_stream = {
    .item = &py_item_line,
    .failure = log_failure,
    .close = log_close,
};

/* ---- life ----------------------------------------------------------------------------------- */

PyObject *py_log_reader(struct py_state *state, struct cws_log *log, const struct py_home *home)
{
    PyObject *made = py_operation_alloc(state->log_type, state, PyType_GenericAlloc);
    if (!made) {
        log_release(log);
        return NULL;
    }
    struct py_log *self = (struct py_log *)made;
    py_operation_begin(&self->op, &log_source, log);
    py_home_init(&self->home, home);
    py_stream_init(&self->stream, &log_stream, "log", &self->op, &log->output);
    PyObject *reader = py_reader_of(&self->stream);
    Py_DECREF(made); /* the reader's from now on */
    return reader;
}

static int log_traverse(PyObject *self, visitproc visit, void *arg)
{
    int rc = py_home_traverse(&((struct py_log *)self)->home, visit, arg);
    return rc ? rc : py_operation_traverse(self, visit, arg);
}

static void log_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    py_home_done(&((struct py_log *)self)->home);
    py_operation_dealloc(self);
}

static PyObject *log_repr(PyObject *self)
{
    const struct py_operation *op = (const struct py_operation *)self;
    const struct cws_log *log = op->core;
    const char *state = op->generation != cws_loop_generation() ? "made before fork"
                        : !py_operation_is_done(op)             ? "open"
                                                                : "ended";
    return py_repr(self, "follow=%s state=%s", log->follow ? "True" : "False", state);
}

static PyType_Slot log_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("A sandbox's log. Its reader is what SandboxCore.stream_logs() "
                                  "returns.")},
    {Py_tp_repr, log_repr},
    {Py_tp_traverse, log_traverse},
    {Py_tp_clear, py_operation_clear},
    {Py_tp_alloc, py_refuse_alloc},
    {Py_tp_dealloc, log_dealloc},
    {0, NULL},
};

PyType_Spec py_log_spec = {
    .name = "cwsandbox._cwsandbox.Log",
    .basicsize = sizeof(struct py_log),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = log_slots,
};

/* ---- arguments ------------------------------------------------------------------------------ */

static int take_flag(PyObject *value, bool *out)
{
    int is_true = PyObject_IsTrue(value);
    *out = is_true > 0;
    return is_true < 0 ? -1 : 0;
}

static int take_tail(PyObject *value, int32_t *out)
{
    long lines = PyLong_AsLong(value);
    if (lines == -1 && PyErr_Occurred())
        return -1;
    if (lines < 0 || lines > INT32_MAX) {
        PyErr_Format(PyExc_ValueError, "tail_lines must be at least 0 and at most %d, got %ld",
                     INT32_MAX, lines);
        return -1;
    }
    *out = (int32_t)lines;
    return 0;
}

/* None, or seconds and nanoseconds. */
static int take_since(PyObject *value, struct cws_log_window *window)
{
    long long seconds;
    int nanoseconds;
    window->has_since = value != Py_None;
    window->since = (struct cws_log_time){0};
    if (!window->has_since)
        return 0;
    if (!PyTuple_Check(value)) {
        PyErr_Format(PyExc_TypeError, "since must be a tuple, got %.200R", value);
        return -1;
    }
    if (!PyArg_ParseTuple(value, "Li", &seconds, &nanoseconds))
        return -1;
    window->since = (struct cws_log_time){seconds, nanoseconds};
    return 0;
}

int py_log_options(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                   struct cws_log_options *out_options)
{
    static const char *const names[] = {"follow",     "tail_lines", "since",
                                        "timestamps", "timeout",    "container"};
    static const struct py_params params = {"stream_logs", names, 6, 6, 4};
    PyObject *given[6];
    struct cws_log_window *window = &out_options->window;
    if (py_args_parse(&params, args, nargs, kwnames, given) < 0 ||
        take_flag(given[0], &out_options->follow) < 0 ||
        take_tail(given[1], &window->tail_lines) < 0 || take_since(given[2], window) < 0 ||
        take_flag(given[3], &window->timestamps) < 0 ||
        py_arg_seconds(given[4], "timeout", false, &out_options->timeout_s) < 0)
        return -1;
    out_options->container = given[5] ? py_arg_text(given[5], "container", NULL) : "";
    return out_options->container ? 0 : -1;
}
