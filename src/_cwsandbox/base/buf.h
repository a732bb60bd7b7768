/*
 * A growable byte buffer with a ceiling: appended at the end, consumed from the front.
 * Caller's memory; not thread-safe. A failed call leaves the buffer as it was.
 */
#pragma once

#include "base/status.h"

struct cws_buf {
    uint8_t *data; /* NULL until the first byte; the content starts at data + head */
    size_t head;   /* bytes consumed */
    size_t len;    /* bytes held, after head */
    size_t cap;
    size_t ceiling; /* len never exceeds it */
};

void cws_buf_init(struct cws_buf *buf, size_t ceiling);
/* Frees the memory; the buffer is as after init. */
void cws_buf_done(struct cws_buf *buf);

/* NULL while there never was a byte. */
static inline const uint8_t *cws_buf_bytes(const struct cws_buf *buf)
{
    return buf->data ? buf->data + buf->head : NULL; /* NULL + 0 is undefined in C */
}

/* Room for `more` bytes after the content: CWS_OK, CWS_TOO_LARGE (ceiling) or CWS_NO_MEMORY.
 * *out_tail points at the room; fill it and call cws_buf_commit with what was written. */
enum cws_status cws_buf_reserve(struct cws_buf *buf, size_t more,
                                uint8_t **out_tail) CWS_MUST_CHECK;
void cws_buf_commit(struct cws_buf *buf, size_t written);

enum cws_status cws_buf_append(struct cws_buf *buf, const void *bytes, size_t len) CWS_MUST_CHECK;

/* Drops `n` <= len bytes from the front. */
void cws_buf_consume(struct cws_buf *buf, size_t n);
