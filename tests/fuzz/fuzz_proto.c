/* Bytes from a peer as any message: the first byte chooses which. What can be read must survive
 * being packed and read again. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "proto/generated/all.pb-c.h"
#include "proto/unpack.h"

#define ADDRESS(name) &(name),

static const ProtobufCMessageDescriptor *const messages[] = {CWS_PROTO_MESSAGES(ADDRESS)};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0) {
        return 0;
    }
    const ProtobufCMessageDescriptor *desc = messages[data[0] % CWS_ARRAY_LEN(messages)];
    ProtobufCMessage *first;
    if (cws_proto_unpack(desc, data + 1, len - 1, &first) != CWS_OK) {
        return 0;
    }
    size_t packed_len = protobuf_c_message_get_packed_size(first);
    uint8_t *packed = cws_malloc(packed_len + 1);
    ProtobufCMessage *second = NULL;
    if (packed == NULL || protobuf_c_message_pack(first, packed) != packed_len ||
        cws_proto_unpack(desc, packed, packed_len, &second) != CWS_OK) {
        abort();
    }
    cws_proto_free(second);
    cws_free(packed);
    cws_proto_free(first);
    return 0;
}
