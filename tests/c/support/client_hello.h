/* For the tests of what reads the first message of TLS: such messages, in the making. */
#pragma once

#include "cwsandbox-egress/hello.h"
#include "support/unit.h"

/* A hello as it lies on the wire, in the making. */
struct making {
    uint8_t bytes[CWSE_MAX_HELLO * 2];
    size_t len;
};

static inline void put(struct making *making, const void *bytes, size_t len)
{
    assert_true(making->len + len <= sizeof(making->bytes));
    memcpy(making->bytes + making->len, bytes, len);
    making->len += len;
}

static inline void put_number(struct making *making, size_t number, size_t size)
{
    while (size-- > 0) {
        uint8_t byte = (uint8_t)(number >> (8 * size));
        put(making, &byte, 1);
    }
}

static inline void put_vector(struct making *making, const struct making *content, size_t size)
{
    put_number(making, content->len, size);
    put(making, content->bytes, content->len);
}

static inline struct making extension(unsigned kind, const struct making *content)
{
    struct making made = {.len = 0};
    put_number(&made, kind, 2);
    put_vector(&made, content, 2);
    return made;
}

static inline struct making name_list(const char *const *names)
{
    struct making list = {.len = 0}, made = {.len = 0};
    for (; *names; names++) {
        put_number(&list, 0, 1);
        put_number(&list, strlen(*names), 2);
        put(&list, *names, strlen(*names));
    }
    put_vector(&made, &list, 2);
    return made;
}

/* The handshake's message with these extensions. */
static inline struct making message(const struct making *extensions)
{
    struct making body = {.len = 0}, made = {.len = 0};
    static const uint8_t random[32] = {1};
    put(&body, "\3\3", 2);
    put(&body, random, sizeof(random));
    put(&body, "\0", 1);
    put(&body, "\0\2\x13\1", 4);
    put(&body, "\1\0", 2);
    if (extensions)
        put_vector(&body, extensions, 2);
    put_number(&made, 1, 1);
    put_vector(&made, &body, 3);
    return made;
}

/* The message in records of at most this many bytes. */
static inline struct making records(const struct making *whole, size_t piece)
{
    struct making made = {.len = 0};
    for (size_t at = 0; at < whole->len; at += piece) {
        size_t len = whole->len - at < piece ? whole->len - at : piece;
        put(&made, "\x16\3\1", 3);
        put_number(&made, len, 2);
        put(&made, whole->bytes + at, len);
    }
    return made;
}

static inline struct making hello_for(const char *name, size_t piece)
{
    struct making list = name_list((const char *const[]){name, NULL});
    struct making extensions = extension(0, &list);
    struct making whole = message(&extensions);
    return records(&whole, piece);
}
