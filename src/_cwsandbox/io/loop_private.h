/* What loop.c and timer.c share. */
#pragma once

#include "io/timer.h"

struct cws_timers {
    struct cws_timer **heap; /* by due_ns, the earliest first */
    size_t count;
    size_t cap;
};

struct cws_timers *cws_loop_timers(struct cws_loop *loop);
/* The earliest deadline may have moved: see that the libuv timer fires in time. */
void cws_loop_timers_changed(struct cws_loop *loop);
/* The earliest timer if it is due, unset; else NULL. */
struct cws_timer *cws_timers_pop_due(struct cws_timers *timers, uint64_t now_ns);
