/* In place of a call's functions, for tests of what decides on a call and leaves the answer to
 * others: none of these may be called. */
#pragma once

#include "support/daemon_help.h"

#include "grpc/server.h"

void cws_server_call_finish(struct cws_server_call *call, enum cws_grpc_code code,
                            const char *message, const uint8_t *details, size_t details_len)
{
    (void)call, (void)code, (void)message, (void)details, (void)details_len;
    fail();
}

struct cws_block *cws_server_message_new(size_t len)
{
    (void)len;
    fail();
    return NULL;
}
