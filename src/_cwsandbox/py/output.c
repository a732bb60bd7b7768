#include "py/output.h"

#include "py/compat.h"

/* Output up to this size is simply copied. Larger output moves into the bytes object's memory. */
enum { MOVE_FROM = 64 * 1024 };

struct py_output {
    PyObject_HEAD
    struct cws_exec *exec; /* a reference */
    bool keeps; /* is a keeper of the exec's output; false: the output was dropped before */
    PyObject
        *moved[2]; /* bytes objects that hold the memory of stdout, stderr; NULL: the exec does */
    unsigned generation;
};

PyObject *py_output_new(struct py_state *state, struct cws_exec *exec)
{
    struct py_output *self = (struct py_output *)PyType_GenericAlloc(state->output_type, 0);
    if (!self)
        return NULL;
    self->keeps = cws_exec_keep(exec);
    if (!self->keeps)
        cws_exec_ref(exec);
    self->exec = exec;
    self->generation = cws_loop_generation();
    return (PyObject *)self;
}

static void output_dealloc(PyObject *object)
{
    struct py_output *self = (struct py_output *)object;
    /* The exec first: until then it may look at the bytes. Lines are read by way of a Process,
     * which keeps this object. */
    if (self->generation == cws_loop_generation())
        (self->keeps ? cws_exec_let_go : cws_exec_unref)(self->exec);
    Py_CLEAR(self->moved[0]);
    Py_CLEAR(self->moved[1]);
    py_object_free(object);
}

/* 0 for stdout, 1 for stderr, -1 with an exception set. */
static int which_stream(struct py_output *self, PyObject *is_stderr)
{
    int which = PyObject_IsTrue(is_stderr);
    if (which < 0 || py_state_check_fork(self->generation, "Output") < 0)
        return -1;
    return which != 0;
}

static struct cws_output *stream_of(struct py_output *self, int which)
{
    return which ? &self->exec->err : &self->exec->out;
}

static PyObject *output_bytes(PyObject *object, PyObject *is_stderr)
{
    struct py_output *self = (struct py_output *)object;
    int which = which_stream(self, is_stderr);
    if (which < 0)
        return NULL;
    if (self->moved[which])
        return Py_NewRef(self->moved[which]);
    if (!self->keeps)
        return PyBytes_FromStringAndSize(NULL, 0);
    struct cws_output *output = stream_of(self, which);
    /* Read first: if the command has not ended, only what has arrived by then is taken. */
    bool ended = cws_future_is_done(&self->exec->future);
    size_t size = cws_output_size(output);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (!bytes)
        return NULL;
    uint8_t *to = (uint8_t *)PyBytes_AsString(bytes);
    if (ended && size >= MOVE_FROM) {
        /* With the GIL: no other thread may look at the old memory meanwhile. */
        if (cws_output_move(output, to) != CWS_OK)
            return PyErr_NoMemory(); /* the bytes object must never be freed */
        self->moved[which] = Py_NewRef(bytes);
        return bytes;
    }
    cws_output_copy(output, to, size);
    return bytes;
}

static PyObject *output_omitted(PyObject *object, PyObject *is_stderr)
{
    struct py_output *self = (struct py_output *)object;
    int which = which_stream(self, is_stderr);
    if (which < 0)
        return NULL;
    size_t before = 0, omitted = self->keeps ? cws_output_omitted(stream_of(self, which), &before)
                                             : cws_output_received(stream_of(self, which));
    return Py_BuildValue("(KK)", (unsigned long long)omitted, (unsigned long long)before);
}

static PyMethodDef output_methods[] = {
    {"omitted", output_omitted, METH_O,
     PyDoc_STR("omitted($self, stderr, /)\n--\n\nHow many bytes that were received are missing in "
               "bytes(), and how many are in front of them there.")},
    {"bytes", output_bytes, METH_O,
     PyDoc_STR("bytes($self, stderr, /)\n--\n\nWhat has been received so far.")},
    {NULL},
};

static PyObject *output_captured(PyObject *object, void *Py_UNUSED(closure))
{
    const struct py_output *self = (const struct py_output *)object;
    return PyBool_FromLong(self->keeps && self->exec->out.kept != CWS_OUTPUT_UNREAD);
}

static PyGetSetDef output_getset[] = {
    {"captured", output_captured, NULL, PyDoc_STR("False where nothing is kept for bytes()."),
     NULL},
    {NULL},
};

static PyType_Slot output_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("What a command has printed.")},
    {Py_tp_methods, output_methods},
    {Py_tp_getset, output_getset},
    {Py_tp_dealloc, output_dealloc},
    {0, NULL},
};

PyType_Spec py_output_spec = {
    .name = "cwsandbox._cwsandbox.Output",
    .basicsize = sizeof(struct py_output),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = output_slots,
};
