#include "py/channel.h"

#include "grpc/channel.h"
#include "py/args.h"
#include "py/errors.h"
#include "py/metadata.h"
#include "py/unary.h"
#include "sandbox/extensions.h"

struct py_channel {
    PyObject_HEAD
    struct py_state *state;
    struct cws_channel *channel;
    PyObject *target; /* the str it was made with */
    unsigned generation;
};

struct cws_channel *py_channel_of(struct py_state *state, PyObject *object)
{
    if (!PyObject_TypeCheck(object, state->channel_type)) {
        PyErr_Format(PyExc_TypeError, "channel must be a Channel, got %.200R", object);
        return NULL;
    }
    struct py_channel *self = (struct py_channel *)object;
    return py_state_check_fork(self->generation, "channel") < 0 ? NULL : self->channel;
}

static enum cws_status add_field(void *metadata, const char *name, size_t name_len,
                                 const char *value, size_t value_len, struct cws_error *err)
{
    return cws_metadata_add(metadata, name, name_len, value, value_len, err);
}

static int add_fields(struct cws_metadata *metadata, PyObject *fields)
{
    PyObject *items = fields ? PySequence_Tuple(fields) : PyTuple_New(0);
    if (!items)
        return -1;
    int rc = 0;
    for (Py_ssize_t i = 0; rc == 0 && i < PyTuple_Size(items); i++)
        rc = py_metadata_add(PyTuple_GetItem(items, i), add_field, metadata);
    Py_DECREF(items);
    return rc;
}

/* Makes the channel from what the constructor was given; `options->metadata` is filled in here. */
static struct cws_channel *open_channel(struct py_state *state, struct cws_channel_options *options,
                                        PyObject *fields)
{
    struct cws_loop *loop = py_state_loop(state);
    if (!loop)
        return NULL;
    struct cws_metadata metadata;
    struct cws_channel *channel = NULL;
    struct cws_error err;
    enum cws_status status;
    cws_metadata_init(&metadata);
    if (add_fields(&metadata, fields) == 0) {
        options->metadata = &metadata;
        /* Detached: reading the trust roots takes milliseconds. */
        Py_BEGIN_ALLOW_THREADS
        status = cws_channel_new(loop, options, &channel, &err);
        Py_END_ALLOW_THREADS
        if (status != CWS_OK) {
            channel = NULL;
            py_raise_core_error(&err);
        }
    }
    cws_metadata_done(&metadata);
    return channel;
}

/* PEM text, None for none. */
static int pem_option(PyObject *value, const char *name, const char **out_pem, size_t *out_len)
{
    char *bytes;
    Py_ssize_t len;
    if (!value || value == Py_None)
        return 0;
    if (!PyBytes_Check(value)) {
        py_arg_refuse_secret(name, "bytes or None", value);
        return -1;
    }
    if (PyBytes_AsStringAndSize(value, &bytes, &len) < 0)
        return -1;
    *out_pem = bytes;
    *out_len = (size_t)len;
    return 0;
}

static int max_receive_option(PyObject *value, size_t *out_bytes)
{
    if (!value)
        return 0; /* the core has its own default */
    Py_ssize_t bytes = PyNumber_AsSsize_t(value, PyExc_OverflowError);
    if (bytes == -1 && PyErr_Occurred())
        return -1;
    if (bytes <= 0) {
        PyErr_Format(PyExc_ValueError, "max_receive_bytes is %zd, it must be above 0", bytes);
        return -1;
    }
    *out_bytes = (size_t)bytes;
    return 0;
}

static int ping_interval_option(PyObject *value, uint64_t *out_ns)
{
    double seconds;
    if (!value)
        return 0; /* the core has its own default */
    if (py_arg_seconds(value, "ping_interval", false, &seconds) < 0)
        return -1;
    /* At most a day: nobody waits longer to learn that a connection is dead. */
    if (seconds < 0.001 || seconds > 86400) {
        PyErr_Format(PyExc_ValueError, "ping_interval must be 0.001 to 86400 seconds, got %R",
                     value);
        return -1;
    }
    *out_ns = (uint64_t)(seconds * (double)CWS_NS_PER_S);
    return 0;
}

static PyObject *channel_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static const char *const names[] = {"target",         "metadata",        "roots_pem",
                                        "cert_chain_pem", "private_key_pem", "max_receive_bytes",
                                        "ping_interval"};
    static const struct py_params params = {"Channel", names, 7, 1, 1};
    PyObject *given[7];
    struct cws_channel_options options = {0};
    if (py_args_parse_call(&params, args, kwargs, given) < 0)
        return NULL;
    options.url = py_arg_text(given[0], "target", NULL);
    if (!options.url ||
        pem_option(given[2], names[2], &options.roots_pem, &options.roots_len) < 0 ||
        pem_option(given[3], names[3], &options.cert_pem, &options.cert_len) < 0 ||
        pem_option(given[4], names[4], &options.key_pem, &options.key_len) < 0 ||
        max_receive_option(given[5], &options.max_receive) < 0 ||
        ping_interval_option(given[6], &options.ping_interval_ns) < 0)
        return NULL;
    struct py_state *state = py_state_of_type(type);
    struct cws_channel *channel = state ? open_channel(state, &options, given[1]) : NULL;
    if (!channel)
        return NULL;
    struct py_channel *self = (struct py_channel *)PyType_GenericAlloc(type, 0);
    if (!self) {
        cws_channel_unref(channel);
        return NULL;
    }
    self->state = py_state_ref(state);
    self->channel = channel;
    self->target = Py_NewRef(given[0]);
    self->generation = cws_loop_generation();
    return (PyObject *)self;
}

static void channel_dealloc(PyObject *object)
{
    struct py_channel *self = (struct py_channel *)object;
    if (self->generation == cws_loop_generation())
        cws_channel_unref(self->channel);
    Py_XDECREF(self->target);
    py_state_unref(self->state);
    py_object_free(object);
}

static PyObject *channel_unary(PyObject *object, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *kwnames)
{
    static const char *const names[] = {"method", "request", "timeout"};
    static const struct py_params params = {"unary", names, 3, 3, 2};
    struct py_channel *self = (struct py_channel *)object;
    PyObject *given[3];
    double timeout_s;
    if (py_args_parse(&params, args, nargs, kwnames, given) < 0 ||
        py_arg_seconds(given[2], "timeout", false, &timeout_s) < 0 ||
        py_state_check_fork(self->generation, "channel") < 0)
        return NULL;
    return py_unary_start(self->state, self->channel, object, given[0], given[1], timeout_s);
}

static PyObject *channel_connect(PyObject *object, PyObject *timeout)
{
    struct py_channel *self = (struct py_channel *)object;
    double timeout_s;
    if (py_arg_seconds(timeout, "timeout", false, &timeout_s) < 0 ||
        py_state_check_fork(self->generation, "channel") < 0)
        return NULL;
    return py_unary_connect(self->state, self->channel, timeout_s);
}

static PyObject *channel_target(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(((struct py_channel *)self)->target);
}

static PyObject *channel_knows(PyObject *self, PyObject *name)
{
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(name, &len);
    if (!text)
        return NULL;
    unsigned known = cws_channel_extensions(((struct py_channel *)self)->channel);
    return PyBool_FromLong(known & cws_extensions_parse(text, (size_t)len));
}

static PyMethodDef channel_methods[] = {
    {"knows", channel_knows, METH_O,
     PyDoc_STR("knows($self, extension, /)\n--\n\n"
               "Whether the service's last answer has named this extension of the messages.")},
    {"unary", (PyCFunction)(void (*)(void))channel_unary, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR(
         "unary($self, method, request, timeout=None)\n--\n\n"
         "Call \"Service/Method\" with the request as a dict of its fields; the reply as a dict.")},
    {"connect", channel_connect, METH_O,
     PyDoc_STR("connect($self, timeout, /)\n--\n\n"
               "Have a connection made, if there is none. Ends when there is one; nothing is asked "
               "for.")},
    {NULL},
};

static PyObject *channel_is_refused(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(cws_channel_is_refused(((struct py_channel *)self)->channel));
}

static PyGetSetDef channel_getset[] = {
    {"is_refused", channel_is_refused, NULL,
     PyDoc_STR("An operation of a sandbox was refused here: the sandbox is elsewhere."), NULL},
    {"target", channel_target, NULL, PyDoc_STR("The target it was made with."), NULL},
    {NULL},
};

static PyType_Slot channel_slots[] = {
    {Py_tp_doc,
     (void *)PyDoc_STR(
         "The connections to one authority, shared by all channels of equal settings in the\n"
         "process. Making one does no I/O.")},
    {Py_tp_new, channel_new},
    {Py_tp_methods, channel_methods},
    {Py_tp_getset, channel_getset},
    {Py_tp_dealloc, channel_dealloc},
    {0, NULL},
};

PyType_Spec py_channel_spec = {
    .name = "cwsandbox._cwsandbox.Channel",
    .basicsize = sizeof(struct py_channel),
    .flags = Py_TPFLAGS_DEFAULT |
             Py_TPFLAGS_IMMUTABLETYPE, /* refers to a str only: no cycle to collect */
    .slots = channel_slots,
};
