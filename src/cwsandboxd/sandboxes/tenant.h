/*
 * What wants to act in a sandbox, such as a command or a file operation, until the sandbox runs.
 * Embedded in the object that acts. Loop thread only.
 */
#pragma once

#include "sandboxes/pool.h"

struct cwsd_tenant {
    char sandbox_id[CWSD_ID_SIZE];
    struct cwsd_container *container; /* while it waits; it may go once its sandbox has ended */
    struct cwsd_waiter waiter;
    /* Both are set by the owner. `begin`: the sandbox runs, in this box. It returns false with
     * *fault set if nothing can begin. */
    bool (*begin)(struct cwsd_tenant *tenant, struct cwsd_box *box, struct cwsd_fault *fault);
    /* After a wait: the sandbox never ran, or `begin` has failed. */
    void (*refused)(struct cwsd_tenant *tenant, const struct cwsd_fault *fault);
};

/* The sandbox's container of this name ("": the primary one). NULL with *fault set. */
struct cwsd_container *cwsd_tenant_find(struct cwsd_pool *pool, const char *sandbox_id,
                                        const char *container, struct cwsd_fault *fault);

/* Calls `begin` at once if the sandbox runs, or when it does. False with *fault set: it or the
 * container does not run any more, or `begin` has failed. */
bool cwsd_tenant_enter(struct cwsd_tenant *tenant, struct cwsd_container *container,
                       struct cwsd_fault *fault);

/* Ends the wait, if there still is one. A tenant that is all zero is allowed. */
void cwsd_tenant_leave(struct cwsd_tenant *tenant);

/* Sets the fault of a sandbox that does not run; `what` follows its id in the message ("is
 * ending"). Always returns false. */
bool cwsd_tenant_set_not_running(const struct cwsd_tenant *tenant, const char *what,
                                 struct cwsd_fault *fault);
