/* Packs and parses the messages of ReadFile and WriteFile. Any thread. */
#pragma once

#include "base/block.h"

struct cws_file_wire_request {
    const char *sandbox_id; /* UTF-8, as are the next two */
    const char *path;
    const char *container; /* "": the primary one */
    bool is_write;
    /* With is_write: the content, part of which may be borrowed (a block's tail). */
    const uint8_t *copied;
    size_t copied_len;
    const uint8_t *borrowed;
    size_t borrowed_len;
};

/* A block for cws_call_send. NULL when out of memory. */
struct cws_block *cws_file_wire_request_block(const struct cws_file_wire_request *request);

/* Parses the beginning of the reply to ReadFile, a message of `message_len` bytes. True: it is in
 * the form that every encoder writes, with the content up to the end of the message; *out_head_len
 * bytes precede the content. False: wait for the whole message. */
bool cws_file_wire_begin(const uint8_t *data, size_t len, size_t message_len, size_t *out_head_len);

/* Parses a whole reply to ReadFile. After CWS_OK free *out_unpacked (cws_proto_free), into which,
 * or into `data`, *out_content points. CWS_PROTOCOL: the bytes are not such a message.
 * CWS_NO_MEMORY. */
enum cws_status cws_file_wire_parse(const uint8_t *data, size_t len, const uint8_t **out_content,
                                    size_t *out_len, void **out_unpacked) CWS_MUST_CHECK;

/* Checks a whole reply to WriteFile, which says nothing. CWS_PROTOCOL, CWS_NO_MEMORY. */
enum cws_status cws_file_wire_check_written(const uint8_t *data, size_t len) CWS_MUST_CHECK;
