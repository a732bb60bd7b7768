/* The libuv side of a loop, for io/ and the daemon only. */
#pragma once

#include <uv.h>

#include "io/loop.h"

/* The loop's uv_loop_t. Loop thread, or before the loop runs. */
uv_loop_t *cws_loop_uv(struct cws_loop *loop);

/* Fills *err from a libuv code (negative) and returns `status`. */
enum cws_status cws_error_set_uv(struct cws_error *err, enum cws_status status, int uv_code,
                                 const char *what);

/* Scratch memory of the loop, so that thousands of idle connections need none of their own. Each
 * use has its own; the content is good until the function or callback that filled it returns or
 * calls out, unless it says otherwise. NULL when out of memory. Loop thread. */
enum cws_scratch {
    CWS_SCRATCH_RECEIVED, /* sock: bytes from a peer, while on_data runs */
    CWS_SCRATCH_PLAIN,    /* tls: decrypted bytes, while on_data runs */
    CWS_SCRATCH_CIPHER,   /* tls: encrypted bytes on their way down; never while an owner runs */
    CWS_SCRATCH_COUNT,
};
#define CWS_SCRATCH_SIZE ((size_t)128 * 1024)
uint8_t *cws_loop_scratch(struct cws_loop *loop, enum cws_scratch which);
