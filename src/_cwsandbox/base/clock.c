#include "base/clock.h"

#include <time.h>

static uint64_t ns_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * CWS_NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t cws_clock_now_ns(void)
{
    return ns_of(CLOCK_MONOTONIC);
}

uint64_t cws_clock_wall_ns(void)
{
    return ns_of(CLOCK_REALTIME);
}

uint64_t cws_clock_deadline_ns(double timeout_s)
{
    uint64_t now = cws_clock_now_ns();
    if (!(timeout_s > 0)) /* NaN, too */
        return now;
    double timeout_ns = timeout_s * (double)CWS_NS_PER_S;
    if (timeout_ns >= (double)(CWS_NO_DEADLINE - now))
        return CWS_NO_DEADLINE;
    return now + (uint64_t)timeout_ns;
}
