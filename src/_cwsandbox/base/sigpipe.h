/* SIGPIPE, by which a write to a broken connection ends a program that has left the signal its
 * default. For the calling thread. */
#pragma once

#include <signal.h>

#include "base/base.h"

/* Keeps it away. False: it is ignored anyway, as in most programs (Python's among them), and
 * nothing was changed. */
bool cws_sigpipe_block(sigset_t *out_before);

/* After cws_sigpipe_block was true: as before; a signal that came meanwhile is dropped. */
void cws_sigpipe_restore(const sigset_t *before);
