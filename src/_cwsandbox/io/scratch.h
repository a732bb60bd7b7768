/*
 * The loop's scratch memory. It spares thousands of idle connections buffers of their own, and lets
 * threads with small stacks run the loop. Each use has its own buffer. Its content is valid until
 * the function or callback that filled it returns or calls other code, unless noted below. Loop
 * thread.
 */
#pragma once

#include "io/loop.h"

enum cws_scratch {
    CWS_SCRATCH_RECEIVED, /* sock: bytes from a peer, while on_data runs */
    CWS_SCRATCH_PLAIN,    /* tls: decrypted bytes, while on_data runs */
    CWS_SCRATCH_CIPHER,   /* tls: encrypted bytes on their way down; never while an owner's callback
                             runs */
    CWS_SCRATCH_FRAMES,   /* h2: frames that leave in one write, while nghttp2 makes more */
    CWS_SCRATCH_COUNT,
};
#define CWS_SCRATCH_SIZE ((size_t)128 * 1024)
/* NULL when out of memory. */
uint8_t *cws_loop_scratch(struct cws_loop *loop, enum cws_scratch which);
