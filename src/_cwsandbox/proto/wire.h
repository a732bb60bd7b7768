/*
 * Reads and writes single fields of messages, where the generated code would copy large data, or
 * where a message becomes known in parts. Any thread.
 */
#pragma once

#include <string.h>

#include "base/base.h"

/* The tag of a length-delimited field: text, bytes, or a message. */
#define CWS_WIRE_TAG(number) ((unsigned)(number) << 3 | 2)

static inline size_t cws_wire_varint_size(size_t value)
{
    size_t size = 1;
    while (value >= 0x80) {
        value >>= 7;
        size++;
    }
    return size;
}

static inline uint8_t *cws_wire_put_varint(uint8_t *to, size_t value)
{
    while (value >= 0x80) {
        *to++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *to++ = (uint8_t)value;
    return to;
}

/* Tag and length of a field; returns the place behind them. */
static inline uint8_t *cws_wire_put_header(uint8_t *to, unsigned tag, size_t len)
{
    return cws_wire_put_varint(cws_wire_put_varint(to, tag), len);
}

static inline size_t cws_wire_header_size(unsigned tag, size_t len)
{
    return cws_wire_varint_size(tag) + cws_wire_varint_size(len);
}

/* A whole field; returns the place behind it. */
static inline uint8_t *cws_wire_put_text(uint8_t *to, unsigned tag, const char *text)
{
    size_t len = strlen(text);
    to = cws_wire_put_header(to, tag, len);
    memcpy(to, text, len);
    return to + len;
}

static inline size_t cws_wire_text_size(unsigned tag, const char *text)
{
    size_t len = strlen(text);
    return cws_wire_header_size(tag, len) + len;
}

/* A number; 0 is what a field has that is not there. */
static inline uint8_t *cws_wire_put_number(uint8_t *to, unsigned tag, unsigned value)
{
    return value ? cws_wire_put_varint(cws_wire_put_varint(to, tag), value) : to;
}

static inline size_t cws_wire_number_size(unsigned tag, unsigned value)
{
    return value ? cws_wire_varint_size(tag) + cws_wire_varint_size(value) : 0;
}

/* The place behind a varint whose groups of 7 bits begin below bit `bits`; NULL when it is longer,
 * or the bytes end first. */
static inline const uint8_t *cws_wire_take_varint(const uint8_t *at, const uint8_t *end, int bits,
                                                  uint64_t *out_value)
{
    uint64_t value = 0;
    for (int shift = 0; shift < bits && at < end; shift += 7) {
        uint8_t byte = *at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out_value = value;
            return at;
        }
    }
    return NULL;
}

/* A varint below 2^28, such as a message's length; NULL for a longer one or when the bytes end. */
static inline const uint8_t *cws_wire_take_small(const uint8_t *at, const uint8_t *end,
                                                 size_t *out_value)
{
    uint64_t value = 0;
    at = cws_wire_take_varint(at, end, 28, &value);
    *out_value = (size_t)value;
    return at;
}
