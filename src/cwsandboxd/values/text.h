/* Text from outside, made fit to be kept, sent on and shown. Values only. */
#pragma once

#include "base/base.h"

/* Length of the well-formed UTF-8 character at the front of `len` > 0 bytes; 0 if there is none. */
size_t cwsd_text_char(const uint8_t *bytes, size_t len);

bool cwsd_text_is_utf8(const uint8_t *bytes, size_t len);

/* In place: what is not UTF-8 (a character cut at the end too) and every control character
 * becomes '?'. */
void cwsd_text_clean(char *text);

/* A value for a message: cleaned, and cut with "..." when it is long. */
struct cwsd_short_text {
    char text[64];
};
struct cwsd_short_text cwsd_text_short(const char *text);
