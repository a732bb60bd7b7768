/*
 * A growable byte buffer with a maximum size: bytes are appended at the end and consumed from the
 * front. The struct is the caller's memory. Not thread-safe. A call that fails leaves the buffer
 * unchanged.
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
/* Frees the memory. The buffer is then as after init. */
void cws_buf_done(struct cws_buf *buf);

/* The content; NULL if the buffer has never held a byte. */
static inline const uint8_t *cws_buf_bytes(const struct cws_buf *buf)
{
    return buf->data ? buf->data + buf->head : NULL; /* NULL + 0 is undefined in C */
}

/* Makes room for `more` bytes after the content. CWS_TOO_LARGE (above the ceiling), CWS_NO_MEMORY.
 * Write to *out_tail, then call cws_buf_commit with the number of bytes written. */
enum cws_status cws_buf_reserve(struct cws_buf *buf, size_t more,
                                uint8_t **out_tail) CWS_MUST_CHECK;
void cws_buf_commit(struct cws_buf *buf, size_t written);

enum cws_status cws_buf_append(struct cws_buf *buf, const void *bytes, size_t len) CWS_MUST_CHECK;

/* Drops `n` <= len bytes from the front. */
void cws_buf_consume(struct cws_buf *buf, size_t n);
