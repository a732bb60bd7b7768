/*
 * Measures how long the tasks of this thread's event loop have been taking items that were ready.
 * Awaiting such an item does not suspend, so an endless stream of them would starve the loop.
 *
 * There is one measurement per thread, since a thread runs one loop. Most items cost only a
 * counter; the clock is read for few of them. Called with the GIL held.
 */
#pragma once

#include "py/compat.h"

/* A task is about to take an item. True: the task must suspend first, to let the loop run. */
bool py_pace_is_due(void);

/* A task of this thread has suspended. */
void py_pace_reset(void);
