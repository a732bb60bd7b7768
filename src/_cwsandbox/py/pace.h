/*
 * How long tasks of this thread's event loop have been taking, one after another, items that were
 * there: awaiting those does not suspend, and what comes without end would leave the loop no turn.
 *
 * One for each thread, as a thread runs one loop. The cost of an item is a counter; the clock is
 * read for few of them.
 */
#pragma once

#include "py/compat.h"

/* A task is about to take an item. True: it is time to let the loop go on first. */
bool py_pace_is_due(void);

/* A task of this thread has suspended. */
void py_pace_reset(void);
