/* grpc/frame: messages out of a byte stream, however it is cut. */
#include "support/unit.h"

#include "grpc/frame.h"

enum { MAX_MESSAGE = 1 << 20 };

/* A stream of messages, and what has been read of it. */
struct stream {
    struct cws_buf bytes;
    size_t lens[64];
    size_t count;
};

static uint8_t byte_of(size_t message, size_t at)
{
    return (uint8_t)(message * 37 + at * 11 + (at >> 8));
}

static void stream_add(struct stream *stream, size_t len)
{
    uint8_t prefix[CWS_FRAME_PREFIX];
    uint8_t *to;
    cws_frame_prefix(prefix, len);
    assert_int_equal(cws_buf_append(&stream->bytes, prefix, sizeof(prefix)), CWS_OK);
    assert_int_equal(cws_buf_reserve(&stream->bytes, len, &to), CWS_OK);
    for (size_t i = 0; i < len; i++)
        to[i] = byte_of(stream->count, i);
    cws_buf_commit(&stream->bytes, len);
    stream->lens[stream->count++] = len;
}

static void stream_init(struct stream *stream, const size_t *lens, size_t count)
{
    *stream = (struct stream){0};
    cws_buf_init(&stream->bytes, SIZE_MAX);
    for (size_t i = 0; i < count; i++)
        stream_add(stream, lens[i]);
}

/* Feeds one piece, in a block of exactly its size so that reading past it is caught; checks each
 * message that comes. */
static void feed(struct cws_frame_reader *reader, const struct stream *stream, const uint8_t *piece,
                 size_t len, size_t *seen)
{
    uint8_t *copy = malloc(len ? len : 1);
    memcpy(copy, piece, len);
    const uint8_t *data = copy;
    for (;;) {
        const uint8_t *message;
        size_t message_len;
        assert_int_equal(cws_frame_next(reader, &data, &len, &message, &message_len), CWS_OK);
        if (!message)
            break;
        assert_true(*seen < stream->count);
        assert_int_equal(message_len, stream->lens[*seen]);
        for (size_t i = 0; i < message_len; i++)
            if (message[i] != byte_of(*seen, i))
                fail_msg("message %zu differs at %zu", *seen, i);
        ++*seen;
    }
    assert_int_equal(len, 0); /* all of it is taken before more is asked for */
    free(copy);
}

static const size_t SHAPES[] = {0, 1, 5, 0, 0, 17, 4, 300, 0};

static void test_every_split_in_two(void **state)
{
    (void)state;
    struct stream stream;
    stream_init(&stream, SHAPES, CWS_ARRAY_LEN(SHAPES));
    const uint8_t *bytes = cws_buf_bytes(&stream.bytes);
    for (size_t cut = 0; cut <= stream.bytes.len; cut++) {
        struct cws_frame_reader reader;
        size_t seen = 0;
        cws_frame_reader_init(&reader, MAX_MESSAGE);
        feed(&reader, &stream, bytes, cut, &seen);
        feed(&reader, &stream, bytes + cut, stream.bytes.len - cut, &seen);
        assert_int_equal(seen, stream.count);
        assert_false(cws_frame_is_partial(&reader));
        cws_frame_reader_done(&reader);
    }
    cws_buf_done(&stream.bytes);
}

static void test_every_split_in_three(void **state)
{
    (void)state;
    static const size_t lens[] = {3, 0, 6, 1};
    struct stream stream;
    stream_init(&stream, lens, CWS_ARRAY_LEN(lens));
    const uint8_t *bytes = cws_buf_bytes(&stream.bytes);
    for (size_t a = 0; a <= stream.bytes.len; a++) {
        for (size_t b = a; b <= stream.bytes.len; b++) {
            struct cws_frame_reader reader;
            size_t seen = 0;
            cws_frame_reader_init(&reader, MAX_MESSAGE);
            feed(&reader, &stream, bytes, a, &seen);
            feed(&reader, &stream, bytes + a, b - a, &seen);
            feed(&reader, &stream, bytes + b, stream.bytes.len - b, &seen);
            assert_int_equal(seen, stream.count);
            cws_frame_reader_done(&reader);
        }
    }
    cws_buf_done(&stream.bytes);
}

static void test_pieces_of_each_size(void **state)
{
    (void)state;
    struct stream stream;
    stream_init(&stream, SHAPES, CWS_ARRAY_LEN(SHAPES));
    for (size_t size = 1; size <= stream.bytes.len; size++) {
        struct cws_frame_reader reader;
        size_t seen = 0;
        cws_frame_reader_init(&reader, MAX_MESSAGE);
        for (size_t at = 0; at < stream.bytes.len; at += size) {
            size_t n = stream.bytes.len - at < size ? stream.bytes.len - at : size;
            feed(&reader, &stream, cws_buf_bytes(&stream.bytes) + at, n, &seen);
        }
        assert_int_equal(seen, stream.count);
        cws_frame_reader_done(&reader);
    }
    cws_buf_done(&stream.bytes);
}

static void test_a_whole_message_is_not_copied(void **state)
{
    (void)state;
    uint8_t bytes[CWS_FRAME_PREFIX + 4] = {0, 0, 0, 0, 4, 'a', 'b', 'c', 'd'};
    struct cws_frame_reader reader;
    cws_frame_reader_init(&reader, MAX_MESSAGE);
    const uint8_t *data = bytes, *message;
    size_t len = sizeof(bytes), message_len;
    assert_int_equal(cws_frame_next(&reader, &data, &len, &message, &message_len), CWS_OK);
    assert_ptr_equal(message, bytes + CWS_FRAME_PREFIX);
    assert_null(reader.partial.data);
    cws_frame_reader_done(&reader);
}

static void test_nothing_in_gives_nothing(void **state)
{
    (void)state;
    struct cws_frame_reader reader;
    cws_frame_reader_init(&reader, MAX_MESSAGE);
    const uint8_t byte = 0, *data = &byte, *message = &byte;
    size_t len = 0, message_len = 99;
    assert_int_equal(cws_frame_next(&reader, &data, &len, &message, &message_len), CWS_OK);
    assert_null(message);
    assert_int_equal(message_len, 0);
    cws_frame_reader_done(&reader);
}

static void test_partial_is_told_at_each_place(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0, 0, 0, 0, 3, 'x', 'y', 'z'};
    struct cws_frame_reader reader;
    cws_frame_reader_init(&reader, MAX_MESSAGE);
    assert_false(cws_frame_is_partial(&reader));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        const uint8_t *data = &bytes[i], *message;
        size_t len = 1, message_len;
        assert_int_equal(cws_frame_next(&reader, &data, &len, &message, &message_len), CWS_OK);
        bool whole = i == sizeof(bytes) - 1;
        assert_int_equal(message != NULL, whole);
        assert_int_equal(cws_frame_is_partial(&reader), !whole);
        size_t held = i < CWS_FRAME_PREFIX || whole ? 0 : i - CWS_FRAME_PREFIX + 1;
        assert_int_equal(cws_frame_partial_len(&reader), held);
    }
    cws_frame_reader_done(&reader);
}

static enum cws_status first_status(const uint8_t *bytes, size_t len, size_t max_message,
                                    uint32_t *out_need)
{
    struct cws_frame_reader reader;
    cws_frame_reader_init(&reader, max_message);
    const uint8_t *message;
    size_t message_len;
    enum cws_status status = cws_frame_next(&reader, &bytes, &len, &message, &message_len);
    if (status != CWS_OK)
        assert_null(message);
    *out_need = reader.need;
    cws_frame_reader_done(&reader);
    return status;
}

static void test_the_maximum_is_allowed_and_one_more_is_not(void **state)
{
    (void)state;
    uint32_t need;
    uint8_t fits[CWS_FRAME_PREFIX + 10] = {0, 0, 0, 0, 10};
    assert_int_equal(first_status(fits, sizeof(fits), 10, &need), CWS_OK);
    /* Told by the prefix alone: nothing is stored for it. */
    static const uint8_t over[] = {0, 0, 0, 0, 11};
    assert_int_equal(first_status(over, sizeof(over), 10, &need), CWS_TOO_LARGE);
    assert_int_equal(need, 11);
    static const uint8_t huge[] = {0, 0xff, 0xff, 0xff, 0xff};
    assert_int_equal(first_status(huge, sizeof(huge), 10, &need), CWS_TOO_LARGE);
    assert_true(need == UINT32_MAX);
    static const uint8_t empty[] = {0, 0, 0, 0, 0};
    assert_int_equal(first_status(empty, sizeof(empty), 0, &need), CWS_OK);
}

static void test_compressed_and_unknown_marks_are_refused(void **state)
{
    (void)state;
    uint32_t need;
    for (int mark = 1; mark < 256; mark++) {
        uint8_t bytes[CWS_FRAME_PREFIX + 1] = {(uint8_t)mark, 0, 0, 0, 1, 'x'};
        assert_int_equal(first_status(bytes, sizeof(bytes), 10, &need), CWS_PROTOCOL);
    }
}

static void test_failed_memory_is_told(void **state)
{
    (void)state;
    struct cws_frame_reader reader;
    cws_frame_reader_init(&reader, MAX_MESSAGE);
    static const uint8_t bytes[] = {0, 0, 0, 0, 9, 'h', 'a', 'l', 'f'};
    const uint8_t *data = bytes, *message;
    size_t len = sizeof(bytes), message_len;
    cws_alloc_fail_at(1);
    assert_int_equal(cws_frame_next(&reader, &data, &len, &message, &message_len), CWS_NO_MEMORY);
    assert_null(message);
    cws_frame_reader_done(&reader);
}

static void test_a_large_message_does_not_keep_its_memory(void **state)
{
    (void)state;
    static const size_t lens[] = {600 * 1024, 10, 10};
    struct stream stream;
    stream_init(&stream, lens, CWS_ARRAY_LEN(lens));
    const uint8_t *bytes = cws_buf_bytes(&stream.bytes);
    struct cws_frame_reader reader;
    size_t seen = 0;
    cws_frame_reader_init(&reader, MAX_MESSAGE);
    for (size_t at = 0; at < stream.bytes.len; at += 1000) {
        size_t n = stream.bytes.len - at < 1000 ? stream.bytes.len - at : 1000;
        feed(&reader, &stream, bytes + at, n, &seen);
    }
    assert_int_equal(seen, 3);
    assert_true(reader.partial.cap <= 256 * 1024);
    cws_frame_reader_done(&reader);
    cws_buf_done(&stream.bytes);
}

/* --- messages in pieces --- */

struct piecewise {
    struct cws_frame_reader reader;
    const struct stream *stream;
    size_t seen;     /* messages that are through */
    size_t at;       /* bytes of the next one that came in pieces */
    size_t asked;    /* for the message with that number + 1 */
    size_t least;    /* asks for pieces if the message begins with so many bytes */
    size_t messages; /* that came in pieces */
};

static bool wants_pieces(struct cws_frame_reader *reader, const uint8_t *start, size_t len,
                         size_t message_len)
{
    struct piecewise *p = cws_container_of(reader, struct piecewise, reader);
    assert_true(len > 0 && len < message_len);
    assert_int_equal(message_len, p->stream->lens[p->seen]);
    assert_int_equal(start[0], byte_of(p->seen, 0));
    assert_int_equal(start[len - 1], byte_of(p->seen, len - 1));
    assert_true(p->asked <= p->seen); /* once for each */
    p->asked = p->seen + 1;
    return len >= p->least;
}

/* As feed(). */
static void feed_piecewise(struct piecewise *p, const uint8_t *piece, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    memcpy(copy, piece, len);
    const uint8_t *data = copy, *message;
    size_t message_len;
    for (;;) {
        assert_int_equal(cws_frame_next(&p->reader, &data, &len, &message, &message_len), CWS_OK);
        if (!message)
            break;
        assert_true(p->reader.in_pieces ? message_len > 0 : p->at == 0);
        assert_true(p->at + message_len <= p->stream->lens[p->seen]);
        for (size_t i = 0; i < message_len; i++)
            if (message[i] != byte_of(p->seen, p->at + i))
                fail_msg("message %zu differs at %zu", p->seen, p->at + i);
        p->at += message_len;
        bool whole = p->at == p->stream->lens[p->seen];
        assert_int_equal(whole, !p->reader.in_pieces || p->reader.left == 0);
        assert_int_equal(cws_frame_is_partial(&p->reader), !whole);
        assert_int_equal(cws_frame_partial_len(&p->reader), 0);
        if (whole) {
            p->messages += p->reader.in_pieces;
            p->seen++;
            p->at = 0;
        }
    }
    assert_int_equal(len, 0);
    free(copy);
}

/* In pieces of two sizes in turn; pieces are wanted for a message of which `least` bytes are
 * there. */
static size_t read_piecewise(const struct stream *stream, size_t a, size_t b, size_t least)
{
    struct piecewise p = {.stream = stream, .least = least};
    cws_frame_reader_init(&p.reader, MAX_MESSAGE);
    p.reader.wants_pieces = wants_pieces;
    const uint8_t *bytes = cws_buf_bytes(&stream->bytes);
    size_t left = stream->bytes.len;
    for (size_t size = a; left > 0; size = size == a ? b : a) {
        size_t n = left < size ? left : size;
        feed_piecewise(&p, bytes, n);
        bytes += n;
        left -= n;
    }
    assert_int_equal(p.seen, stream->count);
    assert_false(cws_frame_is_partial(&p.reader));
    if (least == 1)
        assert_null(p.reader.partial.data);
    cws_frame_reader_done(&p.reader);
    return p.messages;
}

static void test_messages_in_pieces(void **state)
{
    (void)state;
    struct stream stream;
    stream_init(&stream, SHAPES, CWS_ARRAY_LEN(SHAPES));
    for (size_t a = 1; a < 40; a++)
        for (size_t b = 1; b <= stream.bytes.len; b += b < 40 ? 1 : 37)
            for (size_t least = 1; least < 20; least += 3)
                read_piecewise(&stream, a, b, least);
    assert_int_equal(read_piecewise(&stream, 1, 1, 1),
                     4); /* all but the empty ones and that of one byte */
    assert_int_equal(read_piecewise(&stream, 1, 1, 2), 0);
    assert_int_equal(read_piecewise(&stream, 400, 1, 1), 0); /* all in one go */
    cws_buf_done(&stream.bytes);
}

static void test_a_stream_that_ends_amid_the_pieces(void **state)
{
    (void)state;
    static const size_t lens[] = {10};
    struct stream stream;
    stream_init(&stream, lens, 1);
    struct piecewise p = {.stream = &stream, .least = 1};
    cws_frame_reader_init(&p.reader, MAX_MESSAGE);
    p.reader.wants_pieces = wants_pieces;
    feed_piecewise(&p, cws_buf_bytes(&stream.bytes), CWS_FRAME_PREFIX + 3);
    assert_int_equal(p.at, 3);
    assert_true(cws_frame_is_partial(&p.reader));
    cws_frame_reader_done(&p.reader);
    cws_buf_done(&stream.bytes);
}

static void test_prefixes(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint8_t prefix[CWS_FRAME_PREFIX];
    } rows[] = {
        {0, {0, 0, 0, 0, 0}},
        {1, {0, 0, 0, 0, 1}},
        {255, {0, 0, 0, 0, 255}},
        {256, {0, 0, 0, 1, 0}},
        {0x123456, {0, 0, 0x12, 0x34, 0x56}},
        {0xfedcba98, {0, 0xfe, 0xdc, 0xba, 0x98}},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        uint8_t prefix[CWS_FRAME_PREFIX];
        memset(prefix, 0xee, sizeof(prefix));
        cws_frame_prefix(prefix, rows[i].len);
        assert_memory_equal(prefix, rows[i].prefix, sizeof(prefix));
    }
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_every_split_in_two),
    UNIT_TEST(test_every_split_in_three),
    UNIT_TEST(test_pieces_of_each_size),
    UNIT_TEST(test_a_whole_message_is_not_copied),
    UNIT_TEST(test_nothing_in_gives_nothing),
    UNIT_TEST(test_partial_is_told_at_each_place),
    UNIT_TEST(test_the_maximum_is_allowed_and_one_more_is_not),
    UNIT_TEST(test_compressed_and_unknown_marks_are_refused),
    UNIT_TEST(test_failed_memory_is_told),
    UNIT_TEST(test_a_large_message_does_not_keep_its_memory),
    UNIT_TEST(test_messages_in_pieces),
    UNIT_TEST(test_a_stream_that_ends_amid_the_pieces),
    UNIT_TEST(test_prefixes),
};

UNIT_MAIN(tests)
