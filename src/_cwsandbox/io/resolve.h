/*
 * Name look-up in a thread of its own.
 *
 * libuv's thread pool is not used. Its threads are joined when the process exits, so exit() would
 * wait for a name server that does not answer, and would crash in a forked child, where those
 * threads do not exist.
 */
#pragma once

#include <netdb.h>

#include "io/loop.h"

struct cws_resolve;

/* Called once, on the loop thread. `found` is NULL unless err->status is CWS_OK; the callee owns it
 * and frees it with freeaddrinfo. Errors: CWS_RESOLVE, CWS_NO_MEMORY. */
typedef void (*cws_resolve_done_fn)(void *ctx, struct addrinfo *found, const struct cws_error *err);

/* Loop thread: looks up addresses for a stream connection to `host`. `done` is never called from
 * inside. NULL with *err set when out of memory or when no thread could be started. */
struct cws_resolve *cws_resolve_start(struct cws_loop *loop, const char *host, uint16_t port,
                                      cws_resolve_done_fn done, void *ctx, struct cws_error *err);

/* Loop thread: `done` will not be called. The look-up itself cannot be interrupted; it frees itself
 * when it ends. */
void cws_resolve_cancel(struct cws_resolve *resolve);
