#include "store/log_reader.h"

#include <string.h>

/* How often a reader that has given out nothing yet begins anew, because its place was overwritten
 * meanwhile. */
#define MAX_BEGINNINGS 8

/* What one call of cwsd_log_reader_fill works on. */
struct fill {
    struct cwsd_log_reader *reader;
    uint8_t *into;
    size_t room, len;
    bool full;
    uint64_t first_us; /* 0: nothing yet */
    /* The state behind the last line's end in `into`; len 0: there is none. */
    struct {
        struct cwsd_ring_place place;
        size_t within, len;
        uint64_t given;
    } line;
};

/* ---- where to begin ------------------------------------------------------------------------- */

static bool is_passed_over(const struct cwsd_ring_mark *mark, const void *ctx)
{
    const struct cwsd_log_reader *reader = ctx;
    return mark->place.lines <= reader->from_line || mark->time_us < reader->since_us;
}

static void seek(struct cwsd_log_reader *reader)
{
    reader->located = false;
    reader->within = 0;
    reader->given = 0;
    if (cwsd_ring_find(reader->ring, is_passed_over, reader, &reader->place) ||
        cwsd_ring_oldest(reader->ring, &reader->place))
        return;
    reader->place = cwsd_ring_end(reader->ring);
    reader->lost = reader->place.offset > 0;
}

void cwsd_log_reader_begin(struct cwsd_log_reader *reader, struct cwsd_ring *ring, bool timestamps,
                           uint32_t tail_lines, uint64_t since_us, uint64_t end)
{
    struct cwsd_ring_place newest = cwsd_ring_end(ring);
    *reader = (struct cwsd_log_reader){.ring = ring, .since_us = since_us, .end = end};
    reader->session.timestamps = timestamps;
    if (tail_lines && newest.lines > tail_lines)
        reader->from_line = newest.lines - tail_lines;
    seek(reader);
}

struct resumption {
    const struct cwsd_log_session *session;
    uint64_t given;
};

static bool was_given(const struct cwsd_ring_mark *mark, const void *ctx)
{
    const struct resumption *wanted = ctx;
    const struct cwsd_ring_place *place = &mark->place;
    return place->offset <= wanted->session->start ||
           cwsd_log_session_bytes(wanted->session, place->offset, place->lines) <= wanted->given;
}

void cwsd_log_reader_resume(struct cwsd_log_reader *reader, struct cwsd_ring *ring,
                            const struct cwsd_log_session *session, uint64_t given)
{
    const struct resumption wanted = {session, given};
    *reader = (struct cwsd_log_reader){
        .ring = ring, .session = *session, .located = true, .resumes = true, .end = UINT64_MAX};
    struct cwsd_ring_place end = cwsd_ring_end(ring);
    /* Without a mark there is still the end: all else may be lost. */
    const struct cwsd_ring_mark newest = {.place = end};
    if (!cwsd_ring_find(ring, was_given, &wanted, &reader->place))
        reader->place = was_given(&newest, &wanted) ? end : (struct cwsd_ring_place){0};
    if (reader->place.offset > session->start)
        reader->given = cwsd_log_session_bytes(session, reader->place.offset, reader->place.lines);
    reader->passed_over = given > reader->given ? given - reader->given : 0;
}

uint64_t cwsd_log_reader_offset(const struct cwsd_log_reader *reader)
{
    return reader->given - reader->held_len;
}

/* ---- going on ------------------------------------------------------------------------------- */

/* Goes past `n` bytes of the record, of which only the last may end a line. */
static void step(struct cwsd_log_reader *reader, const struct cwsd_ring_record *record,
                 size_t record_size, size_t n)
{
    struct cwsd_ring_place *place = &reader->place;
    place->lines += place->line_start;
    place->line_start = record->data[reader->within + n - 1] == '\n';
    place->offset += n;
    reader->within += n;
    if (reader->within < record->len)
        return;
    place->at += record_size;
    reader->within = 0;
}

/* How many of the record's next bytes, `most` or fewer, are of one line. */
static size_t in_line(const struct cwsd_log_reader *reader, const struct cwsd_ring_record *record,
                      uint64_t most)
{
    const uint8_t *bytes = record->data + reader->within;
    size_t left = record->len - reader->within;
    if (left > most)
        left = (size_t)most;
    const uint8_t *end = memchr(bytes, '\n', left);
    return end ? (size_t)(end - bytes) + 1 : left;
}

static void note_start(struct cwsd_log_reader *reader)
{
    reader->located = true;
    reader->session.start = reader->place.offset;
    reader->session.lines = reader->place.lines;
    reader->session.whole = reader->place.line_start;
}

/* What is left of a line whose beginning is gone is passed over, unless it is all there is. */
static bool is_fragment(const struct cwsd_log_reader *reader, const uint8_t *bytes, size_t len)
{
    const struct cwsd_ring_place *place = &reader->place;
    const struct cwsd_ring_record *record;
    struct cws_error err;
    size_t size;
    if (place->line_start || reader->from_line >= place->lines)
        return false;
    for (bool first = true;
         (record = cwsd_ring_parse(reader->ring, bytes, len, &size, &err)) != NULL; first = false) {
        if ((first && record->time_us < reader->since_us) ||
            memchr(record->data, '\n', record->len))
            return false;
        bytes += size;
        len -= size;
    }
    return true;
}

/* Goes on to the first line that is wanted. False if it is not in this record. */
static bool locate(struct cwsd_log_reader *reader, const struct cwsd_ring_record *record,
                   size_t record_size)
{
    const uint64_t at = reader->place.at;
    while (reader->place.at == at && reader->place.offset < reader->end) {
        if (reader->place.line_start && reader->place.lines >= reader->from_line &&
            record->time_us >= reader->since_us) {
            note_start(reader);
            return true;
        }
        step(reader, record, record_size, in_line(reader, record, UINT64_MAX));
    }
    return false;
}

static void put(struct fill *fill, const void *bytes, size_t len)
{
    struct cwsd_log_reader *reader = fill->reader;
    size_t skip = len < reader->passed_over ? len : (size_t)reader->passed_over;
    memcpy(fill->into + fill->len, (const uint8_t *)bytes + skip, len - skip);
    fill->len += len - skip;
    reader->passed_over -= skip;
    reader->given += len;
}

static void put_stamp(struct fill *fill, uint64_t time_us)
{
    char stamp[CWSD_LOG_STAMP_LEN];
    cwsd_log_stamp(time_us, stamp);
    put(fill, stamp, sizeof(stamp));
}

/* Takes from the record the next bytes of one line. */
static void take_line(struct fill *fill, const struct cwsd_ring_record *record, size_t record_size)
{
    struct cwsd_log_reader *reader = fill->reader;
    struct cwsd_ring_place *place = &reader->place;
    if (place->offset < reader->session.start) {
        step(reader, record, record_size,
             in_line(reader, record, reader->session.start - place->offset));
        return;
    }
    if (!fill->first_us)
        fill->first_us = record->time_us;
    if (reader->session.timestamps && (place->line_start || place->offset == reader->session.start))
        put_stamp(fill, record->time_us);
    uint64_t most = reader->end - place->offset, room = fill->room - fill->len;
    if (most > room && most - room > reader->passed_over)
        most = room + reader->passed_over;
    size_t n = in_line(reader, record, most);
    put(fill, record->data + reader->within, n);
    step(reader, record, record_size, n);
    if (place->line_start) {
        fill->line.place = *place;
        fill->line.within = reader->within;
        fill->line.given = reader->given;
        fill->line.len = fill->len;
    }
}

static void take_record(struct fill *fill, const struct cwsd_ring_record *record,
                        size_t record_size)
{
    struct cwsd_log_reader *reader = fill->reader;
    const uint64_t at = reader->place.at;
    if (!reader->located && !locate(reader, record, record_size))
        return;
    while (reader->place.at == at && reader->place.offset < reader->end && !fill->full) {
        fill->full = fill->room - fill->len < CWSD_LOG_STAMP_LEN + 1;
        if (!fill->full)
            take_line(fill, record, record_size);
    }
}

/* *out_len is 0 at the end of what is there. */
static enum cws_status take_some(struct fill *fill, size_t *out_len, struct cws_error *err)
{
    struct cwsd_log_reader *reader = fill->reader;
    uint8_t bytes[CWSD_RING_LEAST] __attribute__((aligned(8)));
    const struct cwsd_ring_record *record;
    size_t size, at = 0;
    enum cws_status status =
        cwsd_ring_read(reader->ring, reader->place.at, bytes, sizeof(bytes), out_len, err);
    if (status != CWS_OK)
        return status;
    if (!reader->located && is_fragment(reader, bytes, *out_len))
        note_start(reader);
    err->status = CWS_OK;
    while (!fill->full && reader->place.offset < reader->end && at < *out_len &&
           (record = cwsd_ring_parse(reader->ring, bytes + at, *out_len - at, &size, err)) !=
               NULL &&
           reader->within < record->len) {
        take_record(fill, record, size);
        at += size;
    }
    if (err->status == CWS_OK && *out_len && at == 0)
        cws_error_set(err, CWS_PROTOCOL, "the log's file has been changed");
    return err->status;
}

/* How many bytes at the end are the beginning of a character. */
static size_t cut_character(const uint8_t *bytes, size_t len)
{
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        uint8_t byte = bytes[len - back];
        if ((byte & 0xc0) == 0x80)
            continue;
        size_t whole = byte >= 0xf5   ? 1
                       : byte >= 0xf0 ? 4
                       : byte >= 0xe0 ? 3
                       : byte >= 0xc2 ? 2
                                      : 1;
        return whole > back ? back : 0;
    }
    return 0;
}

/* Takes back what is behind the last line's end or character's. */
static void cut(struct fill *fill)
{
    struct cwsd_log_reader *reader = fill->reader;
    if (fill->full && fill->line.len) {
        reader->place = fill->line.place;
        reader->within = fill->line.within;
        reader->given = fill->line.given;
        fill->len = fill->line.len;
        return;
    }
    reader->held_len = cut_character(fill->into, fill->len);
    fill->len -= reader->held_len;
    memcpy(reader->held, fill->into + fill->len, reader->held_len);
}

enum cws_status cwsd_log_reader_fill(struct cwsd_log_reader *reader, bool ended, uint8_t *into,
                                     size_t room, size_t *out_len, uint64_t *out_us,
                                     struct cws_error *err)
{
    struct fill fill = {.reader = reader, .into = into, .room = room, .len = reader->held_len};
    enum cws_status status = CWS_OK;
    unsigned beginnings = 1;
    bool at_end = false;
    size_t len;
    assert(room >= CWSD_LOG_LEAST_ROOM);
    *out_len = 0;
    if (reader->lost)
        return cws_error_set(err, CWS_CLOSED, "nothing is kept");
    memcpy(into, reader->held, reader->held_len);
    reader->held_len = 0;
    while (!fill.full && !at_end && status == CWS_OK) {
        at_end = reader->place.offset >= reader->end;
        if (at_end)
            break;
        status = take_some(&fill, &len, err);
        at_end = len == 0;
        if (status == CWS_CLOSED && !reader->resumes && reader->given == 0 &&
            beginnings++ < MAX_BEGINNINGS) {
            seek(reader);
            status = CWS_OK;
            at_end = false;
        }
    }
    if (status == CWS_OK && at_end && reader->passed_over)
        status = cws_error_set(err, CWS_INVALID, "the log session has only %llu bytes so far",
                               (unsigned long long)reader->given);
    reader->more = status == CWS_OK && !at_end;
    reader->finished = status == CWS_OK && at_end && (ended || reader->place.offset >= reader->end);
    if (status == CWS_OK && !reader->finished)
        cut(&fill);
    *out_len = fill.len;
    *out_us = fill.first_us;
    return fill.len ? CWS_OK : status;
}
