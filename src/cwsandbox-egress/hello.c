#include "hello.h"

#include <string.h>

#define RECORD_HEADER    5
#define MAX_RECORD       ((size_t)1 << 14)
#define HANDSHAKE_RECORD 22
#define HANDSHAKE_HEADER 4
#define CLIENT_HELLO     1
#define RANDOM_LEN       32
#define SERVER_NAME      0 /* the extension, and in it the kind of name that is a host's */

/* Bytes that are still to be read. */
struct rest {
    const uint8_t *at;
    size_t len;
};

static bool take(struct rest *rest, size_t len, struct rest *out_taken)
{
    if (len > rest->len)
        return false;
    *out_taken = (struct rest){rest->at, len};
    rest->at += len;
    rest->len -= len;
    return true;
}

static bool take_number(struct rest *rest, size_t size, size_t *out_number)
{
    struct rest bytes;
    if (!take(rest, size, &bytes))
        return false;
    *out_number = 0;
    for (size_t i = 0; i < size; i++)
        *out_number = *out_number << 8 | bytes.at[i];
    return true;
}

/* Some bytes after their length, which itself has `size` bytes. */
static bool take_vector(struct rest *rest, size_t size, struct rest *out_vector)
{
    size_t len;
    return take_number(rest, size, &len) && take(rest, len, out_vector);
}

/* ---- records -------------------------------------------------------------------------------- */

/* Puts together what the records hold of the handshake, as far as it has come. False: what came is
 * no handshake. */
static bool join_records(struct rest rest, uint8_t *joined, size_t *out_len)
{
    *out_len = 0;
    while (rest.len > 0) {
        const uint8_t *header = rest.at;
        if (header[0] != HANDSHAKE_RECORD || (rest.len > 1 && header[1] != 3))
            return false;
        if (rest.len < RECORD_HEADER)
            return true;
        size_t len = (size_t)header[3] << 8 | header[4];
        if (len == 0 || len > MAX_RECORD)
            return false;
        size_t here = rest.len - RECORD_HEADER < len ? rest.len - RECORD_HEADER : len;
        memcpy(joined + *out_len, header + RECORD_HEADER, here);
        *out_len += here;
        rest.at += RECORD_HEADER + here;
        rest.len -= RECORD_HEADER + here;
        /* What follows the hello is not looked at. */
        if (*out_len >= HANDSHAKE_HEADER &&
            *out_len - HANDSHAKE_HEADER >=
                ((size_t)joined[1] << 16 | (size_t)joined[2] << 8 | joined[3]))
            return true;
    }
    return true;
}

/* ---- the message ---------------------------------------------------------------------------- */

/* `names`: the content of the extension. */
static enum cwse_hello read_names(struct rest names, char out_name[CWSE_NAME_SIZE])
{
    struct rest list, name;
    size_t kind;
    enum cwse_hello found = CWSE_HELLO_NAMELESS;
    if (!take_vector(&names, 2, &list) || names.len > 0 || list.len == 0)
        return CWSE_HELLO_BROKEN;
    while (list.len > 0) {
        if (!take_number(&list, 1, &kind) || !take_vector(&list, 2, &name))
            return CWSE_HELLO_BROKEN;
        if (kind != SERVER_NAME)
            continue;
        if (found == CWSE_HELLO_NAMED || !cwse_name_read((const char *)name.at, name.len, out_name))
            return CWSE_HELLO_BROKEN;
        found = CWSE_HELLO_NAMED;
    }
    return found;
}

static enum cwse_hello read_extensions(struct rest extensions, char out_name[CWSE_NAME_SIZE])
{
    enum cwse_hello found = CWSE_HELLO_NAMELESS;
    bool seen = false;
    while (extensions.len > 0) {
        size_t kind;
        struct rest content;
        if (!take_number(&extensions, 2, &kind) || !take_vector(&extensions, 2, &content))
            return CWSE_HELLO_BROKEN;
        if (kind != SERVER_NAME)
            continue;
        if (seen)
            return CWSE_HELLO_BROKEN;
        seen = true;
        found = read_names(content, out_name);
        if (found == CWSE_HELLO_BROKEN)
            return found;
    }
    return found;
}

static enum cwse_hello read_message(struct rest message, char out_name[CWSE_NAME_SIZE])
{
    struct rest skipped, suites, compressions, extensions;
    if (!take(&message, 2 + RANDOM_LEN, &skipped) || /* version and random */
        !take_vector(&message, 1, &skipped) ||       /* session */
        !take_vector(&message, 2, &suites) || !take_vector(&message, 1, &compressions))
        return CWSE_HELLO_BROKEN;
    if (suites.len == 0 || suites.len % 2 || compressions.len == 0)
        return CWSE_HELLO_BROKEN;
    if (message.len == 0)
        return CWSE_HELLO_NAMELESS;
    if (!take_vector(&message, 2, &extensions) || message.len > 0)
        return CWSE_HELLO_BROKEN;
    return read_extensions(extensions, out_name);
}

enum cwse_hello cwse_hello_read(const uint8_t *data, size_t len, char out_name[CWSE_NAME_SIZE])
{
    uint8_t joined[CWSE_MAX_HELLO];
    struct rest message = {joined, 0}, body;
    size_t kind;
    if (len > CWSE_MAX_HELLO)
        return CWSE_HELLO_BROKEN;
    if (!join_records((struct rest){data, len}, joined, &message.len))
        return data[0] == HANDSHAKE_RECORD ? CWSE_HELLO_BROKEN : CWSE_HELLO_FOREIGN;
    if (message.len > 0 && joined[0] != CLIENT_HELLO)
        return CWSE_HELLO_BROKEN;
    if (!take_number(&message, 1, &kind) || !take_vector(&message, 3, &body))
        return len == CWSE_MAX_HELLO ? CWSE_HELLO_BROKEN : CWSE_HELLO_PARTIAL;
    return read_message(body, out_name);
}
