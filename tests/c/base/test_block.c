/* base/block: a block's way ends once, with or without somebody who waits for it. */
#include "support/unit.h"

#include "base/block.h"

struct note {
    unsigned calls;
    enum cws_status how;
};

static void note_settled(struct cws_block *block, enum cws_status how)
{
    struct note *note = block->owner;
    note->calls++;
    note->how = how;
    cws_free(block);
}

static void test_a_new_block_is_whole_and_alone(void **state)
{
    (void)state;
    struct cws_block *block = cws_block_new(1000);
    assert_non_null(block);
    assert_int_equal(block->len, 1000);
    assert_int_equal(block->off, 0);
    assert_true(cws_list_is_empty(&block->node));
    memset(block->data, 0xab, block->len);
    cws_block_settle(block, CWS_OK); /* nobody waits: freed */
}

static void test_an_empty_block(void **state)
{
    (void)state;
    struct cws_block *block = cws_block_new(0);
    assert_non_null(block);
    assert_int_equal(block->len, 0);
    cws_block_settle(block, CWS_CLOSED);
}

static void test_settled_learns_how_it_ended(void **state)
{
    (void)state;
    static const enum cws_status ends[] = {CWS_OK, CWS_CLOSED};
    for (size_t i = 0; i < CWS_ARRAY_LEN(ends); i++) {
        struct note note = {0};
        struct cws_block *block = cws_block_new(3);
        block->settled = note_settled;
        block->owner = &note;
        cws_block_settle(block, ends[i]);
        assert_int_equal(note.calls, 1);
        assert_int_equal(note.how, ends[i]);
    }
}

/* Taken in steps of any size, the bytes are those of the block and then those of its tail. */
static void test_a_tail_follows_in_place(void **state)
{
    (void)state;
    static const uint8_t tail[] = "defghijklmnop";
    for (size_t head = 0; head <= 3; head++)
        for (size_t tail_len = 0; tail_len <= 13; tail_len += 13)
            for (size_t step = 1; step <= 20; step++) {
                struct cws_block *block = cws_block_new(head);
                uint8_t taken[20];
                size_t at = 0, n;
                memcpy(block->data, "abc" + 3 - head, head);
                block->tail = tail;
                block->tail_len = tail_len;
                assert_int_equal(cws_block_size(block), head + tail_len);
                while ((n = cws_block_take(block, taken + at, step)) > 0)
                    at += n;
                assert_int_equal(at, head + tail_len);
                assert_int_equal(block->off, at);
                assert_memory_equal(taken, &"abcdefghijklmnop"[3 - head], at);
                cws_block_settle(block, CWS_OK);
            }
}

static void test_no_memory(void **state)
{
    (void)state;
    cws_alloc_fail_at(1);
    assert_null(cws_block_new(10));
    assert_null(cws_block_new(SIZE_MAX));
    assert_null(cws_block_new(SIZE_MAX - sizeof(struct cws_block) + 1));
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_a_new_block_is_whole_and_alone),
    UNIT_TEST(test_an_empty_block),
    UNIT_TEST(test_settled_learns_how_it_ended),
    UNIT_TEST(test_a_tail_follows_in_place),
    UNIT_TEST(test_no_memory),
};

UNIT_MAIN(tests)
