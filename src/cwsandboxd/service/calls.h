/* The methods this daemon offers, each in the call_*.c file named after its group. */
#pragma once

#include "sandboxes/pool.h"
#include "service/unary.h"

#define CWSD_SANDBOX_SERVICE "/coreweave.sandbox.v1.SandboxService/"

/* Tables, each ended by a row without a path. */
extern const struct cwsd_unary_row cwsd_create_rows[];    /* call_create.c */
extern const struct cwsd_unary_row cwsd_exec_rows[];      /* call_exec.c */
extern const struct cwsd_unary_row cwsd_lifecycle_rows[]; /* call_lifecycle.c */

/* What is not unary: call_stream.c */
extern const struct cws_server_method cwsd_call_stream_exec;

/* Answers with the sandbox as clients see it; call_lifecycle.c. */
bool cwsd_answer_sandbox(struct cwsd_unary *unary, const struct cwsd_sandbox *sandbox);
