/*
 * The end of every call that makes a sandbox: it is answered once the sandbox runs, or will never
 * run. That takes milliseconds here, and spares the client the polling, whose steps are much
 * longer. A start that takes unusually long is answered as CREATING. Loop thread only.
 */
#pragma once

#include "sandboxes/pool.h"
#include "service/unary.h"

/* The struct of such a call: the row's size and `closed`. */
struct cwsd_creating {
    struct cwsd_unary unary;
    struct cwsd_waiter waiter;
    struct cws_timer patience;
    struct cwsd_sandbox *sandbox; /* NULL: not waited for (any more) */
};

/* Answers with the sandbox, at once or later. Always returns true, as cwsd_unary_answer. */
bool cwsd_creating_answer(struct cwsd_unary *unary, struct cwsd_sandbox *sandbox);
/* A client that did not wait finds its sandbox by the same request_id. */
void cwsd_creating_closed(struct cwsd_unary *unary);
