/* Monotonic time. Any thread. */
#pragma once

#include "base/base.h"

/* Deadline value that means "none". */
#define CWS_NO_DEADLINE UINT64_MAX

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t cws_clock_now_ns(void);

/* now + seconds, for a timeout given by a person: NaN, negative and too large values are clamped to
 * [now, CWS_NO_DEADLINE]. */
uint64_t cws_clock_deadline_ns(double timeout_s);
