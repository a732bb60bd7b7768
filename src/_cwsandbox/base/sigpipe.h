/* Protects the calling thread from SIGPIPE. A write to a broken connection sends it, and by default
 * it ends the program. */
#pragma once

#include <signal.h>

#include "base/base.h"

/* Blocks the signal. False: it is ignored anyway, as in most programs (among them Python), and
 * nothing was changed. */
bool cws_sigpipe_block(sigset_t *out_before);

/* After cws_sigpipe_block has returned true: restores the mask. A SIGPIPE that came meanwhile is
 * dropped. */
void cws_sigpipe_restore(const sigset_t *before);
