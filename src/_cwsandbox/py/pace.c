#include "py/pace.h"

#include "base/clock.h"

/* A turn of an event loop costs about 4 µs: 1 % of this. */
#define LONGEST_NS (CWS_NS_PER_MS * 2 / 5)

/* Reading the clock costs half as much as a short line, so it is not read for each item. While
 * items pass quickly it is read less and less often, but at least once in LONGEST_STRIDE items,
 * since they may become slow at any time. */
enum { LONGEST_STRIDE = 32 };

/* Items to be taken before the clock is read again. Shared by all threads, under the GIL: it only
 * says when to look. */
static unsigned countdown;

static _Thread_local struct {
    uint64_t since_ns;   /* the first look since the last suspension; 0: none yet */
    uint64_t checked_ns; /* the last look */
    unsigned stride;
} pace;

static bool look(void)
{
    uint64_t now_ns = cws_clock_now_ns();
    uint64_t spent_ns = now_ns - pace.checked_ns;
    pace.checked_ns = now_ns;
    if (pace.since_ns == 0) {
        pace.since_ns = now_ns;
        pace.stride = 1;
    } else if (spent_ns > LONGEST_NS / 8) {
        pace.stride = 1;
    } else if (pace.stride < LONGEST_STRIDE) {
        pace.stride *= 2;
    }
    countdown = pace.stride;
    return now_ns - pace.since_ns > LONGEST_NS;
}

bool py_pace_is_due(void)
{
    if (countdown > 1) {
        countdown--;
        return false;
    }
    return look();
}

void py_pace_reset(void)
{
    pace.since_ns = 0;
    countdown = 0;
}
