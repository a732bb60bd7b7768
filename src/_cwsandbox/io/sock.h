/*
 * The transport over a connected libuv stream (TCP or Unix socket). io/ and the daemon only.
 *
 * An idle sock holds no buffers. Reads go into the loop's scratch memory; bytes that the kernel
 * does not take at once are copied and kept until it does.
 */
#pragma once

#include "io/transport.h"
#include "io/uv.h"

/* Memory for one uv_tcp_t or uv_pipe_t, made here so that the transport can take it over. */
struct cws_sock;

/* A sock with an initialised, unconnected handle of the family: AF_UNIX → uv_pipe_t, else
 * uv_tcp_t. NULL when out of memory. TCP_NODELAY is set once connected. SIGPIPE is blocked in the
 * calling thread from then on, because libuv writes with write(2): a peer that has gone away must
 * be an error, never a signal. */
struct cws_sock *cws_sock_new(struct cws_loop *loop, int family);
uv_stream_t *cws_sock_stream(struct cws_sock *sock);

/* For a connected sock: makes the kernel end the connection when the peer's host has vanished. That
 * is about half a minute after the first byte that is not acknowledged, or after a minute of
 * silence. Does nothing to a Unix socket. */
void cws_sock_watch_host(struct cws_sock *sock);

/* The sock as a transport (the same object). Close it as a transport, connected or not. */
struct cws_transport *cws_sock_transport(struct cws_sock *sock);

/* Makes a started transport idle again, so that the next owner can start it. The old owner gets no
 * more events. The next one first gets the `len` bytes at `data`, which the old one received but
 * which were not meant for it. Allowed once, in on_data. On CWS_NO_MEMORY the sock is unchanged. */
enum cws_status cws_sock_rewind(struct cws_sock *sock, const uint8_t *data,
                                size_t len) CWS_MUST_CHECK;
