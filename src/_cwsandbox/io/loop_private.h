/* What loop.c, timer.c and guest.c share. */
#pragma once

#include "io/timer.h"

struct cws_turn;

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

/* Any thread. */
struct cws_turn *cws_loop_turn(struct cws_loop *loop);

/* For who has the turn (turn.h) and nobody else: the calling thread is the loop's from now on. */
void cws_loop_set_runner(struct cws_loop *loop);
/* One iteration without waiting; what it defers is left. */
void cws_loop_step(struct cws_loop *loop);
void cws_loop_run_deferred(struct cws_loop *loop);
/* What says that an event has come, and after how many milliseconds to look without one: -1:
 * never. */
int cws_loop_backend_fd(const struct cws_loop *loop);
int cws_loop_backend_timeout(const struct cws_loop *loop);
/* cws_loop_stop has come through to the loop. */
bool cws_loop_has_stopped(const struct cws_loop *loop);
/* Whether an iteration would find something to do at once. `loop` is a struct cws_loop. */
bool cws_loop_has_work(void *loop);
