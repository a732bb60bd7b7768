/* A libuv handle for a TCP or Unix socket. */
#pragma once

#include "io/uv.h"

union cws_uv_socket {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

/* Initialises the handle, without a descriptor, and sets its `data`. Loop thread, or before the
 * loop runs. */
static inline void cws_uv_socket_init(union cws_uv_socket *uv, struct cws_loop *loop, bool is_unix,
                                      void *data)
{
    int rc = is_unix ? uv_pipe_init(cws_loop_uv(loop), &uv->pipe, 0)
                     : uv_tcp_init(cws_loop_uv(loop), &uv->tcp);
    assert(rc == 0); /* neither of the two fails without a descriptor to make */
    (void)rc;
    uv->handle.data = data;
}
