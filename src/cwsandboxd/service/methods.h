/*
 * The servers' tables of methods. In the gateway's, every method of the .proto files has an entry.
 * Those that this daemon does not offer there are refused with UNIMPLEMENTED and
 * CWSANDBOX_NOT_IMPLEMENTED.
 */
#pragma once

#include "service/unary.h"

struct cwsd_methods {
    struct cws_server_method *entries;
    struct cwsd_unary_method
        *unary; /* one per entry; its row is NULL if the entry is not a unary method offered here */
    size_t count;
};

/* Fills the table for a server whose ctx is a cwsd_service. The struct is the caller's memory.
 * CWS_NO_MEMORY. */
enum cws_status cwsd_methods_init(struct cwsd_methods *methods) CWS_MUST_CHECK;
/* The same for the direct data plane: its methods are the gateway's of the same names, and there
 * are no others. */
enum cws_status cwsd_methods_init_direct(struct cwsd_methods *methods) CWS_MUST_CHECK;
/* Frees the table, once the server that uses it is gone. An all-zero struct is allowed. */
void cwsd_methods_done(struct cwsd_methods *methods);
