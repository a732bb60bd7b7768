/*
 * Name look-up in a thread of its own.
 *
 * Not libuv's thread pool: its threads are joined when the process exits, which would let exit()
 * wait for a name server that does not answer, and crash in a forked child, where they do not
 * exist.
 */
#pragma once

#include <netdb.h>

#include "io/loop.h"

struct cws_resolve;

/* Loop thread, once. `found` is NULL unless *err is CWS_OK; it is the callee's, for freeaddrinfo.
 * CWS_RESOLVE, CWS_NO_MEMORY. */
typedef void (*cws_resolve_done_fn)(void *ctx, struct addrinfo *found, const struct cws_error *err);

/* Loop thread: looks up addresses for a stream connection to `host`. `done` is not called from
 * inside. NULL with *err set: out of memory, or no thread could be started. */
struct cws_resolve *cws_resolve_start(struct cws_loop *loop, const char *host, uint16_t port,
                                      cws_resolve_done_fn done, void *ctx, struct cws_error *err);

/* Loop thread: `done` is not called any more. The look-up itself cannot be ended; it frees
 * itself. */
void cws_resolve_cancel(struct cws_resolve *resolve);
