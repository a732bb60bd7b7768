/*
 * A response whose one field is bytes, put together where it will be sent from: the bytes are never
 * copied. The struct is the caller's memory, all zero at first. Any thread.
 */
#pragma once

#include "base/block.h"

#include <protobuf-c/protobuf-c.h>

struct cwsd_content {
    struct cws_block *block;
    size_t room; /* bytes that there is memory for */
};

/* Where the bytes after the first `len` go, with memory for `more` of them. NULL when out of
 * memory; what was there stays. */
uint8_t *cwsd_content_reserve(struct cwsd_content *content, size_t len, size_t more);

/* The message with the first `len` bytes as the first field of this type, for
 * cws_server_call_send. NULL when out of memory. */
struct cws_block *cwsd_content_take(struct cwsd_content *content,
                                    const ProtobufCMessageDescriptor *type, size_t len);

/* Frees the memory. */
void cwsd_content_done(struct cwsd_content *content);
