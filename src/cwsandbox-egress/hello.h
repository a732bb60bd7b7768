/*
 * The first message of a TLS connection, as far as the name in it. What comes is a stranger's. The
 * bytes are looked at, never decrypted. Values only.
 */
#pragma once

#include "names.h"

/* The longest that is waited for, headers of records included. Large ones, with several key shares
 * and tickets, have 4 KiB. */
#define CWSE_MAX_HELLO ((size_t)16 * 1024)

enum cwse_hello {
    CWSE_HELLO_PARTIAL, /* more must come */
    CWSE_HELLO_NAMED,
    CWSE_HELLO_NAMELESS, /* whole, but it names no host */
    CWSE_HELLO_FOREIGN,  /* no TLS */
    CWSE_HELLO_BROKEN,   /* malformed, or the name in it is no host name */
};

/* Looks at the first `len` bytes of a connection. *out_name is written for CWSE_HELLO_NAMED, in
 * lower case and without a dot at its end. An encrypted hello counts by its outer name: what many
 * programs send there stands for nothing, and both look the same. */
enum cwse_hello cwse_hello_read(const uint8_t *data, size_t len, char out_name[CWSE_NAME_SIZE]);
