#include "grpc/frame.h"

#include <string.h>

void cws_frame_reader_init(struct cws_frame_reader *reader, size_t max_message)
{
    memset(reader, 0, sizeof(*reader));
    cws_buf_init(&reader->partial, max_message);
    reader->max_message = max_message;
}

void cws_frame_reader_done(struct cws_frame_reader *reader)
{
    cws_buf_done(&reader->partial);
}

/* The prefix from the front of the input; false while it is not whole. */
static bool take_prefix(struct cws_frame_reader *reader, const uint8_t **data, size_t *len)
{
    size_t n = CWS_FRAME_PREFIX - reader->prefix_len;
    if (n > *len)
        n = *len;
    memcpy(reader->prefix + reader->prefix_len, *data, n);
    reader->prefix_len += n;
    *data += n;
    *len -= n;
    if (reader->prefix_len < CWS_FRAME_PREFIX)
        return false;
    const uint8_t *p = reader->prefix;
    reader->need = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
    return true;
}

/* The bytes that have arrived of a message that is handed out in pieces. */
static void take_piece(struct cws_frame_reader *reader, const uint8_t **data, size_t *len,
                       const uint8_t **out_piece, size_t *out_len)
{
    size_t n = *len < reader->left ? *len : reader->left;
    if (n == 0)
        return;
    *out_piece = *data;
    *out_len = n;
    *data += n;
    *len -= n;
    reader->left -= n;
    if (reader->left == 0)
        reader->prefix_len = 0;
}

/* What a message that was given out before has taken. */
static void forget_last(struct cws_frame_reader *reader)
{
    if (reader->left == 0)
        reader->in_pieces = false;
    if (!reader->handed_out)
        return;
    cws_buf_consume(&reader->partial, reader->partial.len);
    reader->handed_out = false;
    /* One large message must not hold its memory for the rest of a long stream. */
    if (reader->partial.cap > 256 * 1024)
        cws_buf_done(&reader->partial);
}

enum cws_status cws_frame_next(struct cws_frame_reader *reader, const uint8_t **data, size_t *len,
                               const uint8_t **out_message, size_t *out_len)
{
    *out_message = NULL;
    *out_len = 0;
    forget_last(reader);
    if (reader->in_pieces) {
        take_piece(reader, data, len, out_message, out_len);
        return CWS_OK;
    }
    if (reader->prefix_len < CWS_FRAME_PREFIX) {
        if (!take_prefix(reader, data, len))
            return CWS_OK;
        if (reader->prefix[0] != 0)
            return CWS_PROTOCOL;
        if (reader->need > reader->max_message)
            return CWS_TOO_LARGE;
    }
    size_t have = reader->partial.len;
    if (have == 0 && *len >= reader->need) { /* whole in the input: no copy */
        *out_message = *data;
        *out_len = reader->need;
        *data += reader->need;
        *len -= reader->need;
        reader->prefix_len = 0;
        return CWS_OK;
    }
    if (have == 0 && *len > 0 && reader->wants_pieces &&
        reader->wants_pieces(reader, *data, *len, reader->need)) {
        reader->in_pieces = true;
        reader->left = reader->need;
        take_piece(reader, data, len, out_message, out_len);
        return CWS_OK;
    }
    size_t n = reader->need - have;
    if (n > *len)
        n = *len;
    enum cws_status status = cws_buf_append(&reader->partial, *data, n);
    if (status != CWS_OK)
        return status;
    *data += n;
    *len -= n;
    if (reader->partial.len == reader->need) {
        *out_message = cws_buf_bytes(&reader->partial);
        *out_len = reader->need;
        reader->prefix_len = 0;
        reader->handed_out = true;
    }
    return CWS_OK;
}

bool cws_frame_is_partial(const struct cws_frame_reader *reader)
{
    return reader->prefix_len > 0;
}

void cws_frame_prefix(uint8_t prefix[CWS_FRAME_PREFIX], size_t message_len)
{
    prefix[0] = 0;
    prefix[1] = (uint8_t)(message_len >> 24);
    prefix[2] = (uint8_t)(message_len >> 16);
    prefix[3] = (uint8_t)(message_len >> 8);
    prefix[4] = (uint8_t)message_len;
}
