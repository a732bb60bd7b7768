/* The text forms gRPC puts into header fields: timeouts, base64, percent-encoding (see
 * metadata.h). */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "grpc/metadata.h"

void cws_timeout_format(uint64_t left_ns, char out[16])
{
    static const struct {
        uint64_t ns;
        char unit;
    } units[] = {{1, 'n'},
                 {1000, 'u'},
                 {CWS_NS_PER_MS, 'm'},
                 {CWS_NS_PER_S, 'S'},
                 {60 * CWS_NS_PER_S, 'M'},
                 {3600 * CWS_NS_PER_S, 'H'}};
    const uint64_t most = 99999999; /* 8 digits */
    /* Milliseconds are fine enough and keep the text short; 'm' reaches over a day. */
    for (size_t i = 2; i < CWS_ARRAY_LEN(units); i++) {
        uint64_t amount = left_ns / units[i].ns + (left_ns % units[i].ns != 0);
        if (amount <= most) {
            snprintf(out, 16, "%llu%c", (unsigned long long)(amount ? amount : 1), units[i].unit);
            return;
        }
    }
    snprintf(out, 16, "%lluH", (unsigned long long)most);
}

bool cws_timeout_parse(const char *text, uint64_t *out_ns)
{
    uint64_t amount = 0;
    size_t digits = 0;
    for (; text[digits] >= '0' && text[digits] <= '9'; digits++) {
        if (digits == 8)
            return false;
        amount = amount * 10 + (uint64_t)(text[digits] - '0');
    }
    if (digits == 0 || text[digits] == '\0' || text[digits + 1] != '\0')
        return false;
    uint64_t unit;
    switch (text[digits]) {
    case 'n':
        unit = 1;
        break;
    case 'u':
        unit = 1000;
        break;
    case 'm':
        unit = CWS_NS_PER_MS;
        break;
    case 'S':
        unit = CWS_NS_PER_S;
        break;
    case 'M':
        unit = 60 * CWS_NS_PER_S;
        break;
    case 'H':
        unit = 3600 * CWS_NS_PER_S;
        break;
    default:
        return false;
    }
    *out_ns = amount > UINT64_MAX / unit ? UINT64_MAX : amount * unit;
    return true;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    return -1;
}

enum cws_status cws_base64_decode(const char *text, size_t len, struct cws_buf *out)
{
    size_t padding = 0;
    for (; padding < 2 && len > 0 && text[len - 1] == '='; padding++)
        len--;
    if (len % 4 == 1 || (padding && (len + padding) % 4 != 0))
        return CWS_INVALID;
    for (size_t i = 0; i < len; i++)
        if (base64_value(text[i]) < 0)
            return CWS_INVALID;
    uint8_t *to;
    enum cws_status status = cws_buf_reserve(out, len / 4 * 3 + 3, &to);
    if (status != CWS_OK)
        return status;
    size_t written = 0;
    uint32_t bits = 0;
    int held = 0;
    for (size_t i = 0; i < len; i++) {
        bits = bits << 6 | (uint32_t)base64_value(text[i]);
        held += 6;
        if (held >= 8) {
            held -= 8;
            to[written++] = (uint8_t)(bits >> held);
        }
    }
    cws_buf_commit(out, written);
    return CWS_OK;
}

char *cws_base64_encode(const uint8_t *bytes, size_t len, bool padded)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (len > SIZE_MAX / 2)
        return NULL;
    char *text = cws_malloc(len / 3 * 4 + 5);
    if (!text)
        return NULL;
    char *at = text;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t group = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                         (left > 2 ? (uint32_t)bytes[i + 2] : 0);
        *at++ = alphabet[group >> 18];
        *at++ = alphabet[group >> 12 & 63];
        if (left > 1)
            *at++ = alphabet[group >> 6 & 63];
        else if (padded)
            *at++ = '=';
        if (left > 2)
            *at++ = alphabet[group & 63];
        else if (padded)
            *at++ = '=';
    }
    *at = '\0';
    return text;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

char *cws_percent_decode(const char *text, size_t len)
{
    char *decoded = cws_malloc(len + 1);
    if (!decoded)
        return NULL;
    size_t written = 0;
    for (size_t i = 0; i < len; i++) {
        int high = i + 2 < len && text[i] == '%' ? hex_value(text[i + 1]) : -1;
        int low = high >= 0 ? hex_value(text[i + 2]) : -1;
        if (low >= 0 && (high || low)) { /* %00 would end the text early: left as it is */
            decoded[written++] = (char)(high << 4 | low);
            i += 2;
        } else {
            decoded[written++] = text[i];
        }
    }
    decoded[written] = '\0';
    return decoded;
}

char *cws_percent_encode(const char *text, size_t len)
{
    static const char digits[] = "0123456789ABCDEF";
    if (len > SIZE_MAX / 4)
        return NULL;
    char *encoded = cws_malloc(len * 3 + 1);
    if (!encoded)
        return NULL;
    char *at = encoded;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c <= 0x7e && c != '%') {
            *at++ = (char)c;
        } else {
            *at++ = '%';
            *at++ = digits[c >> 4];
            *at++ = digits[c & 15];
        }
    }
    *at = '\0';
    return encoded;
}
