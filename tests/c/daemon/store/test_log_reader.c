/* cwsandboxd/log_reader, log_session: a log as clients get it, against a plain account of it. */
#include "support/daemon_help.h"

#include <stdlib.h>

#include "store/log_reader.h"

#define OUTPUT_MAX ((size_t)1 << 20)
#define KEY        12345u
#define STAMP_LEN  CWSD_LOG_STAMP_LEN

struct world {
    size_t live;
    char path[64];
    struct cwsd_ring ring;
    char *output;
    uint64_t *times; /* of each byte's arrival */
    size_t len;
    uint64_t now_us;
    unsigned seed;
    uint8_t *got; /* all pieces of one reading */
    size_t got_len;
};

static int set_up(void **state)
{
    struct world *w = test_calloc(1, sizeof(*w));
    w->live = cws_alloc_live();
    snprintf(w->path, sizeof(w->path), "/tmp/cws-log-%d", (int)getpid());
    unlink(w->path);
    w->output = test_malloc(OUTPUT_MAX);
    w->times = test_malloc(OUTPUT_MAX * sizeof(*w->times));
    w->got = test_malloc(OUTPUT_MAX * 4);
    w->now_us = 1795883411000000; /* 2026-11-28T16:30:11 */
    w->seed = 3;
    assert_int_equal(cwsd_ring_init(&w->ring, w->path, 2 * CWSD_RING_LEAST), CWS_OK);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    cwsd_ring_done(&w->ring);
    bool clean = w->live == cws_alloc_live();
    test_free(w->output);
    test_free(w->times);
    test_free(w->got);
    test_free(w);
    return clean ? 0 : -1;
}

static void add(struct world *w, const char *text, size_t len)
{
    static uint64_t memory[CWSD_RING_LEAST / 8];
    struct cwsd_ring_record *record = (void *)memory;
    assert_true(w->len + len <= OUTPUT_MAX);
    memcpy(record->data, text, len);
    record->len = (uint32_t)len;
    assert_true(cwsd_ring_append(&w->ring, record, ++w->now_us));
    memcpy(w->output + w->len, text, len);
    for (size_t i = 0; i < len; i++)
        w->times[w->len + i] = w->now_us;
    w->len += len;
}

static void add_text(struct world *w, const char *text)
{
    add(w, text, strlen(text));
}

/* Pieces of lines of all kinds: empty ones, long ones, characters of up to four bytes. */
static void add_random(struct world *w, size_t most)
{
    static const char *const words[] = {"\n", "a",      "bc\n", "ä",         "€",
                                        "🙂", "line\n", "\xff", "0123456789"};
    char text[CWSD_RING_MAX_LEN];
    size_t len = 0, wanted = 1 + (size_t)rand_r(&w->seed) % most;
    while (len < wanted) {
        const char *word = words[(size_t)rand_r(&w->seed) % CWS_ARRAY_LEN(words)];
        size_t left = wanted - len, word_len = strlen(word);
        memcpy(text + len, word, word_len < left ? word_len : left);
        len += word_len < left ? word_len : left;
    }
    add(w, text, len);
}

/* ---- the plain account ---------------------------------------------------------------------- */

static bool begins_line(const struct world *w, size_t offset)
{
    return offset == 0 || w->output[offset - 1] == '\n';
}

/* What a session that begins at the offset should give. */
static size_t expect(const struct world *w, size_t start, bool timestamps, uint8_t *into)
{
    size_t len = 0;
    for (size_t i = start; i < w->len; i++) {
        if (timestamps && (i == start || begins_line(w, i))) {
            cwsd_log_stamp(w->times[i], (char *)into + len);
            len += STAMP_LEN;
        }
        into[len++] = (uint8_t)w->output[i];
    }
    return len;
}

/* Where a session with these wishes should begin, if the log is kept from `from` on. */
static size_t expect_start(const struct world *w, size_t from, uint32_t tail, uint64_t since_us)
{
    size_t lines = 0, at = w->len;
    for (size_t i = w->len; i-- > from;) {
        if (!begins_line(w, i))
            continue;
        if (w->times[i] < since_us || (tail && lines == tail))
            break;
        at = i;
        lines++;
    }
    return at;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* Reads until the end; the room for each piece is at random. */
static enum cws_status read_all(struct world *w, struct cwsd_log_reader *reader)
{
    uint8_t bytes[4096];
    struct cws_error err;
    uint64_t time_us, first = cwsd_log_reader_offset(reader) + reader->passed_over;
    size_t len;
    w->got_len = 0;
    while (!reader->finished) {
        size_t room = rand_r(&w->seed) % 2 ? sizeof(bytes)
                                           : CWSD_LOG_LEAST_ROOM + (size_t)rand_r(&w->seed) % 100;
        enum cws_status status =
            cwsd_log_reader_fill(reader, true, bytes, room, &len, &time_us, &err);
        if (status != CWS_OK)
            return status;
        assert_true(len > 0 || reader->finished);
        if (len == 0)
            break;
        assert_true(time_us > 0);
        /* Only the end, or a line that has no room, is within a line. */
        assert_true(reader->finished || bytes[len - 1] == '\n' || !memchr(bytes, '\n', len));
        memcpy(w->got + w->got_len, bytes, len);
        w->got_len += len;
        assert_int_equal(cwsd_log_reader_offset(reader), first + w->got_len);
    }
    return CWS_OK;
}

static uint8_t expected[OUTPUT_MAX * 4];

static void check_got(struct world *w, size_t start, bool timestamps, size_t given)
{
    size_t len = expect(w, start, timestamps, expected);
    assert_int_equal(w->got_len, len - given);
    assert_memory_equal(w->got, expected + given, w->got_len);
}

static void windows_are_as_wished(void **state)
{
    struct world *w = *state;
    for (int n = 0; n < 120; n++) {
        add_random(w, n % 5 ? 60 : 3000);
        uint32_t tail = rand_r(&w->seed) % 2 ? 0 : (uint32_t)rand_r(&w->seed) % 40;
        uint64_t since = rand_r(&w->seed) % 2 ? 0 : w->now_us - (uint64_t)rand_r(&w->seed) % 20;
        bool timestamps = n % 2;
        struct cwsd_log_reader reader;
        cwsd_log_reader_begin(&reader, &w->ring, timestamps, tail, since, UINT64_MAX);
        assert_int_equal(read_all(w, &reader), CWS_OK);
        size_t start = expect_start(w, 0, tail, since);
        check_got(w, start, timestamps, 0);
        if (w->got_len)
            assert_int_equal(reader.session.start, start);
    }
}

static void a_session_goes_on_after_every_byte(void **state)
{
    struct world *w = *state;
    for (int n = 0; n < 25; n++)
        add_random(w, 40);
    for (int n = 0; n < 4; n++) {
        bool timestamps = n % 2;
        struct cwsd_log_reader reader;
        struct cwsd_log_session session;
        char id[CWSD_LOG_ID_SIZE];
        cwsd_log_reader_begin(&reader, &w->ring, timestamps, n < 2 ? 0 : 9, 0, UINT64_MAX);
        assert_int_equal(read_all(w, &reader), CWS_OK);
        cwsd_log_session_format(&reader.session, KEY, id);
        assert_true(cwsd_log_session_parse(id, KEY, &session));
        size_t all = w->got_len;
        for (size_t given = 0; given <= all; given++) {
            cwsd_log_reader_resume(&reader, &w->ring, &session, given);
            assert_int_equal(read_all(w, &reader), CWS_OK);
            check_got(w, session.start, timestamps, given);
        }
        for (size_t more = 1; more < 40; more++) {
            cwsd_log_reader_resume(&reader, &w->ring, &session, all + more);
            assert_int_equal(read_all(w, &reader), CWS_INVALID);
        }
        cwsd_log_reader_resume(&reader, &w->ring, &session, UINT64_MAX);
        assert_int_equal(read_all(w, &reader), CWS_INVALID);
    }
}

/* A ring that has gone round several times: what begins at its oldest line, and what goes on. */
static void in_a_ring_that_has_gone_round(void **state)
{
    struct world *w = *state;
    struct cwsd_log_session sessions[40];
    for (int n = 0; n < 30; n++) {
        bool timestamps = n % 2;
        for (int i = 0; i < 30; i++)
            add_random(w, 1200);
        struct cwsd_log_reader reader;
        struct cwsd_ring_place oldest;
        assert_true(cwsd_ring_oldest(&w->ring, &oldest));
        cwsd_log_reader_begin(&reader, &w->ring, timestamps, 0, 0, UINT64_MAX);
        assert_int_equal(read_all(w, &reader), CWS_OK);
        check_got(w, expect_start(w, oldest.offset, 0, 0), timestamps, 0);
        sessions[n] = reader.session;
        for (int i = 0; i <= n; i++) {
            size_t all = expect(w, sessions[i].start, sessions[i].timestamps, expected);
            size_t given = all - (size_t)rand_r(&w->seed) % (all < 200000 ? all : 200000);
            cwsd_log_reader_resume(&reader, &w->ring, &sessions[i], given);
            enum cws_status status = read_all(w, &reader);
            uint64_t kept = 0;
            if (oldest.offset >= sessions[i].start)
                kept = cwsd_log_session_bytes(&sessions[i], oldest.offset, oldest.lines);
            assert_int_equal(status, given < kept ? CWS_CLOSED : CWS_OK);
            if (status == CWS_OK)
                check_got(w, sessions[i].start, sessions[i].timestamps, given);
        }
    }
}

static void a_window_that_begins_within_a_line(void **state)
{
    struct world *w = *state;
    char text[3000];
    memset(text, 'x', sizeof(text));
    for (int n = 0; n < 60; n++)
        add(w, text, sizeof(text));
    struct cwsd_ring_place oldest;
    assert_true(cwsd_ring_oldest(&w->ring, &oldest));
    assert_false(oldest.line_start);
    for (int n = 0; n < 4; n++) {
        bool timestamps = n % 2;
        struct cwsd_log_reader reader;
        cwsd_log_reader_begin(&reader, &w->ring, timestamps, n < 2 ? 0 : 1, 0, UINT64_MAX);
        assert_int_equal(read_all(w, &reader), CWS_OK);
        check_got(w, oldest.offset, timestamps, 0);
        struct cwsd_log_session session = reader.session;
        size_t all = w->got_len;
        for (size_t given = 0; given < all; given += given < 100 ? 1 : 997) {
            cwsd_log_reader_resume(&reader, &w->ring, &session, given);
            assert_int_equal(read_all(w, &reader), CWS_OK);
            check_got(w, oldest.offset, timestamps, given);
        }
    }
    add_text(w, "\nnext\n");
    struct cwsd_log_reader reader;
    cwsd_log_reader_begin(&reader, &w->ring, false, 1, 0, UINT64_MAX);
    assert_int_equal(read_all(w, &reader), CWS_OK);
    assert_int_equal(w->got_len, 5);
}

/* ---- while it grows ------------------------------------------------------------------------- */

static size_t fill(struct cwsd_log_reader *reader, bool ended, char *into)
{
    struct cws_error err;
    uint64_t time_us;
    size_t len;
    assert_int_equal(
        cwsd_log_reader_fill(reader, ended, (uint8_t *)into, 4096, &len, &time_us, &err), CWS_OK);
    into[len] = '\0';
    return len;
}

static void a_reader_follows(void **state)
{
    struct world *w = *state;
    struct cwsd_log_reader reader;
    char text[4097];
    cwsd_log_reader_begin(&reader, &w->ring, false, 0, 0, UINT64_MAX);
    assert_int_equal(fill(&reader, false, text), 0);
    add_text(w, "one\ntw");
    fill(&reader, false, text);
    assert_string_equal(text, "one\ntw");
    assert_int_equal(fill(&reader, false, text), 0);
    add_text(w, "o\n\xe2");
    fill(&reader, false, text);
    assert_string_equal(text, "o\n");
    add_text(w, "\x82");
    assert_int_equal(fill(&reader, false, text), 0);
    assert_int_equal(cwsd_log_reader_offset(&reader), 8);
    add_text(w, "\xac!\xf0\x9f");
    fill(&reader, false, text);
    assert_string_equal(text, "€!");
    assert_false(reader.finished);
    fill(&reader, true, text);
    assert_string_equal(text, "\xf0\x9f");
    assert_true(reader.finished);
    assert_int_equal(cwsd_log_reader_offset(&reader), w->len);
}

static void a_reader_stops_at_its_end(void **state)
{
    struct world *w = *state;
    struct cwsd_log_reader reader;
    char text[4097];
    add_text(w, "one\ntwo\nthree\n");
    cwsd_log_reader_begin(&reader, &w->ring, false, 0, 0, 6);
    fill(&reader, false, text);
    assert_string_equal(text, "one\ntw");
    assert_true(reader.finished);
    cwsd_log_reader_begin(&reader, &w->ring, false, 0, 0, 0);
    assert_int_equal(fill(&reader, false, text), 0);
    assert_true(reader.finished);
    cwsd_log_reader_begin(&reader, &w->ring, false, 0, w->now_us + 1, 14);
    assert_int_equal(fill(&reader, false, text), 0);
    assert_true(reader.finished);
}

static void a_log_that_is_lost_is_no_empty_one(void **state)
{
    struct world *w = *state;
    struct cwsd_log_reader reader;
    struct cws_error err;
    uint8_t bytes[CWSD_LOG_LEAST_ROOM];
    uint64_t time_us;
    size_t len;
    add_text(w, "one\n");
    cwsd_ring_lose(&w->ring, (const uint8_t *)"two\n", 4);
    for (unsigned ended = 0; ended < 2; ended++) {
        cwsd_log_reader_begin(&reader, &w->ring, false, 0, 0, UINT64_MAX);
        assert_int_equal(
            cwsd_log_reader_fill(&reader, ended, bytes, sizeof(bytes), &len, &time_us, &err),
            CWS_CLOSED);
        assert_int_equal(len, 0);
    }
}

static void what_is_lost_is_a_gap(void **state)
{
    struct world *w = *state;
    struct cwsd_log_reader reader, late;
    struct cws_error err;
    char text[4097];
    uint64_t time_us;
    size_t len;
    add_text(w, "one\n");
    cwsd_log_reader_begin(&reader, &w->ring, false, 0, 0, UINT64_MAX);
    fill(&reader, false, text);
    cwsd_ring_lose(&w->ring, (const uint8_t *)"lost\n", 5);
    add_text(w, "two\n");
    assert_int_equal(
        cwsd_log_reader_fill(&reader, false, (uint8_t *)text, 4096, &len, &time_us, &err),
        CWS_CLOSED);
    cwsd_log_reader_begin(&late, &w->ring, false, 0, 0, UINT64_MAX);
    fill(&late, false, text);
    assert_string_equal(text, "two\n");
}

/* ---- sessions ------------------------------------------------------------------------------- */

static void ids_are_those_of_one_log(void **state)
{
    static const char *const foreign[] = {"", "x", "ls-", "ls-0", "%s%n", "ls-3ffff"};
    struct cwsd_log_session session, read;
    char id[CWSD_LOG_ID_SIZE + 1] = "", changed[CWSD_LOG_ID_SIZE + 1];
    (void)state;
    session = (struct cwsd_log_session){UINT64_MAX, UINT64_MAX - 1, true, true};
    cwsd_log_session_format(&session, KEY, id);
    assert_true(cwsd_log_session_parse(id, KEY, &read));
    assert_true(read.start == session.start && read.lines == session.lines);
    assert_true(read.whole && read.timestamps);
    assert_false(cwsd_log_session_parse(id, KEY + 1, &read));
    for (size_t i = 0; id[i]; i++) {
        memcpy(changed, id, sizeof(id));
        changed[i] = changed[i] == '1' ? '2' : '1';
        assert_false(cwsd_log_session_parse(changed, KEY, &read));
    }
    strcat(id, "0");
    assert_false(cwsd_log_session_parse(id, KEY, &read));
    for (size_t i = 0; i < CWS_ARRAY_LEN(foreign); i++)
        assert_false(cwsd_log_session_parse(foreign[i], KEY, &read));
}

static void stamps(void **state)
{
    char stamp[STAMP_LEN + 1] = "";
    (void)state;
    cwsd_log_stamp(1795883411000007, stamp);
    assert_string_equal(stamp, "2026-11-28T16:30:11.000007Z ");
}

int main(void)
{
#define LOG_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        LOG_TEST(windows_are_as_wished),
        LOG_TEST(a_session_goes_on_after_every_byte),
        LOG_TEST(in_a_ring_that_has_gone_round),
        LOG_TEST(a_window_that_begins_within_a_line),
        LOG_TEST(a_reader_follows),
        LOG_TEST(a_reader_stops_at_its_end),
        LOG_TEST(a_log_that_is_lost_is_no_empty_one),
        LOG_TEST(what_is_lost_is_a_gap),
        CWSD_TEST(ids_are_those_of_one_log),
        CWSD_TEST(stamps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
