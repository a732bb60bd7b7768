#include "service/content.h"

#include <string.h>

#include "base/alloc.h"
#include "grpc/server.h"
#include "proto/wire.h"

#define TAG_BYTES  1 /* of a field whose number is below 16 */
#define MAX_VARINT 5
/* In front of the bytes there is room for the longest header. A shorter one begins later. */
#define HEADER (CWS_FRAME_PREFIX + TAG_BYTES + MAX_VARINT)

uint8_t *cwsd_content_reserve(struct cwsd_content *content, size_t len, size_t more)
{
    if (more > content->room - len || !content->block) {
        struct cws_block *larger = cws_block_new(HEADER + len + more);
        if (!larger)
            return NULL;
        if (content->block)
            memcpy(larger->data + HEADER, content->block->data + HEADER, len);
        cws_free(content->block);
        content->block = larger;
        content->room = len + more;
    }
    return content->block->data + HEADER + len;
}

/* The field's header before the bytes; a field without bytes is not sent. Returns where they
 * begin. */
static size_t put_field(uint8_t *data, uint32_t number, size_t len)
{
    const unsigned tag = CWS_WIRE_TAG(number);
    if (len == 0)
        return HEADER;
    size_t at = HEADER - cws_wire_header_size(tag, len);
    cws_wire_put_header(data + at, tag, len);
    return at;
}

struct cws_block *cwsd_content_take(struct cwsd_content *content,
                                    const ProtobufCMessageDescriptor *type, size_t len)
{
    if (!cwsd_content_reserve(content, len, 0))
        return NULL;
    struct cws_block *block = content->block;
    assert(type->fields[0].id < 16 && len >> 7 * MAX_VARINT == 0);
    size_t at = put_field(block->data, type->fields[0].id, len);
    block->off = at - CWS_FRAME_PREFIX;
    block->len = HEADER + len;
    cws_frame_prefix(block->data + block->off, block->len - at);
    *content = (struct cwsd_content){0};
    return block;
}

void cwsd_content_done(struct cwsd_content *content)
{
    cws_free(content->block);
    *content = (struct cwsd_content){0};
}
