/*
 * The head of an HTTP/1 request, as far as an endpoint must know it: whether it is whole, and
 * whether it carries the endpoint's token. Values only; any thread.
 */
#pragma once

#include "base/base.h"

/* The longest head that is waited for. */
#define CWSD_MAX_HTTP_HEAD ((size_t)64 * 1024)

/* The length of the head, its empty line included; 0 if it is not whole yet. */
size_t cwsd_http_head_len(const uint8_t *data, size_t len);

/* Whether the bytes can be, or become, the head of a request. */
bool cwsd_http_head_is_plausible(const uint8_t *data, size_t len);

/* Whether a whole head of `len` bytes has this token, in the header X-Sandbox-Share-Token or in the
 * query's share_token. Takes as long for a wrong token as for the right one. */
bool cwsd_http_head_has_token(const uint8_t *data, size_t len, const char *token);
