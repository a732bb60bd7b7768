/* A pipe between the daemon and something in a box. Loop thread only. */
#pragma once

#include "box/box_private.h"

/* One end goes into the request, under `flag`; the other is watched, for nothing yet. With
 * CWSI_STDIN the daemon writes, with the other flags it reads. CWS_SYSTEM. */
enum cws_status cwsd_pipe_open(const struct cwsd_box *box, struct cwsd_request *request,
                               uint32_t flag, struct cwsd_watch *watch,
                               void (*ready)(struct cwsd_watch *watch, int events),
                               struct cws_error *err) CWS_MUST_CHECK;
