/*
 * Scratch memory of the loop, so that thousands of idle connections need none of their own, and
 * threads with small stacks can run the loop. Each use has its own; the content is good until the
 * function or callback that filled it returns or calls out, unless it says otherwise. Loop thread.
 */
#pragma once

#include "io/loop.h"

enum cws_scratch {
    CWS_SCRATCH_RECEIVED, /* sock: bytes from a peer, while on_data runs */
    CWS_SCRATCH_PLAIN,    /* tls: decrypted bytes, while on_data runs */
    CWS_SCRATCH_CIPHER,   /* tls: encrypted bytes on their way down; never while an owner runs */
    CWS_SCRATCH_FRAMES,   /* h2: frames that leave in one write, while nghttp2 makes more */
    CWS_SCRATCH_COUNT,
};
#define CWS_SCRATCH_SIZE ((size_t)128 * 1024)
/* NULL when out of memory. */
uint8_t *cws_loop_scratch(struct cws_loop *loop, enum cws_scratch which);
