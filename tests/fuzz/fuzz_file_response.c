/* What a server answers to ReadFile and WriteFile, as the file operation reads it: content, or a
 * refusal. */
#include "base/alloc.h"
#include "fuzz.h"
#include "proto/unpack.h"
#include "sandbox/file_wire.h"

/* The beginning of the message, at each length: where the content is known to start, it does. */
static void check_beginnings(const uint8_t *data, size_t size, const uint8_t *content,
                             size_t content_len)
{
    for (size_t len = 0; len <= size && len < 64; len++) {
        size_t head_len;
        if (!cws_file_wire_begin(data, len, size, &head_len))
            continue;
        REQUIRE(head_len <= len && content == data + head_len && content_len == size - head_len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *content = NULL;
    size_t len = 0;
    void *unpacked = NULL;
    enum cws_status status = cws_file_wire_parse(data, size, &content, &len, &unpacked);
    REQUIRE(status == CWS_OK || status == CWS_PROTOCOL);
    if (status == CWS_OK) {
        REQUIRE(len <= size && (len == 0 || content));
        for (size_t i = 0; i < len; i++)
            REQUIRE(memchr(data, content[i], size));
    }
    check_beginnings(data, size, content, len);
    cws_proto_free(unpacked);
    status = cws_file_wire_check_written(data, size);
    REQUIRE(status == CWS_OK || status == CWS_PROTOCOL);
    REQUIRE(cws_alloc_live() == 0);
    return 0;
}
