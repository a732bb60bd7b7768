#include "sandbox/file_wire.h"

#include "grpc/frame.h"
#include "proto/generated/sandbox.pb-c.h"
#include "proto/unpack.h"
#include "proto/wire.h"

enum {
    TAG_SANDBOX_ID = CWS_WIRE_TAG(1),
    TAG_PATH = CWS_WIRE_TAG(2),
    TAG_READ_CONTAINER = CWS_WIRE_TAG(3),
    TAG_WRITE_CONTENT = CWS_WIRE_TAG(3),
    TAG_WRITE_CONTAINER = CWS_WIRE_TAG(4),
    TAG_READ_CONTENT = CWS_WIRE_TAG(1), /* in the reply */
};

/* The content comes last, so that it can be the block's tail: fields may come in any order. */
struct cws_block *cws_file_wire_request_block(const struct cws_file_wire_request *request)
{
    size_t content_len = request->copied_len + request->borrowed_len;
    bool has_content = request->is_write && content_len > 0;
    unsigned tag_container = request->is_write ? TAG_WRITE_CONTAINER : TAG_READ_CONTAINER;
    size_t size = cws_wire_text_size(TAG_SANDBOX_ID, request->sandbox_id) +
                  cws_wire_text_size(TAG_PATH, request->path);
    if (*request->container)
        size += cws_wire_text_size(tag_container, request->container);
    if (has_content)
        size += cws_wire_header_size(TAG_WRITE_CONTENT, content_len) + request->copied_len;
    struct cws_block *block = cws_block_new(CWS_FRAME_PREFIX + size);
    if (!block)
        return NULL;
    uint8_t *at = block->data + CWS_FRAME_PREFIX;
    at = cws_wire_put_text(at, TAG_SANDBOX_ID, request->sandbox_id);
    at = cws_wire_put_text(at, TAG_PATH, request->path);
    if (*request->container)
        at = cws_wire_put_text(at, tag_container, request->container);
    if (has_content)
        at = cws_wire_put_header(at, TAG_WRITE_CONTENT, content_len);
    if (has_content && request->copied_len)
        memcpy(at, request->copied, request->copied_len);
    block->tail = request->borrowed;
    block->tail_len = request->borrowed_len;
    return block;
}

bool cws_file_wire_begin(const uint8_t *data, size_t len, size_t message_len, size_t *out_head_len)
{
    size_t content_len;
    if (len < 2 || *data != TAG_READ_CONTENT)
        return false;
    const uint8_t *content = cws_wire_take_small(data + 1, data + len, &content_len);
    if (!content || content_len != message_len - (size_t)(content - data))
        return false;
    *out_head_len = (size_t)(content - data);
    return true;
}

enum cws_status cws_file_wire_parse(const uint8_t *data, size_t len, const uint8_t **out_content,
                                    size_t *out_len, void **out_unpacked)
{
    size_t head_len;
    *out_unpacked = NULL;
    if (cws_file_wire_begin(data, len, len, &head_len)) {
        *out_content = data + head_len;
        *out_len = len - head_len;
        return CWS_OK;
    }
    ProtobufCMessage *unpacked;
    enum cws_status status = cws_proto_unpack(
        &coreweave__sandbox__v1__read_file_response__descriptor, data, len, &unpacked);
    if (status != CWS_OK)
        return status;
    const Coreweave__Sandbox__V1__ReadFileResponse *reply = (const void *)unpacked;
    *out_content = reply->content.data;
    *out_len = reply->content.len;
    *out_unpacked = unpacked;
    return CWS_OK;
}

enum cws_status cws_file_wire_check_written(const uint8_t *data, size_t len)
{
    ProtobufCMessage *unpacked;
    if (len == 0)
        return CWS_OK;
    enum cws_status status = cws_proto_unpack(
        &coreweave__sandbox__v1__write_file_response__descriptor, data, len, &unpacked);
    if (status == CWS_OK)
        cws_proto_free(unpacked);
    return status;
}
