/* The libuv side of a loop, for io/ and the daemon only. */
#pragma once

#include <uv.h>

#include "io/loop.h"

/* The loop's uv_loop_t. Loop thread, or before the loop runs. */
uv_loop_t *cws_loop_uv(struct cws_loop *loop);

/* Fills *err from a libuv code (negative) and returns `status`. */
enum cws_status cws_error_set_uv(struct cws_error *err, enum cws_status status, int uv_code,
                                 const char *what);
