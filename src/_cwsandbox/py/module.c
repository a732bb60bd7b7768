#include "py/args.h"
#include "py/await.h"
#include "py/bridge.h"
#include "py/channel.h"
#include "py/errors.h"
#include "py/file.h"
#include "py/kind.h"
#include "py/log.h"
#include "py/many.h"
#include "py/member.h"
#include "py/message.h"
#include "py/output.h"
#include "py/process.h"
#include "py/promise.h"
#include "py/reader.h"
#include "py/request.h"
#include "py/sandbox.h"
#include "py/stats.h"
#include "py/terminal.h"
#include "py/text.h"
#include "py/trace.h"
#include "py/writer.h"

/* ---- functions ------------------------------------------------------------------------------ */

static PyObject *after_fork_in_child(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    struct py_state *state = py_state_of_module(module);
    cws_loop_after_fork();
    state->loop = NULL;
    state->unfinished_files = NULL;
    state->traces = NULL;
    state->refusals = NULL;
    state->stopped = false;
    Py_RETURN_NONE;
}

/* The I/O thread is shared by all interpreters: the end of another one is not the end of the
 * program. */
static bool is_main_interpreter(void)
{
    return PyInterpreterState_GetID(PyInterpreterState_Get()) == 0;
}

static PyObject *shutdown(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    py_state_of_module(module)->stopped = true;
    if (is_main_interpreter()) {
        Py_BEGIN_ALLOW_THREADS
        cws_loop_default_shutdown();
        Py_END_ALLOW_THREADS
    }
    Py_RETURN_NONE;
}

static PyObject *stats(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    return py_stats(py_state_of_module(module));
}

static PyMethodDef module_methods[] = {
    {"configure", (PyCFunction)(void (*)(void))py_kind_configure, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("configure(kind, *, make_value=None, make_error)\n--\n\n"
               "Install what makes the values and exceptions of operations of one kind.")},
    {"after_fork_in_child", after_fork_in_child, METH_NOARGS,
     PyDoc_STR("after_fork_in_child()\n--\n\nForget what belongs to the parent. Registered with "
               "os.register_at_fork.")},
    {"shutdown", shutdown, METH_NOARGS,
     PyDoc_STR("shutdown()\n--\n\nStop and join the I/O thread. Registered with atexit.")},
    {"stats", stats, METH_NOARGS, PyDoc_STR("stats()\n--\n\nLive counts for leak tests.")},
    {"wait_many", (PyCFunction)(void (*)(void))py_wait_many, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("wait_many(operations, count, timeout)\n--\n\n"
               "Block until `count` of the operations are done or the time is up; one flag per "
               "operation.")},
    {"decode", py_text_decode, METH_O,
     PyDoc_STR(
         "decode(data, /)\n--\n\nOutput as text: data.decode('utf-8', 'replace'), quicker where "
         "there is much of it.")},
    {"small_file", (PyCFunction)(void (*)(void))py_member_small_file, METH_FASTCALL,
     PyDoc_STR(
         "small_file(place, name, /)\n--\n\n"
         "A small file as a member of a tar archive, and its size; None if it is no such file "
         "or cannot be read.")},
    {"trace", py_trace_install, METH_VARARGS,
     PyDoc_STR("trace(begin, ended, /)\n--\n\nHave these called as operations begin, and when some "
               "have ended; None twice: nothing.")},
    {"_certificate_request", py_certificate_request, METH_NOARGS, NULL},
    {"_message_pack", py_message_pack_method, METH_VARARGS, NULL},
    {"_message_unpack", py_message_unpack_method, METH_VARARGS, NULL},
    {NULL},
};

/* ---- the module ----------------------------------------------------------------------------- */

/* A type of this module: added under its name if `is_public`. 0 or -1. */
static int add_type(PyObject *module, PyTypeObject **slot, PyType_Spec *spec, PyTypeObject *base,
                    bool is_public)
{
    *slot = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, (PyObject *)base);
    if (!*slot)
        return -1;
    return is_public ? PyModule_AddType(module, *slot) : 0;
}

static int add_types(PyObject *module, struct py_state *state)
{
    if (add_type(module, &state->awaiter_type, &py_awaiter_spec, NULL, false) < 0 ||
        add_type(module, &state->bridge_type, &py_bridge_spec, NULL, false) < 0 ||
        add_type(module, &state->operation_type, &py_operation_spec, NULL, true) < 0)
        return -1;
    PyTypeObject *operation = state->operation_type;
    if (add_type(module, &state->promise_type, &py_promise_spec, operation, true) < 0 ||
        add_type(module, &state->process_type, &py_process_spec, operation, true) < 0 ||
        add_type(module, &state->terminal_type, &py_terminal_spec, operation, true) < 0 ||
        add_type(module, &state->file_type, &py_file_spec, operation, true) < 0 ||
        add_type(module, &state->unfinished_type, &py_unfinished_spec, NULL, true) < 0 ||
        add_type(module, &state->ended_type, &py_ended_spec, NULL, true) < 0 ||
        add_type(module, &state->log_type, &py_log_spec, operation, false) < 0 ||
        add_type(module, &state->output_type, &py_output_spec, NULL, true) < 0 ||
        add_type(module, &state->reader_type, &py_reader_spec, NULL, true) < 0 ||
        add_type(module, &state->writer_type, &py_writer_spec, NULL, true) < 0 ||
        add_type(module, &state->channel_type, &py_channel_spec, NULL, true) < 0 ||
        add_type(module, &state->refusals_type, &py_refusals_spec, NULL, true) < 0)
        return -1;
    return add_type(module, &state->sandbox_type, &py_sandbox_spec, NULL, true);
}

/* Calls module.register(function), `keyword` giving the argument its name. */
static int register_hook(PyObject *module, const char *hook, const char *in_module,
                         const char *with, const char *keyword)
{
    int rc = -1;
    PyObject *function = PyObject_GetAttrString(module, hook);
    PyObject *registry = PyImport_ImportModule(in_module);
    PyObject *registrar = registry ? PyObject_GetAttrString(registry, with) : NULL;
    PyObject *args = keyword ? PyTuple_New(0) : Py_BuildValue("(O)", function);
    PyObject *kwargs = keyword ? Py_BuildValue("{s:O}", keyword, function) : NULL;
    if (function && registrar && args && (kwargs || !keyword)) {
        PyObject *done = PyObject_Call(registrar, args, kwargs);
        rc = done ? 0 : -1;
        Py_XDECREF(done);
    }
    Py_XDECREF(kwargs);
    Py_XDECREF(args);
    Py_XDECREF(registrar);
    Py_XDECREF(registry);
    Py_XDECREF(function);
    return rc;
}

static int add_constants(struct py_state *state)
{
    PyObject *size = PyLong_FromLong(PY_WRITER_QUEUE_SIZE);
    if (!size)
        return -1;
    int rc = PyObject_SetAttrString((PyObject *)state->writer_type, "QUEUE_SIZE", size);
    Py_DECREF(size);
    return rc;
}

/*
 * The types here rely on the GIL: without it two threads could change one object at once. A
 * free-threaded Python turns the GIL on when it imports a module without a Py_mod_gil slot, unless
 * it was told never to.
 */
static int require_gil(void)
{
#ifdef Py_GIL_DISABLED
    PyObject *is_enabled = PySys_GetObject("_is_gil_enabled"); /* borrowed */
    PyObject *answer = is_enabled ? PyObject_CallNoArgs(is_enabled) : NULL;
    if (!answer)
        return -1;
    int enabled = PyObject_IsTrue(answer);
    Py_DECREF(answer);
    if (enabled != 0)
        return enabled < 0 ? -1 : 0;
    PyErr_SetString(PyExc_ImportError,
                    "cwsandbox needs the GIL, which PYTHON_GIL=0 or -X gil=0 keeps off: leave them "
                    "out, and importing cwsandbox turns the GIL on");
    return -1;
#else
    return 0;
#endif
}

static int module_exec(PyObject *module)
{
    if (require_gil() < 0)
        return -1;
    struct py_state *state = py_state_new();
    if (!state)
        return -1;
    *(struct py_state **)PyModule_GetState(module) = state;
    if (add_types(module, state) < 0 || add_constants(state) < 0)
        return -1;
    state->rpc_error = py_rpc_error_class();
    if (!state->rpc_error || PyModule_AddObjectRef(module, "RpcError", state->rpc_error) < 0)
        return -1;
    /* Registered first, so run last at exit: the package's own clean-up still has the I/O
     * thread. */
    if (register_hook(module, "shutdown", "atexit", "register", NULL) < 0)
        return -1;
    return register_hook(module, "after_fork_in_child", "os", "register_at_fork", "after_in_child");
}

/* Everything the state refers to, for the three functions below; NULL at the end. */
static PyObject **reference(PyObject *module, size_t index)
{
    struct py_state *state = py_state_of_module(module);
    if (!state) /* module_exec was not reached */
        return NULL;
    PyObject **all[] = {
        (PyObject **)&state->operation_type,
        (PyObject **)&state->promise_type,
        (PyObject **)&state->process_type,
        (PyObject **)&state->terminal_type,
        (PyObject **)&state->log_type,
        (PyObject **)&state->output_type,
        (PyObject **)&state->reader_type,
        (PyObject **)&state->writer_type,
        (PyObject **)&state->file_type,
        (PyObject **)&state->unfinished_type,
        (PyObject **)&state->ended_type,
        (PyObject **)&state->channel_type,
        (PyObject **)&state->sandbox_type,
        (PyObject **)&state->refusals_type,
        (PyObject **)&state->awaiter_type,
        (PyObject **)&state->bridge_type,
        &state->rpc_error,
        &state->trace_begin,
        &state->trace_ended,
        &state->future_class,
        &state->cancelled_error,
        &state->task_cancelled_error,
        &state->get_running_loop,
        &state->name_run,
        &state->name_get_debug,
    };
    if (index < CWS_ARRAY_LEN(all))
        return all[index];
    index -= CWS_ARRAY_LEN(all);
    if (index >= 2 * (size_t)PY_KINDS)
        return NULL;
    struct py_makers *makers = &state->makers[index / 2];
    return index % 2 ? &makers->error : &makers->value;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    PyObject **at;
    for (size_t i = 0; (at = reference(module, i)) != NULL; i++)
        Py_VISIT(*at);
    return 0;
}

static int module_clear(PyObject *module)
{
    PyObject **at;
    for (size_t i = 0; (at = reference(module, i)) != NULL; i++)
        Py_CLEAR(*at);
    return 0;
}

static void module_free(void *module)
{
    module_clear(module);
    py_state_unref(py_state_of_module(module));
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "cwsandbox._cwsandbox",
    .m_doc = PyDoc_STR("The C core of cwsandbox: operations, channels, execs and their streams."),
    .m_size = sizeof(struct py_state *),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__cwsandbox(void);
PyMODINIT_FUNC PyInit__cwsandbox(void)
{
    return PyModuleDef_Init(&module_def);
}
