/* Monotonic time, and the time of day. Any thread. */
#pragma once

#include "base/base.h"

/* The deadline that means "none". */
#define CWS_NO_DEADLINE UINT64_MAX

/* The time of CLOCK_MONOTONIC in nanoseconds. */
uint64_t cws_clock_now_ns(void);

/* The time of CLOCK_REALTIME, likewise: for records that others read. */
uint64_t cws_clock_wall_ns(void);

/* The deadline `timeout_s` seconds from now, for a timeout that a user gave. NaN, negative and too
 * large values are clamped to [now, CWS_NO_DEADLINE]. */
uint64_t cws_clock_deadline_ns(double timeout_s);
