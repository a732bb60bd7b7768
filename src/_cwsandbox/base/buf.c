#include "base/buf.h"

#include <string.h>

#include "base/alloc.h"

void cws_buf_init(struct cws_buf *buf, size_t ceiling)
{
    *buf = (struct cws_buf){.ceiling = ceiling};
}

void cws_buf_done(struct cws_buf *buf)
{
    cws_free(buf->data);
    cws_buf_init(buf, buf->ceiling);
}

enum cws_status cws_buf_reserve(struct cws_buf *buf, size_t more, uint8_t **out_tail)
{
    if (more > buf->ceiling || buf->len > buf->ceiling - more)
        return CWS_TOO_LARGE;
    if (buf->head + buf->len + more > buf->cap) {
        /* Moving the content to the front first keeps the buffer from creeping along. */
        if (buf->head) {
            memmove(buf->data, buf->data + buf->head, buf->len);
            buf->head = 0;
        }
        size_t need = buf->len + more;
        if (need > buf->cap) {
            size_t cap = buf->cap ? buf->cap : 256;
            while (cap < need)
                cap = cap > SIZE_MAX / 2 ? need : cap * 2;
            uint8_t *data = cws_realloc(buf->data, cap);
            if (!data)
                return CWS_NO_MEMORY;
            buf->data = data;
            buf->cap = cap;
        }
    }
    *out_tail =
        buf->data ? buf->data + buf->head + buf->len : NULL; /* NULL: no room was asked for */
    return CWS_OK;
}

void cws_buf_commit(struct cws_buf *buf, size_t written)
{
    assert(buf->head + buf->len + written <= buf->cap);
    buf->len += written;
}

enum cws_status cws_buf_append(struct cws_buf *buf, const void *bytes, size_t len)
{
    if (len == 0)
        return CWS_OK;
    uint8_t *tail;
    enum cws_status status = cws_buf_reserve(buf, len, &tail);
    if (status != CWS_OK)
        return status;
    assert(tail);
    memcpy(tail, bytes, len);
    cws_buf_commit(buf, len);
    return CWS_OK;
}

void cws_buf_consume(struct cws_buf *buf, size_t n)
{
    assert(n <= buf->len);
    buf->len -= n;
    buf->head = buf->len ? buf->head + n : 0;
}
