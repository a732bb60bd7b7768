/* Watching the process that started the daemon, so that a private daemon ends with its client
 * however that ends. */
#pragma once

#include <sys/types.h>

#include "io/uv.h"

struct cwsd_parent {
    uv_poll_t poll;
    int fd; /* pidfd */
    void (*died)(void *ctx);
    void *ctx;
};

/* CWS_INVALID: `pid` is not (any more) this process's parent. CWS_SYSTEM. Caller's memory, until
 * the loop is freed. */
enum cws_status cwsd_parent_watch(struct cwsd_parent *parent, struct cws_loop *loop, pid_t pid,
                                  void (*died)(void *ctx), void *ctx,
                                  struct cws_error *err) CWS_MUST_CHECK;
/* Harmless when it was never started (all zeroes). */
void cwsd_parent_stop(struct cwsd_parent *parent);
