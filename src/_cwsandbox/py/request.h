/* A private key and the request to certify it, for the direct data plane. */
#pragma once

#include "py/compat.h"

/* The module's _certificate_request(): a tuple of the key (PEM) and the request (DER). */
PyObject *py_certificate_request(PyObject *module, PyObject *unused);
