#include "py/sandbox.h"

#include "base/alloc.h"
#include "py/args.h"
#include "py/channel.h"
#include "py/file.h"
#include "py/kind.h"
#include "py/log.h"
#include "py/process.h"
#include "py/queue.h"
#include "py/sandbox_private.h"
#include "py/terminal.h"
#include "py/trace.h"
#include "sandbox/exec_wire.h"

struct cws_sandbox *py_sandbox_core(struct py_sandbox *self)
{
    if (self->core)
        return py_state_check_fork(self->generation, "sandbox") < 0 ? NULL : self->core;
    struct cws_loop *loop = py_state_loop(self->state);
    struct cws_queue *refusals = loop ? py_queue_in(&self->state->refusals) : NULL;
    if (!refusals)
        return NULL;
    if (cws_sandbox_new(loop, &self->core) != CWS_OK) {
        PyErr_NoMemory();
        return NULL;
    }
    cws_queue_ref(refusals);
    self->core->refusals = refusals;
    self->core->owner = self;
    self->generation = cws_loop_generation();
    return self->core;
}

static PyObject *sandbox_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static const struct py_params params = {"SandboxCore", NULL, 0, 0, 0};
    if (py_args_parse_call(&params, args, kwargs, NULL) < 0)
        return NULL;
    struct py_state *state = py_state_of_type(type);
    if (!state)
        return NULL;
    if (py_kind_check(state, PY_KIND_EXEC) < 0)
        return NULL;
    struct py_sandbox *self = (struct py_sandbox *)PyType_GenericAlloc(type, 0);
    if (!self)
        return NULL;
    self->state = py_state_ref(state);
    self->hold_ns = CWS_NO_DEADLINE;
    self->failures = PyList_New(0);
    if (!self->failures)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static int sandbox_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct py_sandbox *self = (struct py_sandbox *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->failures);
    Py_VISIT(self->closed_by);
    Py_VISIT(self->refused_by);
    Py_VISIT(self->id);
    Py_VISIT(self->only_way);
    Py_VISIT(self->on_refused);
    return 0;
}

static int sandbox_clear(PyObject *object)
{
    struct py_sandbox *self = (struct py_sandbox *)object;
    Py_CLEAR(self->closed_by);
    Py_CLEAR(self->refused_by);
    Py_CLEAR(self->on_refused);
    return 0;
}

static void sandbox_dealloc(PyObject *object)
{
    struct py_sandbox *self = (struct py_sandbox *)object;
    PyObject_GC_UnTrack(object);
    bool has_core = self->core && self->generation == cws_loop_generation();
    if (has_core)
        self->core->owner = NULL;
    sandbox_clear(object);
    Py_CLEAR(self->failures);
    Py_CLEAR(self->id);
    Py_CLEAR(self->only_way);
    if (has_core)
        cws_sandbox_unref(self->core);
    py_state_unref(self->state);
    py_object_free(object);
}

/* ---- its state ------------------------------------------------------------------------------ */

static PyObject *sandbox_open(PyObject *object, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames)
{
    static const char *const names[] = {"channel", "sandbox_id"};
    static const struct py_params params = {"open", names, 2, 2, 2};
    struct py_sandbox *self = (struct py_sandbox *)object;
    PyObject *given[2];
    struct cws_sandbox *core = py_sandbox_core(self);
    if (!core || py_args_parse(&params, args, nargs, kwnames, given) < 0)
        return NULL;
    struct cws_channel *channel = py_channel_of(self->state, given[0]);
    const char *id = channel ? py_arg_text(given[1], "sandbox_id", NULL) : NULL;
    if (!id)
        return NULL;
    if (self->closed_by) {
        PyErr_SetString(PyExc_RuntimeError, "the sandbox is closed and cannot be opened again");
        return NULL;
    }
    if (cws_sandbox_open(core, channel, id) != CWS_OK)
        return PyErr_NoMemory();
    PyObject *before = self->id;
    self->id = Py_NewRef(given[1]);
    Py_XDECREF(before);
    self->is_open = true;
    Py_RETURN_NONE;
}

static int check_failure(PyObject *failure, const char *method)
{
    if (py_is_exception(failure))
        return 0;
    PyErr_Format(PyExc_TypeError, "%s() takes an exception instance, got %.200R", method, failure);
    return -1;
}

static PyObject *sandbox_fail(PyObject *object, PyObject *failure)
{
    struct py_sandbox *self = (struct py_sandbox *)object;
    struct cws_sandbox *core = py_sandbox_core(self);
    if (!core || check_failure(failure, "fail") < 0)
        return NULL;
    PyObject *fresh = PyList_New(0);
    if (!fresh)
        return NULL;
    if (PyList_Append(self->failures, failure) < 0) {
        Py_DECREF(fresh);
        return NULL;
    }
    /* Stores the exception before it ends the operations, so that whoever is woken finds it. */
    PyObject *told = self->failures;
    self->failures = fresh;
    self->is_open = false;
    enum cws_status status = cws_sandbox_fail(core);
    Py_DECREF(told);
    if (status != CWS_OK)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *sandbox_evict_refused(PyObject *object, PyObject *failure)
{
    struct py_sandbox *self = (struct py_sandbox *)object;
    struct cws_sandbox *core = py_sandbox_core(self);
    if (!core || check_failure(failure, "evict_refused") < 0)
        return NULL;
    PyObject *before = self->refused_by;
    self->refused_by = Py_NewRef(failure);
    Py_XDECREF(before);
    if (cws_sandbox_evict_refused(core) != CWS_OK)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *sandbox_close(PyObject *object, PyObject *failure)
{
    struct py_sandbox *self = (struct py_sandbox *)object;
    struct cws_sandbox *core = py_sandbox_core(self);
    if (!core || check_failure(failure, "close") < 0)
        return NULL;
    if (!self->closed_by)
        self->closed_by = Py_NewRef(failure);
    if (cws_sandbox_close(core) != CWS_OK)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *sandbox_is_served(PyObject *object, void *Py_UNUSED(closure))
{
    struct py_sandbox *self = (struct py_sandbox *)object;
    bool is_served =
        self->is_open && !self->wants_serving && !atomic_load(&self->core->direct_missed);
    return PyBool_FromLong(is_served || self->closed_by);
}

static PyObject *sandbox_is_open(PyObject *object, void *Py_UNUSED(closure))
{
    struct py_sandbox *self = (struct py_sandbox *)object;
    return PyBool_FromLong(self->is_open && !self->closed_by);
}

static PyObject *sandbox_is_closed(PyObject *object, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((struct py_sandbox *)object)->closed_by != NULL);
}

static PyObject *sandbox_id(PyObject *object, void *Py_UNUSED(closure))
{
    PyObject *id = ((struct py_sandbox *)object)->id;
    return Py_NewRef(id ? id : Py_None);
}

static PyObject *sandbox_stats(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    struct py_sandbox *self = (struct py_sandbox *)object;
    if (!self->core)
        return Py_BuildValue("(iiii)", 0, 0, 0, 0);
    struct cws_sandbox *core = py_sandbox_core(self);
    if (!core)
        return NULL;
    return Py_BuildValue("(llll)", atomic_load(&core->exec_count), atomic_load(&core->completed_ok),
                         atomic_load(&core->completed_nonzero), atomic_load(&core->failures));
}

/* As py_home.closed_by. */
static PyObject *closed_by(PyObject *sandbox)
{
    struct py_sandbox *self = (struct py_sandbox *)sandbox;
    return self->closed_by ? self->closed_by : self->refused_by;
}

/* ---- exec ----------------------------------------------------------------------------------- */

/* More arguments than this take memory from the heap. */
enum { FEW_ARGS = 16 };

/* Points texts[count] at the UTF-8 of the strings, which keep it. */
static int fill_argv(char **texts, PyObject *items, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        texts[i] = (char *)py_arg_item_text(PyTuple_GetItem(items, i), "command", i);
        if (!texts[i])
            return -1;
    }
    return 0;
}

/* Starts it, and has its trace begun. NULL with an exception set. */
static struct cws_exec *start_traced(struct py_state *state, struct cws_sandbox *core,
                                     const struct py_trace_what *what,
                                     struct cws_exec_options *options)
{
    struct cws_exec *exec;
    if (py_trace_begin(state, what, &options->trace) < 0)
        return NULL;
    if (cws_exec_start(core, options, &exec) == CWS_OK)
        return exec;
    py_trace_drop(options->trace);
    return (struct cws_exec *)PyErr_NoMemory();
}

/* `items` is the tuple of words. NULL with an exception set. */
static struct cws_exec *start(struct py_state *state, struct cws_sandbox *core, PyObject *items,
                              const struct py_trace_what *what, struct cws_exec_options *options)
{
    char *few[FEW_ARGS];
    struct cws_exec *exec = NULL;
    Py_ssize_t count = PyTuple_Size(items);
    if (count == 0) {
        PyErr_SetString(PyExc_ValueError, "command must not be empty");
        return NULL;
    }
    char **argv = count <= FEW_ARGS ? few : cws_malloc((size_t)count * sizeof(*argv));
    if (!argv)
        return (struct cws_exec *)PyErr_NoMemory();
    if (fill_argv(argv, items, count) == 0) {
        options->argv = argv;
        options->argc = (size_t)count;
        exec = start_traced(state, core, what, options);
    }
    if (argv != few)
        cws_free(argv);
    return exec;
}

/* The variables of a dict, which keeps their texts; to be freed. 0, or -1 with an exception set. */
static int fill_env(PyObject *env, struct cws_exec_options *options)
{
    options->env = NULL;
    options->env_count = 0;
    if (!env || env == Py_None)
        return 0;
    if (!PyDict_Check(env)) {
        PyErr_Format(PyExc_TypeError, "env must be a dict, got %.200R", env);
        return -1;
    }
    struct cws_exec_variable *variables =
        cws_malloc((size_t)PyDict_Size(env) * sizeof(*variables) + 1);
    if (!variables) {
        PyErr_NoMemory();
        return -1;
    }
    options->env = variables;
    PyObject *name, *value;
    for (Py_ssize_t at = 0; PyDict_Next(env, &at, &name, &value);) {
        struct cws_exec_variable *variable = &variables[options->env_count++];
        variable->name = py_arg_text(name, "a name in env", NULL);
        variable->value = variable->name ? py_arg_secret_text(value, "env", name) : NULL;
        if (!variable->value)
            return -1;
    }
    return 0;
}

/* How much output is kept: everything, unless `capture` or `max` says otherwise. */
static int fill_kept(PyObject *capture, PyObject *max, struct cws_exec_options *options)
{
    int captures = capture ? PyObject_IsTrue(capture) : 1;
    options->kept = captures ? CWS_OUTPUT_ALL : CWS_OUTPUT_UNREAD;
    options->output_max = 0;
    if (captures < 0 || !max || max == Py_None)
        return captures < 0 ? -1 : 0;
    options->output_max = PyLong_AsSize_t(max);
    if (PyErr_Occurred())
        return -1;
    if (options->output_max == 0 || !captures) {
        PyErr_SetString(PyExc_ValueError, "max_output_bytes must be positive, with capture_output");
        return -1;
    }
    options->kept = CWS_OUTPUT_ENDS;
    return 0;
}

/* `given` is timeout, container and cwd. */
static int common_options(PyObject *const *given, struct cws_exec_options *options)
{
    if (py_arg_seconds(given[0], "timeout", false, &options->timeout_s) < 0)
        return -1;
    options->container = given[1] ? py_arg_text(given[1], "container", NULL) : "";
    bool in_cwd = given[2] && given[2] != Py_None;
    options->cwd = in_cwd ? py_arg_text(given[2], "cwd", NULL) : NULL;
    return options->container && (!in_cwd || options->cwd) ? 0 : -1;
}

static int exec_options(PyObject *const *given, struct cws_exec_options *options)
{
    int with_stdin = given[0] ? PyObject_IsTrue(given[0]) : 0;
    int check = given[1] ? PyObject_IsTrue(given[1]) : 0;
    if (with_stdin < 0 || check < 0)
        return -1;
    options->with_stdin = with_stdin;
    options->check = check;
    return common_options(given + 2, options);
}

/* Makes the object for a command that has been started. Takes over the reference on `exec`. */
typedef PyObject *new_command_fn(struct py_state *state, struct cws_exec *exec,
                                 const struct py_home *home, PyObject *words);

/* The object of a new command. `given`: words, environment, purpose. NULL with an exception set. */
static PyObject *start_command(struct py_sandbox *self, struct cws_sandbox *core,
                               PyObject *const given[3], struct cws_exec_options *options,
                               new_command_fn *new_command)
{
    const struct py_home home = {(PyObject *)self, self->failures, closed_by, given[2]};
    /* A tuple: no other thread can change it while its texts are in use. */
    PyObject *command = PySequence_Tuple(given[0]);
    PyObject *made = NULL;
    struct cws_exec *exec = NULL;
    const struct py_trace_what what = {
        .kind = given[2]       ? "helper"
                : options->tty ? "shell"
                               : "exec",
        .subject = (PyObject *)self,
        .detail = given[2] ? given[2] : command,
    };
    if (command && fill_env(given[1], options) == 0)
        exec = start(self->state, core, command, &what, options);
    cws_free((void *)(uintptr_t)options->env);
    if (exec)
        made = new_command(self->state, exec, &home, command);
    Py_XDECREF(command);
    return made;
}

static PyObject *sandbox_exec(PyObject *object, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames)
{
    static const char *const names[] = {"command",          "stdin",  "check", "timeout",
                                        "container",        "cwd",    "env",   "capture_output",
                                        "max_output_bytes", "purpose"};
    static const struct py_params params = {"exec", names, 10, 10, 1};
    struct py_sandbox *self = (struct py_sandbox *)object;
    PyObject *given[10];
    struct cws_exec_options options = {0};
    struct cws_sandbox *core = py_sandbox_for_operation(self);
    if (!core || py_args_parse(&params, args, nargs, kwnames, given) < 0 ||
        exec_options(given + 1, &options) < 0 || fill_kept(given[7], given[8], &options) < 0)
        return NULL;
    PyObject *purpose = given[9] == Py_None ? NULL : given[9];
    options.is_helper = purpose != NULL;
    if (purpose && py_kind_check(self->state, PY_KIND_HELPER) < 0)
        return NULL;
    return start_command(self, core, (PyObject *[]){given[0], given[6], purpose}, &options,
                         py_process_new);
}

static PyObject *sandbox_shell(PyObject *object, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames)
{
    static const char *const names[] = {"command",   "width", "height", "timeout",
                                        "container", "cwd",   "env"};
    static const struct py_params params = {"shell", names, 7, 7, 3};
    struct py_sandbox *self = (struct py_sandbox *)object;
    PyObject *given[7];
    struct cws_exec_options options = {.tty = true, .kept = CWS_OUTPUT_UNREAD};
    struct cws_sandbox *core = py_sandbox_for_operation(self);
    if (!core || py_kind_check(self->state, PY_KIND_TERMINAL) < 0 ||
        py_args_parse(&params, args, nargs, kwnames, given) < 0 ||
        py_terminal_size(given[1], given[2], &options.size) < 0 ||
        common_options(given + 3, &options) < 0)
        return NULL;
    return start_command(self, core, (PyObject *[]){given[0], given[6], NULL}, &options,
                         py_terminal_new);
}

/* ---- files ---------------------------------------------------------------------------------- */

static PyObject *start_file(PyObject *object, py_file_start_fn *begin, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *kwnames)
{
    struct py_sandbox *self = (struct py_sandbox *)object;
    const struct py_home home = {object, self->failures, closed_by, NULL};
    struct cws_sandbox *core = py_sandbox_for_operation(self);
    if (!core || py_kind_check(self->state, PY_KIND_FILE) < 0)
        return NULL;
    return begin(self->state, core, &home, args, nargs, kwnames);
}

static PyObject *sandbox_read_file(PyObject *object, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *kwnames)
{
    return start_file(object, py_file_read, args, nargs, kwnames);
}

static PyObject *sandbox_write_file(PyObject *object, PyObject *const *args, Py_ssize_t nargs,
                                    PyObject *kwnames)
{
    return start_file(object, py_file_write, args, nargs, kwnames);
}

/* ---- its log -------------------------------------------------------------------------------- */

static PyObject *sandbox_stream_logs(PyObject *object, PyObject *const *args, Py_ssize_t nargs,
                                     PyObject *kwnames)
{
    struct py_sandbox *self = (struct py_sandbox *)object;
    struct cws_log_options options;
    struct cws_log *log;
    struct cws_sandbox *core = py_sandbox_for_operation(self);
    if (!core || py_kind_check(self->state, PY_KIND_LOG) < 0 ||
        py_log_options(args, nargs, kwnames, &options) < 0)
        return NULL;
    const struct py_trace_what what = {.kind = "stream_logs", .subject = object};
    if (py_trace_begin(self->state, &what, &options.trace) < 0)
        return NULL;
    if (cws_log_start(core, &options, &log) != CWS_OK) {
        py_trace_drop(options.trace);
        return PyErr_NoMemory();
    }
    return py_log_reader(self->state, log,
                         &(struct py_home){object, self->failures, closed_by, NULL});
}

static PyMethodDef sandbox_methods[] = {
    {"open", (PyCFunction)(void (*)(void))sandbox_open, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("open($self, channel, sandbox_id)\n--\n\n"
               "Known to run: operations that wait are sent, later ones go out at once.")},
    {"fail", sandbox_fail, METH_O,
     PyDoc_STR("fail($self, failure)\n--\n\n"
               "Not known to run, or not any more: operations that wait fail with `failure`; "
               "later ones wait again.")},
    {"evict_refused", sandbox_evict_refused, METH_O,
     PyDoc_STR("evict_refused($self, failure)\n--\n\n"
               "Ended: operations that its endpoint has refused, and that wait for another way, "
               "end with `failure`.")},
    {"close", sandbox_close, METH_O,
     PyDoc_STR(
         "close($self, failure)\n--\n\n"
         "Stopped: operations that wait or run end with `failure`; later ones fail at once.")},
    {"set_direct", (PyCFunction)(void (*)(void))py_sandbox_set_direct,
     METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("set_direct($self, channel, permissions, seconds, strict)\n--\n\n"
               "From now on operations go over this channel to the sandbox's own endpoint, for so "
               "long and if the bits\nof `permissions` allow it; None: they do not. With `strict` "
               "they go no other way, and after the time they wait.")},
    {"exec", (PyCFunction)(void (*)(void))sandbox_exec, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR(
         "exec($self, command, stdin=False, check=False, timeout=None, container='', cwd=None, "
         "env=None, capture_output=True, max_output_bytes=None, purpose=None)\n--\n\n"
         "Start the command. Returns at once.")},
    {"shell", (PyCFunction)(void (*)(void))sandbox_shell, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("shell($self, command, width, height, timeout=None, container='', cwd=None, "
               "env=None)\n--\n\n"
               "Start the command with a terminal. Returns at once.")},
    {"read_file", (PyCFunction)(void (*)(void))sandbox_read_file, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("read_file($self, path, timeout=None, container='')\n--\n\n"
               "Read a whole file. Returns at once.")},
    {"write_file", (PyCFunction)(void (*)(void))sandbox_write_file, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("write_file($self, path, contents, timeout=None, container='')\n--\n\n"
               "Write a whole file. Returns at once.")},
    {"stream_logs", (PyCFunction)(void (*)(void))sandbox_stream_logs, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("stream_logs($self, follow, tail_lines, since, timestamps, timeout=None, "
               "container='')\n--\n\n"
               "Read the main command's log. Returns the reader at once.")},
    {"stats", sandbox_stats, METH_NOARGS,
     PyDoc_STR("stats($self)\n--\n\nexec_count, completed_ok, completed_nonzero, failures.")},
    {NULL},
};

static PyGetSetDef sandbox_getset[] = {
    {"is_served", sandbox_is_served, NULL,
     PyDoc_STR("Policy code has nothing to do for operations that begin."), NULL},
    {"is_open", sandbox_is_open, NULL, PyDoc_STR("open() was called, and not close()."), NULL},
    {"sandbox_id", sandbox_id, NULL, PyDoc_STR("The id it was opened with; None before."), NULL},
    {"is_closed", sandbox_is_closed, NULL, PyDoc_STR("close() was called."), NULL},
    {NULL},
};

static PyMemberDef sandbox_members[] = {
    {"write_max", T_PYSSIZET, offsetof(struct py_sandbox, write_max), 0,
     PyDoc_STR("For the Python layer: how much content one message may carry; 0 at first.")},
    {"wants_serving", T_BOOL, offsetof(struct py_sandbox, wants_serving), 0,
     PyDoc_STR("For the Python layer: while it is true, is_served is not.")},
    {"on_refused", T_OBJECT, offsetof(struct py_sandbox, on_refused), 0,
     PyDoc_STR("For the Python layer: what to call when the sandbox comes out of Refusals.")},
    {NULL},
};

static PyType_Slot sandbox_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("The native side of one sandbox: lets commands, file operations "
                                  "and logs wait until it is\n"
                                  "known to run, then sends them, and ends them with it.")},
    {Py_tp_new, sandbox_new},
    {Py_tp_methods, sandbox_methods},
    {Py_tp_getset, sandbox_getset},
    {Py_tp_members, sandbox_members},
    {Py_tp_traverse, sandbox_traverse},
    {Py_tp_clear, sandbox_clear},
    {Py_tp_dealloc, sandbox_dealloc},
    {0, NULL},
};

PyType_Spec py_sandbox_spec = {
    .name = "cwsandbox._cwsandbox.SandboxCore",
    .basicsize = sizeof(struct py_sandbox),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = sandbox_slots,
};
