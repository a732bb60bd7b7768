/*
 * Who may call: whoever has the daemon's token, if it has one. (On a Unix socket without a token
 * the socket's mode decides.)
 */
#pragma once

#include "values/fault.h"

/* True if the call carries `token`: as "authorization: Bearer <token>", or alone in
 * x-wandb-api-key or x-api-key, as other clients of the service send theirs. Else false with *fault
 * UNAUTHENTICATED. */
bool cwsd_auth_check(const struct cws_server_call *call, const char *token,
                     struct cwsd_fault *fault);
