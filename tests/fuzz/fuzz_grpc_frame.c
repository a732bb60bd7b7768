/* The message reader gives the same messages, and the same verdict, however the bytes are cut and
 * whether or not messages are taken in pieces. */
#include "base/alloc.h"
#include "fuzz.h"
#include "grpc/frame.h"

enum { MAX_MESSAGE = 4096 };

struct outcome {
    enum cws_status status;
    size_t messages;
    size_t bytes;
    uint64_t digest;
    bool partial;
};

static void note_bytes(struct outcome *out, const uint8_t *bytes, size_t len)
{
    out->bytes += len;
    for (size_t i = 0; i < len; i++)
        out->digest = (out->digest ^ bytes[i]) * 1099511628211u;
}

static void note_end(struct outcome *out)
{
    out->messages++;
    out->digest = out->digest * 1099511628211u + out->bytes;
}

/* Some messages, as their first byte says. */
static bool wants_pieces(struct cws_frame_reader *reader, const uint8_t *start, size_t len,
                         size_t message_len)
{
    REQUIRE(len > 0 && len < message_len && message_len <= MAX_MESSAGE &&
            message_len == reader->need);
    return start[0] & 1;
}

/* Feeds pieces as `cuts` says; cuts NULL: one byte at a time. */
static struct outcome read_all(const uint8_t *data, size_t size, bool whole, uint8_t seed)
{
    struct outcome out = {.status = CWS_OK};
    struct outcome before = out; /* the message that is coming in pieces */
    struct cws_frame_reader reader;
    cws_frame_reader_init(&reader, MAX_MESSAGE);
    reader.wants_pieces = seed % 2 ? wants_pieces : NULL;
    while (size && out.status == CWS_OK) {
        size_t piece = whole ? size : fuzz_piece(seed = (uint8_t)(seed * 167 + 13), size);
        const uint8_t *at = data;
        size_t left = piece;
        for (;;) {
            const uint8_t *message;
            size_t len;
            out.status = cws_frame_next(&reader, &at, &left, &message, &len);
            if (out.status != CWS_OK || !message)
                break;
            REQUIRE(len <= MAX_MESSAGE);
            note_bytes(&out, message, len);
            if (!reader.in_pieces || reader.left == 0) {
                note_end(&out);
                before = out;
            }
        }
        REQUIRE(out.status != CWS_OK || left == 0);
        data += piece;
        size -= piece;
    }
    enum cws_status status = out.status;
    out = before; /* without the pieces of a message that is not whole */
    out.status = status;
    out.partial = out.status == CWS_OK && cws_frame_is_partial(&reader);
    cws_frame_reader_done(&reader);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole = read_all(data, size, true, 0);
    for (uint8_t seed = 1; seed < 4; seed++) {
        struct outcome cut = read_all(data, size, false, seed);
        REQUIRE(cut.status == whole.status);
        REQUIRE(cut.messages == whole.messages);
        REQUIRE(cut.bytes == whole.bytes);
        REQUIRE(cut.digest == whole.digest);
        REQUIRE(cut.partial == whole.partial);
    }
    REQUIRE(cws_alloc_live() == 0);
    return 0;
}
