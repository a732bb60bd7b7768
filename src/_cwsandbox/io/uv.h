/* The libuv side of a loop, for io/ and the daemon only. */
#pragma once

#include <uv.h>

#include "io/loop.h"

/* The loop's uv_loop_t. Loop thread, or before the loop runs. */
uv_loop_t *cws_loop_uv(struct cws_loop *loop);

/*
 * Registers `fd` with the kernel, without any events yet. libuv registers descriptors itself later,
 * but aborts the process if the kernel refuses. It may refuse: the number of watches per user is
 * limited, and other programs may have taken them all. Must be called each time libuv is told to
 * watch a new descriptor, before it next waits for events. 0 or a libuv error (UV_ENOSPC,
 * UV_ENOMEM). Loop thread, or before the loop runs.
 */
int cws_loop_reserve(struct cws_loop *loop, int fd) CWS_MUST_CHECK;
/* The same for the handle's descriptor; 0 if it has none. */
int cws_loop_reserve_handle(struct cws_loop *loop, const uv_handle_t *handle) CWS_MUST_CHECK;

/* Fills *err from a libuv code (negative) and returns `status`. */
enum cws_status cws_error_set_uv(struct cws_error *err, enum cws_status status, int uv_code,
                                 const char *what);
