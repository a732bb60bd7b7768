/*
 * For tests of what happens after many seconds: a clock for the core that the test moves forward. A
 * program that includes this has it in place of base/clock.c. Include it in only one source file of
 * a program.
 */
#pragma once

#include <time.h>

#include "base/clock.h"
#include "io/timer.h"
#include "io/uv.h"

static uint64_t fake_clock_ahead_ns;

uint64_t cws_clock_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return fake_clock_ahead_ns + (uint64_t)now.tv_sec * CWS_NS_PER_S + (uint64_t)now.tv_nsec;
}

/* The time of day stays the machine's. */
uint64_t cws_clock_wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * CWS_NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t cws_clock_deadline_ns(double timeout_s)
{
    return cws_clock_now_ns() + (timeout_s > 0 ? (uint64_t)(timeout_s * (double)CWS_NS_PER_S) : 0);
}

static bool fake_clock_rang;

static void fake_clock_ring(struct cws_timer *timer)
{
    (void)timer;
    fake_clock_rang = true;
}

/* Lets this much time pass. When it returns, every timer that is due by then has fired. It waits
 * for nothing else. */
static void fake_clock_advance(struct cws_loop *loop, uint64_t ns)
{
    struct cws_timer timer; /* the loop looks at its timers when this one is due: at once */
    fake_clock_ahead_ns += ns;
    fake_clock_rang = false;
    cws_timer_init(&timer, fake_clock_ring);
    if (cws_timer_set(loop, &timer, 0) != CWS_OK)
        abort();
    while (!fake_clock_rang)
        uv_run(cws_loop_uv(loop), UV_RUN_NOWAIT);
}
