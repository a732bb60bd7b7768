/* The libuv side of a loop, for io/ and the daemon only. */
#pragma once

#include <uv.h>

#include "io/loop.h"

/* The loop's uv_loop_t. Loop thread, or before the loop runs. */
uv_loop_t *cws_loop_uv(struct cws_loop *loop);

/*
 * Has the kernel watch `fd`, for nothing yet, so that libuv, which asks for it later and ends the
 * process where it is refused, is not refused: a user may only have so many watches, and other
 * programs may have taken them all. To be called before libuv next waits for events, each time it
 * is told to watch a descriptor that it does not watch already. 0 or a libuv error (UV_ENOSPC,
 * UV_ENOMEM). Loop thread, or before the loop runs.
 */
int cws_loop_reserve(struct cws_loop *loop, int fd) CWS_MUST_CHECK;
/* The same for the handle's descriptor; 0 when it has none. */
int cws_loop_reserve_handle(struct cws_loop *loop, const uv_handle_t *handle) CWS_MUST_CHECK;

/* Fills *err from a libuv code (negative) and returns `status`. */
enum cws_status cws_error_set_uv(struct cws_error *err, enum cws_status status, int uv_code,
                                 const char *what);
