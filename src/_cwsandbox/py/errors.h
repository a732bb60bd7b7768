/* Python exceptions for failures in the core. */
#pragma once

#include "grpc/status.h"
#include "py/state.h"

/* A new class `RpcError` for the module; NULL with an exception set. */
PyObject *py_rpc_error_class(void);

/* A new RpcError. `code_text` and `failure` may be NULL (None). NULL with an exception set. */
PyObject *py_rpc_error_new(struct py_state *state, const char *kind,
                           const struct cws_grpc_status *status, const char *code_text,
                           PyObject *failure);

/* Raises the error that a core function put into `err`: MemoryError, ValueError for bad input,
 * otherwise RuntimeError. Always returns NULL. */
PyObject *py_raise_core_error(const struct cws_error *err);
