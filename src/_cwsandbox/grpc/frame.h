/*
 * Length-prefixed messages out of a byte stream, in whatever pieces it comes. Not thread-safe.
 */
#pragma once

#include "base/buf.h"

enum { CWS_FRAME_PREFIX = 5 };

struct cws_frame_reader {
    /* Set by the owner, may be NULL. A message has begun that is longer than the input: true if it
     * is wanted in pieces as they come instead of whole. `start` are its first bytes, at least
     * one. */
    bool (*wants_pieces)(struct cws_frame_reader *reader, const uint8_t *start, size_t len,
                         size_t message_len);
    uint8_t prefix[CWS_FRAME_PREFIX];
    size_t prefix_len;
    uint32_t need;          /* message length, once the prefix is whole */
    struct cws_buf partial; /* a message that came in several pieces */
    bool handed_out;        /* `partial` holds the message given out last */
    bool in_pieces;         /* what was given out last is a piece of a message */
    size_t left;            /* bytes of that message which are to come */
    size_t max_message;
};

void cws_frame_reader_init(struct cws_frame_reader *reader, size_t max_message);
void cws_frame_reader_done(struct cws_frame_reader *reader);

/*
 * Takes bytes from *data / *len (both are moved on) until a message is whole or they are used up.
 * CWS_OK with *out_message set: a message, valid until the next call and as long as the input, or,
 * with reader->in_pieces, a piece of one, of one byte at least, which is the last when reader->left
 * is 0; NULL: more bytes are needed. CWS_TOO_LARGE: the message's length (reader->need) is above
 * max_message. CWS_PROTOCOL: it is marked compressed, or the mark is neither 0 nor 1.
 * CWS_NO_MEMORY. After a failure the reader is only good for done.
 */
enum cws_status cws_frame_next(struct cws_frame_reader *reader, const uint8_t **data, size_t *len,
                               const uint8_t **out_message, size_t *out_len) CWS_MUST_CHECK;

/* Bytes held of a message that is not whole. */
static inline size_t cws_frame_partial_len(const struct cws_frame_reader *reader)
{
    return reader->handed_out ? 0 : reader->partial.len;
}

/* A message has begun and is not whole. */
bool cws_frame_is_partial(const struct cws_frame_reader *reader);

/* Writes the prefix of an uncompressed message. */
void cws_frame_prefix(uint8_t prefix[CWS_FRAME_PREFIX], size_t message_len);
