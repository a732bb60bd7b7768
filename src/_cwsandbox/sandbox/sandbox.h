/*
 * The core's side of one sandbox: where its execs wait until it is known to run, and end with it. Any thread.
 */
#pragma once

#include "base/ref.h"
#include "grpc/channel.h"
#include "sandbox/exec.h"

struct cws_sandbox {
    struct cws_ref ref;
    struct cws_loop *loop;
    pthread_mutex_t lock; /* guards the next four */
    enum { CWS_SANDBOX_WAITING, CWS_SANDBOX_OPEN, CWS_SANDBOX_CLOSED } state;
    struct cws_channel *channel; /* when open */
    char *id;                    /* when open */
    struct cws_list execs;       /* waiting and running ones */

    atomic_long exec_count, completed_ok, completed_nonzero, failures;
};

/* Any thread; one reference for the caller. */
enum cws_status cws_sandbox_new(struct cws_loop *loop, struct cws_sandbox **out_sandbox) CWS_MUST_CHECK;
void cws_sandbox_ref(struct cws_sandbox *sandbox);
void cws_sandbox_unref(struct cws_sandbox *sandbox); /* NULL is allowed */

/* Known to run under this id: execs that wait are sent. Opening an open one replaces channel and id for later execs; a closed one stays
 * closed (CWS_CLOSED). */
enum cws_status cws_sandbox_open(struct cws_sandbox *sandbox, struct cws_channel *channel, const char *id) CWS_MUST_CHECK;
/* Could not be started: execs that wait end with CWS_EXEC_NOT_OPEN, later ones wait again. */
void cws_sandbox_fail(struct cws_sandbox *sandbox);
/* Stopped: execs that wait or run end with CWS_EXEC_CLOSED, later ones at once. */
void cws_sandbox_close(struct cws_sandbox *sandbox);
