/* A unary call as an operation: started on any thread, its result taken on any thread. */
#pragma once

#include "grpc/channel.h"
#include "grpc/status.h"
#include "base/block.h"
#include "base/ref.h"
#include "io/future.h"

struct cws_unary {
    struct cws_ref ref;
    struct cws_future future;
    /* Valid once the future is done: */
    struct cws_grpc_status status;
    uint8_t *reply; /* serialized message; NULL unless status.code is 0 */
    size_t reply_len;
    /* The rest is the loop thread's. */
    struct cws_unary_loop *loop_side;
};

/* Any thread. `path` is static memory; `request` has CWS_CALL_PREFIX bytes of room in front and is taken over on success.
 * `timeout_s` seconds, negative: none. */
enum cws_status cws_unary_start(struct cws_channel *channel, const char *path, struct cws_block *request,
                                double timeout_s, struct cws_unary **out_unary, struct cws_error *err) CWS_MUST_CHECK;
void cws_unary_ref(struct cws_unary *unary);
void cws_unary_unref(struct cws_unary *unary); /* NULL is allowed */

/* Any thread: asks for the end; the future is then done with CANCELLED, unless it was done before. */
void cws_unary_cancel(struct cws_unary *unary);
