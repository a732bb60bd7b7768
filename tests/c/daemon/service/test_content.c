/* cwsandboxd/content: a message that is put together where it will be sent from. */
#include <string.h>

#include "base/alloc.h"
#include "grpc/frame.h"
#include "service/content.h"
#include "support/failing.h"
#include "support/unit.h"
#include "values/pb.h"

static const ProtobufCMessageDescriptor *const type =
    &coreweave__sandbox__v1__read_file_response__descriptor;

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 7 + i / 251);
}

/* Fills the content in pieces, and lets it become a message. */
static struct cws_block *fill(struct cwsd_content *content, size_t len, size_t piece)
{
    for (size_t at = 0; at < len; at += piece) {
        size_t more = len - at < piece ? len - at : piece;
        uint8_t *memory = cwsd_content_reserve(content, at, more);
        assert_non_null(memory);
        for (size_t i = 0; i < more; i++)
            memory[i] = byte_at(at + i);
    }
    struct cws_block *block = cwsd_content_take(content, type, len);
    assert_non_null(block);
    assert_null(content->block);
    return block;
}

static void expect_message(const struct cws_block *block, size_t len)
{
    const uint8_t *frame = block->data + block->off;
    size_t packed = block->len - block->off - CWS_FRAME_PREFIX;
    uint8_t prefix[CWS_FRAME_PREFIX];
    cws_frame_prefix(prefix, packed);
    assert_memory_equal(frame, prefix, sizeof(prefix));
    Coreweave__Sandbox__V1__ReadFileResponse *response =
        coreweave__sandbox__v1__read_file_response__unpack(NULL, packed, frame + CWS_FRAME_PREFIX);
    assert_non_null(response);
    assert_int_equal(response->content.len, len);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(response->content.data[i], byte_at(i));
    assert_int_equal(coreweave__sandbox__v1__read_file_response__get_packed_size(response), packed);
    coreweave__sandbox__v1__read_file_response__free_unpacked(response, NULL);
}

static void every_length_of_the_header(void **state)
{
    static const size_t lens[] = {0, 1, 127, 128, 16383, 16384, 2097151, 2097152};
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(lens); i++) {
        struct cwsd_content content = {0};
        struct cws_block *block = fill(&content, lens[i], lens[i] + 1);
        expect_message(block, lens[i]);
        cws_block_settle(block, CWS_OK);
    }
}

static void pieces_and_more_room_than_bytes(void **state)
{
    (void)state;
    struct cwsd_content content = {0};
    struct cws_block *block = fill(&content, 100000, 999);
    expect_message(block, 100000);
    cws_block_settle(block, CWS_OK);

    assert_non_null(cwsd_content_reserve(&content, 0, 5000));
    *cwsd_content_reserve(&content, 0, 5000) = byte_at(0);
    block = cwsd_content_take(&content, type, 1);
    expect_message(block, 1);
    cws_block_settle(block, CWS_OK);
    cwsd_content_done(&content);
}

static void without_memory(void **state)
{
    (void)state;
    struct cwsd_content content = {0};
    uint8_t *memory = cwsd_content_reserve(&content, 0, 3);
    for (size_t i = 0; i < 3; i++)
        memory[i] = byte_at(i);
    cws_alloc_fail_at(1);
    assert_null(cwsd_content_reserve(&content, 3, 100));
    assert_true(failing_was_reached(1));
    struct cws_block *block = cwsd_content_take(&content, type, 3); /* what was there stays */
    expect_message(block, 3);
    cws_block_settle(block, CWS_OK);
    cws_alloc_fail_at(1);
    assert_null(cwsd_content_take(&content, type, 0));
    assert_true(failing_was_reached(1));
    cwsd_content_done(&content);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(every_length_of_the_header),
    UNIT_TEST(pieces_and_more_room_than_bytes),
    UNIT_TEST(without_memory),
};

UNIT_MAIN(tests)
