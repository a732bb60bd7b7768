/* cwsandboxd/ring: what is kept of a log, in a file. */
#include "support/ring_world.h"

static void nothing_is_made_before_the_first_byte(void **state)
{
    struct ring_world *w = *state;
    open_ring(w, CWSD_RING_LEAST);
    assert_int_equal(access(w->path, F_OK), -1);
    assert_int_equal(cwsd_ring_size(&w->ring), 0);
    assert_int_equal(check_kept(w), 0);
    struct cwsd_ring_place end = cwsd_ring_end(&w->ring);
    assert_true(end.line_start && end.at == 0 && end.lines == 0);
}

static void the_newest_records_are_kept(void **state)
{
    struct ring_world *w = *state;
    static const uint64_t capacities[] = {CWSD_RING_LEAST, 100000, 300000};
    for (size_t i = 0; i < CWS_ARRAY_LEN(capacities); i++) {
        w->len = 0;
        open_ring(w, capacities[i]);
        for (int n = 0; n < 200 && w->len < OUTPUT_MAX / 2; n++) {
            assert_true(append(w, some_size(w)));
            size_t from = check_kept(w);
            assert_true(from == 0 || w->len - from > 0);
        }
        struct stat info;
        assert_int_equal(stat(w->path, &info), 0);
        assert_true((uint64_t)info.st_size <= capacities[i]);
        assert_true(cwsd_ring_size(&w->ring) <= capacities[i]);
        if (i + 1 < CWS_ARRAY_LEN(capacities))
            cwsd_ring_done(&w->ring);
    }
}

/* With small records, hardly less is kept than there is room for. */
static void little_is_dropped_with_the_oldest(void **state)
{
    struct ring_world *w = *state;
    open_ring(w, 1 << 20);
    while (w->len < OUTPUT_MAX - 5000)
        assert_true(append(w, 4000));
    size_t kept = w->len - check_kept(w);
    assert_in_range(kept, (1 << 20) * 98 / 100, 1 << 20);
}

static void what_is_overwritten_cannot_be_read(void **state)
{
    struct ring_world *w = *state;
    uint8_t byte[8];
    size_t len;
    struct cws_error err;
    open_ring(w, CWSD_RING_LEAST);
    assert_true(append(w, 100));
    assert_int_equal(cwsd_ring_read(&w->ring, 0, byte, sizeof(byte), &len, &err), CWS_OK);
    for (int i = 0; i < 40; i++)
        assert_true(append(w, 2000));
    assert_int_equal(cwsd_ring_read(&w->ring, 0, byte, sizeof(byte), &len, &err), CWS_CLOSED);
}

static bool is_older(const struct cwsd_ring_mark *mark, const void *ctx)
{
    return mark->time_us < *(const uint64_t *)ctx;
}

static void the_newest_mark_before_is_found(void **state)
{
    struct ring_world *w = *state;
    struct cwsd_ring_place place, oldest;
    open_ring(w, 1 << 20);
    for (int i = 0; i < 300; i++)
        assert_true(append(w, 10000));
    assert_true(cwsd_ring_oldest(&w->ring, &oldest));
    uint64_t soon = w->now_us - 50, early = 0;
    assert_true(cwsd_ring_find(&w->ring, is_older, &soon, &place));
    check_place(w, &place);
    assert_in_range(w->len - place.offset, 60000, 70000);
    assert_false(cwsd_ring_find(&w->ring, is_older, &early, &place));
}

static void time_never_goes_back(void **state)
{
    struct ring_world *w = *state;
    open_ring(w, CWSD_RING_LEAST);
    assert_true(append(w, 10));
    w->now_us = 5;
    assert_true(append(w, 10));
    check_kept(w);
}

static void a_closed_file_is_opened_again(void **state)
{
    struct ring_world *w = *state;
    open_ring(w, CWSD_RING_LEAST);
    assert_true(append(w, 1000));
    cwsd_ring_rest(&w->ring);
    assert_int_equal(w->ring.fd, -1);
    check_kept(w);
    cwsd_ring_rest(&w->ring);
    assert_true(append(w, 1000));
    assert_int_equal(check_kept(w), 0);
}

static void a_forgotten_ring_is_empty(void **state)
{
    struct ring_world *w = *state;
    uint8_t byte[8];
    size_t len;
    struct cws_error err;
    open_ring(w, CWSD_RING_LEAST);
    assert_true(append(w, 1000));
    cwsd_ring_forget(&w->ring);
    assert_int_equal(access(w->path, F_OK), -1);
    assert_int_equal(cwsd_ring_size(&w->ring), 0);
    assert_int_equal(check_kept(w), w->len);
    assert_int_equal(cwsd_ring_read(&w->ring, 0, byte, sizeof(byte), &len, &err), CWS_CLOSED);
}

static void a_changed_file_is_noticed(void **state)
{
    struct ring_world *w = *state;
    static uint8_t bytes[CWSD_RING_LEAST] __attribute__((aligned(8)));
    size_t len, size;
    struct cws_error err;
    open_ring(w, CWSD_RING_LEAST);
    assert_true(append(w, 100));
    int fd = open(w->path, O_WRONLY);
    assert_int_equal(pwrite(fd, "\xff\xff\xff\xff", 4, (off_t)CWSD_RING_HEAD + 8), 4);
    close(fd);
    assert_int_equal(cwsd_ring_read(&w->ring, 0, bytes, sizeof(bytes), &len, &err), CWS_OK);
    assert_null(cwsd_ring_parse(&w->ring, bytes, len, &size, &err));
    assert_int_equal(err.status, CWS_PROTOCOL);
}

/* ---- the disk is full ----------------------------------------------------------------------- */

static void a_full_disk_makes_the_ring_smaller(void **state)
{
    struct ring_world *w = *state;
    for (rlim_t limit = CWSD_RING_LEAST; limit < 400000; limit += 57123) {
        w->len = 0;
        open_ring(w, 1 << 20);
        limit_files(limit);
        for (int n = 0; n < 200 && w->len < OUTPUT_MAX / 2; n++) {
            assert_true(append(w, some_size(w)));
            check_kept(w);
        }
        limit_files(RLIM_INFINITY);
        assert_true(w->ring.capacity + CWSD_RING_HEAD <= limit &&
                    w->ring.capacity + CWSD_RING_HEAD >= CWSD_RING_LEAST);
        assert_true(append(w, 1000));
        check_kept(w);
        cwsd_ring_done(&w->ring);
    }
    open_ring(w, CWSD_RING_LEAST);
}

static void what_cannot_be_written_is_lost(void **state)
{
    struct ring_world *w = *state;
    uint8_t byte[8];
    size_t len;
    struct cws_error err;
    open_ring(w, 1 << 20);
    limit_files(1000);
    assert_false(append(w, 100));
    assert_false(append(w, 2000));
    limit_files(RLIM_INFINITY);
    assert_int_equal(check_kept(w), 2100);
    assert_int_equal(cwsd_ring_end(&w->ring).offset, 2100);
    assert_int_equal(cwsd_ring_read(&w->ring, 0, byte, sizeof(byte), &len, &err), CWS_CLOSED);
    for (int i = 0; i < 100; i++) {
        assert_true(append(w, 20000));
        size_t from = check_kept(w);
        assert_true(from >= 2100 && (w->len - from > 900000 || from == 2100));
    }
    assert_true(cwsd_ring_size(&w->ring) <= 1 << 20);
}

static void after_a_loss_it_begins_anew(void **state)
{
    struct ring_world *w = *state;
    open_ring(w, 300000);
    for (int n = 0; n < 40; n++) {
        size_t lost_to = 0;
        for (int i = rand_r(&w->seed) % 30; i > 0; i--) {
            assert_true(append(w, some_size(w) % 20000 + 1));
            check_kept(w);
        }
        if (n % 3 == 0)
            limit_files(CWSD_RING_LEAST + (rlim_t)rand_r(&w->seed) % 100000);
        if (n % 2 == 0) {
            lost_to = w->len + 100;
            for (; w->len < lost_to; w->len++)
                w->output[w->len] = byte_at(w->len);
            cwsd_ring_lose(&w->ring, w->output + lost_to - 100, 100);
        }
        for (int i = 0; i < 5; i++)
            assert_true(append(w, some_size(w) % 20000 + 1));
        assert_true(check_kept(w) >= lost_to);
        limit_files(RLIM_INFINITY);
    }
}

static void a_directory_that_is_gone_loses_all(void **state)
{
    struct ring_world *w = *state;
    char path[] = "/tmp/no-such-directory/log";
    assert_int_equal(cwsd_ring_init(&w->ring, path, CWSD_RING_LEAST), CWS_OK);
    assert_false(append(w, 100));
    assert_int_equal(check_kept(w), 100);
}

int main(void)
{
#define RING_TEST(f) cmocka_unit_test_setup_teardown(f, ring_set_up, ring_tear_down)
    const struct CMUnitTest tests[] = {
        RING_TEST(nothing_is_made_before_the_first_byte),
        RING_TEST(the_newest_records_are_kept),
        RING_TEST(little_is_dropped_with_the_oldest),
        RING_TEST(what_is_overwritten_cannot_be_read),
        RING_TEST(the_newest_mark_before_is_found),
        RING_TEST(time_never_goes_back),
        RING_TEST(a_closed_file_is_opened_again),
        RING_TEST(a_forgotten_ring_is_empty),
        RING_TEST(a_changed_file_is_noticed),
        RING_TEST(a_full_disk_makes_the_ring_smaller),
        RING_TEST(what_cannot_be_written_is_lost),
        RING_TEST(after_a_loss_it_begins_anew),
        RING_TEST(a_directory_that_is_gone_loses_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
