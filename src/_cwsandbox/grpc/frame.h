/*
 * Reads length-prefixed messages from a byte stream, in whatever pieces it arrives. Not
 * thread-safe.
 */
#pragma once

#include "base/buf.h"

/* In front of each message: whether it is compressed (1 byte), and its length (4). */
enum { CWS_FRAME_PREFIX = 5 };

struct cws_frame_reader {
    /* Set by the owner; may be NULL. A message has begun that is longer than the input. Returns
     * true to get it in pieces as they arrive, false to get it whole. `start` is its first bytes,
     * at least one. */
    bool (*wants_pieces)(struct cws_frame_reader *reader, const uint8_t *start, size_t len,
                         size_t message_len);
    uint8_t prefix[CWS_FRAME_PREFIX];
    size_t prefix_len;
    uint32_t need;          /* message length, once the prefix is whole */
    struct cws_buf partial; /* a message that came in several pieces */
    bool handed_out;        /* `partial` holds the message that was returned last */
    bool in_pieces;         /* what was returned last is a piece of a message */
    size_t left;            /* bytes of that message that are still to come */
    size_t max_message;
};

void cws_frame_reader_init(struct cws_frame_reader *reader, size_t max_message);
void cws_frame_reader_done(struct cws_frame_reader *reader);

/*
 * Takes bytes from *data and *len, which it advances, until a message is whole or the bytes are
 * used up. CWS_OK with *out_message NULL: more bytes are needed. CWS_OK with *out_message set: a
 * message, valid until the next call and while the input is. With reader->in_pieces it is a piece
 * of a message, at least one byte long, and the last one if reader->left is 0. CWS_TOO_LARGE: the
 * message's length (reader->need) is above max_message. CWS_PROTOCOL: the message is compressed, or
 * its flag is neither 0 nor 1. CWS_NO_MEMORY. After a failure only cws_frame_reader_done may be
 * called.
 */
enum cws_status cws_frame_next(struct cws_frame_reader *reader, const uint8_t **data, size_t *len,
                               const uint8_t **out_message, size_t *out_len) CWS_MUST_CHECK;

/* The bytes held of a message that is not whole yet. */
static inline size_t cws_frame_partial_len(const struct cws_frame_reader *reader)
{
    return reader->handed_out ? 0 : reader->partial.len;
}

/* Whether a message has begun and is not whole yet. */
bool cws_frame_is_partial(const struct cws_frame_reader *reader);

/* Writes the prefix of an uncompressed message. */
void cws_frame_prefix(uint8_t prefix[CWS_FRAME_PREFIX], size_t message_len);
