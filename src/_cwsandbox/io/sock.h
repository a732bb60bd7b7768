/*
 * The transport over a connected libuv stream (TCP or Unix socket). io/ and the daemon only.
 *
 * An idle sock holds no buffers: reads go into the loop's scratch memory, and what the kernel does
 * not take at once is copied for as long as it takes.
 */
#pragma once

#include "io/transport.h"
#include "io/uv.h"

/* Memory for one uv_tcp_t or uv_pipe_t, made here so that the transport can take it over. */
struct cws_sock;

/* A sock with an initialised, unconnected handle of the family: AF_UNIX → uv_pipe_t, else
 * uv_tcp_t. NULL when out of memory. TCP_NODELAY is set once connected. SIGPIPE is kept from
 * the calling thread from then on, because libuv writes with write(2): a peer that went away is
 * an error, never a signal. */
struct cws_sock *cws_sock_new(struct cws_loop *loop, int family);
uv_stream_t *cws_sock_stream(struct cws_sock *sock);

/* Connected: lets the kernel end the connection when the peer's host has vanished, about half a
 * minute after the last byte that was not acknowledged, or a minute into silence. Does nothing to a
 * Unix socket. */
void cws_sock_watch_host(struct cws_sock *sock);

/* The sock as a transport (the same object). To be closed as such, connected or not. */
struct cws_transport *cws_sock_transport(struct cws_sock *sock);

/* Hands a started transport back to idle, so that the next owner can start it: no event comes to
 * the old owner any more, and the next one first gets the `len` bytes at `data`, which the old
 * one had received but not meant for itself. Allowed in on_data, once. On CWS_NO_MEMORY the sock
 * is as before. */
enum cws_status cws_sock_rewind(struct cws_sock *sock, const uint8_t *data,
                                size_t len) CWS_MUST_CHECK;
