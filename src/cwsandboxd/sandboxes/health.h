/*
 * Runs a container's check until it passes, or has failed too often. Loop thread only.
 */
#pragma once

#include "box/exec.h"
#include "io/timer.h"
#include "values/plan.h"

struct cwsd_health {
    const struct cwsd_plan_row *plan;
    struct cws_loop *loop;
    struct cwsd_box *box; /* NULL: it is not being checked */
    struct cwsd_exec *exec;
    struct cws_timer timer; /* the end of a check, or the next one */
    uint64_t begun_ns;
    unsigned failures; /* in a row, after the start period */
    bool healthy;
    void *ctx;
    /* One of the two, once. */
    void (*passed)(struct cwsd_health *health);
    void (*failed)(struct cwsd_health *health, const char *why);
};

/* The caller has set plan, loop, ctx and the callbacks. The box runs. */
void cwsd_health_begin(struct cwsd_health *health, struct cwsd_box *box);
/* No more checks. Harmless if repeated, or if there were none. */
void cwsd_health_end(struct cwsd_health *health);
