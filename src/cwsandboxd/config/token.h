/* The file with the secret that clients must send. */
#pragma once

#include "base/status.h"

#define CWSD_TOKEN_SIZE 1025

/* Reads the token, or makes the file (mode 0600, 32 random bytes as hex) if there is none;
 * *out_made says which. CWS_INVALID: others may read the file, it is another user's, or what is
 * in it is no token (16 to 1024 printable characters without blanks, on one line). CWS_SYSTEM:
 * it cannot be read or made. */
enum cws_status cwsd_token_load(const char *path, char out_token[CWSD_TOKEN_SIZE], bool *out_made,
                                struct cws_error *err) CWS_MUST_CHECK;
