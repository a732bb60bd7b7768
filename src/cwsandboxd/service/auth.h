/*
 * Who may call: if the daemon has a token, those who send it. (On a Unix socket without a token,
 * the socket's mode decides.)
 */
#pragma once

#include "values/fault.h"

/* True if the call carries `token`: as "authorization: Bearer <token>", or by itself in
 * x-wandb-api-key or x-api-key, where other clients of the service send their keys. Otherwise false
 * with *fault UNAUTHENTICATED. Only where cws_server_call_header is allowed. */
bool cwsd_auth_check(const struct cws_server_call *call, const char *token,
                     struct cwsd_fault *fault);
