/*
 * The server's table of methods. Every method of the .proto files has an entry: the ones offered
 * here, and a polite refusal (UNIMPLEMENTED, CWSANDBOX_NOT_IMPLEMENTED) for the rest.
 */
#pragma once

#include "service/unary.h"

struct cwsd_methods {
    struct cws_server_method *entries;
    struct cwsd_unary_method *unary; /* of each entry; without a row where it is not unary */
    size_t count;
};

/* Caller's memory. For a server whose ctx is a cwsd_service. CWS_NO_MEMORY. */
enum cws_status cwsd_methods_init(struct cwsd_methods *methods) CWS_MUST_CHECK;
/* After the server that uses them is gone. An all-zero one is allowed. */
void cwsd_methods_done(struct cwsd_methods *methods);
