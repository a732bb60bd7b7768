#include "py/request.h"

#include "io/tls_request.h"
#include "py/errors.h"

static PyObject *bytes_of(const struct cws_buf *buf)
{
    return PyBytes_FromStringAndSize((const char *)cws_buf_bytes(buf), (Py_ssize_t)buf->len);
}

PyObject *py_certificate_request(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    struct cws_tls_request request;
    struct cws_error err;
    enum cws_status status;
    Py_BEGIN_ALLOW_THREADS
    status = cws_tls_request_make(&request, &err);
    Py_END_ALLOW_THREADS
    if (status != CWS_OK) {
        py_raise_core_error(&err);
        return NULL;
    }
    PyObject *key = bytes_of(&request.key_pem), *csr = bytes_of(&request.csr_der);
    PyObject *both = key && csr ? PyTuple_Pack(2, key, csr) : NULL;
    Py_XDECREF(key);
    Py_XDECREF(csr);
    cws_tls_request_done(&request);
    return both;
}
