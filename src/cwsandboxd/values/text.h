/* Makes text from outside fit to be kept, sent on and shown. Values only; any thread. */
#pragma once

#include "base/base.h"

/* The length of the well-formed UTF-8 character at the start of `len` > 0 bytes; 0 if there is
 * none. */
size_t cwsd_text_char(const uint8_t *bytes, size_t len);

bool cwsd_text_is_utf8(const uint8_t *bytes, size_t len);

/* Replaces, in place, each byte of control characters and of what is not UTF-8 (such as a character
 * cut off at the end) by '?'. */
void cwsd_text_clean(char *text);

/* Whether the `len` bytes are this secret. Takes as long whatever is wrong with them. */
bool cwsd_text_is_secret(const char *given, size_t len, const char *secret);

/* A value for use in a message: cleaned, and shortened with "..." if it is long. */
struct cwsd_short_text {
    char text[64];
};
struct cwsd_short_text cwsd_text_short(const char *text);
