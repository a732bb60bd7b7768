#include "values/text.h"

#include <stdio.h>
#include <string.h>

size_t cwsd_text_char(const uint8_t *bytes, size_t len)
{
    uint8_t lead = bytes[0];
    if (lead < 0x80)
        return 1;
    size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || len < want)
        return 0;
    /* Overlong forms, surrogates and what lies beyond U+10FFFF show in the second byte. */
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (bytes[1] < low || bytes[1] > high)
        return 0;
    for (size_t i = 2; i < want; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    return want;
}

bool cwsd_text_is_utf8(const uint8_t *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t step = cwsd_text_char(bytes + at, len - at);
        if (step == 0)
            return false;
        at += step;
    }
    return true;
}

/* Of one byte or two: terminals obey U+0080 to U+009F, too. */
static bool is_control(const uint8_t *character)
{
    return character[0] < 0x20 || character[0] == 0x7f ||
           (character[0] == 0xc2 && character[1] < 0xa0);
}

void cwsd_text_clean(char *text)
{
    uint8_t *bytes = (uint8_t *)text;
    size_t len = strlen(text);
    for (size_t at = 0; at < len;) {
        size_t step = cwsd_text_char(bytes + at, len - at);
        if (step == 0 || is_control(bytes + at)) {
            bytes[at] = '?';
            step = 1;
        }
        at += step;
    }
}

bool cwsd_text_is_secret(const char *given, size_t len, const char *secret)
{
    size_t secret_len = strlen(secret);
    unsigned char differ = len != secret_len;
    for (size_t i = 0; i < secret_len; i++)
        differ |= (unsigned char)(secret[i] ^ (len ? given[i % len] : 0));
    return !differ;
}

struct cwsd_short_text cwsd_text_short(const char *text)
{
    struct cwsd_short_text out;
    size_t len = strlen(text);
    size_t room = sizeof(out.text) - sizeof("...");
    size_t keep = len;
    if (len >= sizeof(out.text))
        for (keep = 0; keep < room;) {
            size_t step = cwsd_text_char((const uint8_t *)text + keep, len - keep);
            step = step == 0 ? 1 : step;
            if (keep + step > room)
                break;
            keep += step;
        }
    memcpy(out.text, text, keep);
    snprintf(out.text + keep, sizeof(out.text) - keep, "%s", keep < len ? "..." : "");
    cwsd_text_clean(out.text);
    return out;
}
