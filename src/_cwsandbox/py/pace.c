#include "py/pace.h"

#include "base/clock.h"

/* A turn of an event loop costs about 4 µs: 2 % of this. */
#define LONGEST_NS (CWS_NS_PER_MS / 5)

/* Reading the clock costs half of what a short line does. */
enum { CHECK_EVERY = 8 };

static _Thread_local struct {
    unsigned taken; /* without suspending */
    uint64_t since_ns;
} pace;

bool py_pace_is_due(void)
{
    unsigned taken = pace.taken++;
    if (taken % CHECK_EVERY != 0 && taken > 2)
        return false;
    uint64_t now_ns = cws_clock_now_ns();
    if (taken == 0)
        pace.since_ns = now_ns;
    return now_ns - pace.since_ns > LONGEST_NS;
}

void py_pace_reset(void)
{
    pace.taken = 0;
}
