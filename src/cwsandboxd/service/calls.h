/* The methods this daemon offers, each in the call_*.c file named after its group. */
#pragma once

#include "grpc/server.h"

#define CWSD_SANDBOX_SERVICE "/coreweave.sandbox.v1.SandboxService/"

/* call_create.c */
extern const struct cws_server_method cwsd_call_create;
/* call_lifecycle.c */
extern const struct cws_server_method cwsd_call_get;
extern const struct cws_server_method cwsd_call_list;
extern const struct cws_server_method cwsd_call_delete;
/* call_exec.c */
extern const struct cws_server_method cwsd_call_exec;
/* call_stream.c */
extern const struct cws_server_method cwsd_call_stream_exec;
