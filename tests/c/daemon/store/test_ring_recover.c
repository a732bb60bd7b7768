/* cwsandboxd/ring_recover: what a later daemon finds in the file that a ring has left. */
#include "support/ring_world.h"

#include <sys/wait.h>

static void open_kept(struct ring_world *w, uint64_t capacity)
{
    open_ring(w, capacity);
    w->ring.kept = true;
}

/* As after a daemon's end, whatever was the matter with that. */
static void take_over(struct ring_world *w, uint64_t capacity)
{
    struct cws_error err;
    w->ring.kept = true;
    cwsd_ring_done(&w->ring);
    open_ring(w, capacity); /* not kept: the end of the test removes the file */
    cwsd_ring_take_over(&w->ring);
    assert_true(cwsd_ring_is_unread(&w->ring));
    if (cwsd_ring_recover(&w->ring, &err) != CWS_OK)
        fail_msg("%s", err.text);
    assert_false(cwsd_ring_is_unread(&w->ring));
}

static void expect_lost(struct ring_world *w)
{
    struct cwsd_ring_place place;
    assert_false(cwsd_ring_oldest(&w->ring, &place));
    assert_true(cwsd_ring_end(&w->ring).offset > 0);
}

static void all_that_was_kept_is_found(void **state)
{
    struct ring_world *w = *state;
    static const uint64_t capacities[] = {CWSD_RING_LEAST, 100000, 300000, 1 << 20};
    for (int round = 0; round < 60; round++) {
        uint64_t capacity = capacities[round % 4];
        w->len = 0;
        open_kept(w, capacity);
        for (int n = 1 + (int)some_size(w) % (1 + round * 2); n > 0 && w->len < OUTPUT_MAX / 2; n--)
            assert_true(append(w, some_size(w)));
        size_t kept = w->len - check_kept(w);
        uint64_t key = w->ring.key;
        take_over(w, CWSD_RING_LEAST);
        assert_true(w->ring.key == key); /* of the sessions that clients go on with */
        size_t again = w->len - check_kept(w);
        assert_true(again >= kept); /* or a little more than is offered while the ring is filled */
        cwsd_ring_done(&w->ring);
    }
    open_ring(w, CWSD_RING_LEAST);
}

static void nothing_was_kept(void **state)
{
    struct ring_world *w = *state;
    open_kept(w, CWSD_RING_LEAST);
    cwsd_ring_done(&w->ring);
    open_ring(w, CWSD_RING_LEAST);
    cwsd_ring_take_over(&w->ring);
    assert_false(cwsd_ring_is_unread(&w->ring));
    assert_int_equal(cwsd_ring_end(&w->ring).offset, 0);
    assert_int_equal(cwsd_ring_size(&w->ring), 0);
}

static size_t read_file(const char *path, uint8_t *into, size_t cap)
{
    int fd = open(path, O_RDONLY);
    ssize_t len = read(fd, into, cap);
    close(fd);
    assert_true(len > 0);
    return (size_t)len;
}

static void write_file(const char *path, const uint8_t *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
}

/* A record is written front to back, at the end of the file round to its beginning. Its first `n`
 * bytes are there, and for the rest what was there before. */
static void tear(struct ring_world *w, uint8_t *file, const uint8_t *before, uint64_t at,
                 size_t size, size_t n)
{
    for (size_t i = n; i < size; i++) {
        size_t place = CWSD_RING_HEAD + (at + i) % w->ring.capacity;
        file[place] = before[place];
    }
}

static void a_record_that_is_half_written_is_none(void **state)
{
    struct ring_world *w = *state;
    static uint8_t before[1 << 18], after[1 << 18];
    for (int round = 0; round < 60; round++) {
        w->len = 0;
        open_kept(w, 150000);
        for (int n = 2 + (int)some_size(w) % 40; n > 0; n--)
            assert_true(append(w, some_size(w)));
        size_t whole = w->len, len = read_file(w->path, before, sizeof(before));
        uint64_t at = cwsd_ring_end(&w->ring).at;
        assert_true(append(w, some_size(w)));
        size_t size = (size_t)(cwsd_ring_end(&w->ring).at - at);
        size_t grown = read_file(w->path, after, sizeof(after));
        memset(before + len, 0, grown - len);
        size_t told_apart = size > 200 ? size - 100 : 40; /* one byte may be what it was before */
        tear(w, after, before, at, size, (size_t)rand_r(&w->seed) % told_apart);
        write_file(w->path, after, grown);
        w->len = whole;
        take_over(w, 150000);
        assert_true(check_kept(w) < whole);
        cwsd_ring_done(&w->ring);
    }
    open_ring(w, CWSD_RING_LEAST);
}

/* Whoever writes to the log knows how records look, but not their key. */
static void records_cannot_be_made_up(void **state)
{
    struct ring_world *w = *state;
    static uint8_t file[1 << 18];
    static uint64_t memory[CWSD_RING_LEAST / 8];
    struct cwsd_ring_record *record = (void *)memory;
    open_kept(w, 200000);
    assert_true(append(w, 1000));
    read_file(w->path, file, sizeof(file));
    for (int i = 0; i < 9; i++) { /* the first record, again and again within others */
        record->len = 30000;
        for (size_t at = 0; at + 1100 < record->len; at += 1100 & ~7u)
            memcpy(record->data + at, file + CWSD_RING_HEAD, 1100);
        memset(record->data + 29000, '\n', 1000);
        memcpy(w->output + w->len, record->data, record->len);
        w->len += record->len;
        assert_true(cwsd_ring_append(&w->ring, record, ++w->now_us));
    }
    take_over(w, CWSD_RING_LEAST);
    assert_true(check_kept(w) > 1000);
}

/* After a power failure, say. */
static void behind_a_damaged_record_it_goes_on(void **state)
{
    struct ring_world *w = *state;
    open_kept(w, 300000);
    for (int i = 0; i < 10; i++)
        assert_true(append(w, 5000));
    int fd = open(w->path, O_WRONLY);
    off_t fourth = (off_t)(CWSD_RING_HEAD + 3 * CWSD_RING_SIZE(5000) + 2000);
    assert_int_equal(pwrite(fd, "\0\0\0\0", 4, fourth), 4);
    close(fd);
    take_over(w, CWSD_RING_LEAST);
    assert_int_equal(check_kept(w), 20000);
}

static void a_file_that_is_none_is_lost(void **state)
{
    struct ring_world *w = *state;
    static uint8_t bytes[1 << 17];
    for (int kind = 0; kind < 4; kind++) {
        w->len = 0;
        open_kept(w, CWSD_RING_LEAST);
        assert_true(append(w, 1000));
        size_t len = read_file(w->path, bytes, sizeof(bytes));
        bytes[kind == 0 ? 0 : kind == 1 ? 20 : 60] ^= 1; /* the head */
        write_file(w->path, bytes, kind == 3 ? 40 : len);
        take_over(w, CWSD_RING_LEAST);
        expect_lost(w);
        cwsd_ring_done(&w->ring);
    }
    open_ring(w, CWSD_RING_LEAST);
}

static void what_was_forgotten_stays_lost(void **state)
{
    struct ring_world *w = *state;
    open_kept(w, CWSD_RING_LEAST);
    assert_true(append(w, 1000));
    cwsd_ring_forget(&w->ring);
    assert_int_equal(cwsd_ring_size(&w->ring), 0);
    take_over(w, CWSD_RING_LEAST);
    expect_lost(w);
    cwsd_ring_done(&w->ring);
    assert_int_equal(access(w->path, F_OK), -1);
    /* Or before it has been read at all. */
    struct cws_error err;
    open_kept(w, CWSD_RING_LEAST);
    assert_true(append(w, 1000));
    cwsd_ring_done(&w->ring);
    open_kept(w, CWSD_RING_LEAST);
    cwsd_ring_take_over(&w->ring);
    assert_int_equal(cwsd_ring_size(&w->ring), CWSD_RING_LEAST);
    cwsd_ring_forget(&w->ring);
    assert_int_equal(cwsd_ring_recover(&w->ring, &err), CWS_OK);
    expect_lost(w);
    take_over(w, CWSD_RING_LEAST);
    expect_lost(w);
}

/* What could not be written is no more there than before, for those who come later, too. */
static void a_loss_is_remembered(void **state)
{
    struct ring_world *w = *state;
    open_kept(w, 1 << 20);
    limit_files(1000); /* the file cannot be made */
    assert_false(append(w, 300));
    limit_files(RLIM_INFINITY);
    take_over(w, 1 << 20);
    expect_lost(w);
    cwsd_ring_done(&w->ring);
    w->len = 0;
    open_kept(w, 1 << 20);
    assert_true(append(w, 30000));
    limit_files(CWSD_RING_HEAD); /* there is no more than the head; nor can a smaller ring help */
    assert_false(append(w, 20000));
    limit_files(RLIM_INFINITY);
    take_over(w, 1 << 20);
    expect_lost(w);
    assert_int_equal(cwsd_ring_end(&w->ring).offset, 50000);
}

static void what_comes_after_a_loss_is_found(void **state)
{
    struct ring_world *w = *state;
    open_kept(w, 1 << 20);
    limit_files(1000);
    assert_false(append(w, 300));
    limit_files(RLIM_INFINITY);
    assert_true(append(w, 500));
    memcpy(w->output + w->len, "lost\n", 5);
    w->len += 5;
    cwsd_ring_lose(&w->ring, (const uint8_t *)"lost\n", 5);
    assert_true(append(w, 200));
    take_over(w, 1 << 20);
    assert_int_equal(check_kept(w), 805);
}

static void a_ring_that_became_smaller_is_found(void **state)
{
    struct ring_world *w = *state;
    open_kept(w, 1 << 20);
    limit_files(200000);
    while (w->len < 600000)
        assert_true(append(w, some_size(w) % 20000 + 1));
    limit_files(RLIM_INFINITY);
    assert_true(w->ring.capacity < 200000);
    size_t from = check_kept(w);
    take_over(w, 1 << 20);
    assert_true(check_kept(w) <= from);
}

/* Appends without end, and says after each record how much that was. */
static void append_on(struct ring_world *w, int fd)
{
    for (;;) {
        if (w->len > OUTPUT_MAX - CWSD_RING_LEAST)
            _exit(1);
        if (!append(w, some_size(w) % 3000 + 1) || write(fd, &w->len, sizeof(w->len)) < 0)
            _exit(1);
    }
}

static void a_killed_process_leaves_all_but_the_last(void **state)
{
    struct ring_world *w = *state;
    for (int round = 0; round < 10; round++) {
        int ends[2];
        size_t said = 0, wanted = 1000u + (size_t)rand_r(&w->seed) % 400000;
        w->len = 0;
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            open_kept(w, 150000);
            append_on(w, ends[1]);
        }
        close(ends[1]);
        while (said < wanted && read(ends[0], &said, sizeof(said)) == sizeof(said))
            ;
        kill(child, SIGKILL);
        for (size_t more; read(ends[0], &more, sizeof(more)) == sizeof(more);)
            said = more;
        close(ends[0]);
        assert_int_equal(waitpid(child, NULL, 0), child);
        open_kept(w, 150000);
        take_over(w, 150000);
        size_t found = cwsd_ring_end(&w->ring).offset;
        assert_true(found >= said && said >= wanted);
        for (; w->len < found; w->len++)
            w->output[w->len] = byte_at(w->len);
        assert_true(check_kept(w) < found);
        cwsd_ring_done(&w->ring);
    }
    open_ring(w, CWSD_RING_LEAST);
}

int main(void)
{
#define RING_TEST(f) cmocka_unit_test_setup_teardown(f, ring_set_up, ring_tear_down)
    const struct CMUnitTest tests[] = {
        RING_TEST(all_that_was_kept_is_found),
        RING_TEST(nothing_was_kept),
        RING_TEST(a_record_that_is_half_written_is_none),
        RING_TEST(records_cannot_be_made_up),
        RING_TEST(behind_a_damaged_record_it_goes_on),
        RING_TEST(a_file_that_is_none_is_lost),
        RING_TEST(what_was_forgotten_stays_lost),
        RING_TEST(a_loss_is_remembered),
        RING_TEST(what_comes_after_a_loss_is_found),
        RING_TEST(a_ring_that_became_smaller_is_found),
        RING_TEST(a_killed_process_leaves_all_but_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
