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
/* The earliest deadline may have moved: sets the libuv timer accordingly. */
void cws_loop_timers_changed(struct cws_loop *loop);
/* The earliest timer, if it is due; it is unset by then. Otherwise NULL. */
struct cws_timer *cws_timers_pop_due(struct cws_timers *timers, uint64_t now_ns);

/* Any thread. */
struct cws_turn *cws_loop_turn(struct cws_loop *loop);

/* Only for the thread that has the turn (turn.h): makes the calling thread the loop thread. */
void cws_loop_set_runner(struct cws_loop *loop);
/* One iteration without waiting. Does not run what the iteration defers. */
void cws_loop_step(struct cws_loop *loop);
void cws_loop_run_deferred(struct cws_loop *loop);
/* The descriptor that becomes readable when there is an event, and the milliseconds after which the
 * loop must run even without one (-1: none). */
int cws_loop_backend_fd(const struct cws_loop *loop);
int cws_loop_backend_timeout(const struct cws_loop *loop);
/* The loop has seen cws_loop_stop. */
bool cws_loop_has_stopped(const struct cws_loop *loop);
/* Whether an iteration would find something to do immediately. `loop` is a struct cws_loop. */
bool cws_loop_has_work(void *loop);
