/* The file with the secret that clients must send. */
#pragma once

#include "base/status.h"

#define CWSD_TOKEN_SIZE 1025

/* Reads the token. If there is no file, makes one (mode 0600, 32 random bytes as hex) and sets
 * *out_made. CWS_INVALID: others may read the file, it belongs to another user, or its content is
 * not a token (one line of 16 to 1024 printable characters without blanks). CWS_SYSTEM: it cannot
 * be read or made. */
enum cws_status cwsd_token_load(const char *path, char out_token[CWSD_TOKEN_SIZE], bool *out_made,
                                struct cws_error *err) CWS_MUST_CHECK;
