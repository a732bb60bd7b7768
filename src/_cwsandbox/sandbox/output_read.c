/* The cursor: lines, and what is there. */
#include <string.h>

#include "sandbox/output_private.h"

/* Moves a place that is at the end of its chunk to the next chunk, if there is one. */
static void step_over(struct cws_output *output, struct cws_output_place *place)
{
    /* The link is read first: a thread that has seen it sees everything that the chunk will ever
     * hold. */
    struct cws_output_chunk *next = place->chunk ? cws_output_next_of(place->chunk) : NULL;
    if (!place->chunk) {
        place->chunk = atomic_load_explicit(&output->shared.first, memory_order_acquire);
        place->offset = 0;
    } else if (next && place->offset == cws_output_used(place->chunk)) {
        place->chunk = next;
        place->offset = 0;
    }
}

/* The reader has taken, or passed over, `len` bytes. */
static void count_taken(struct cws_output *output, size_t len)
{
    atomic_fetch_add(&output->shared.taken, len);
    output->reader_only.unreported += len;
    if (output->reader_only.unreported >= CWS_OUTPUT_REPORT) {
        output->reader_only.unreported = 0;
        output->on_taken(output);
    }
}

/* The line that lies in front of `scan` has no end, and what comes next does not continue it. */
static void drop_broken_line(struct cws_output *output)
{
    output->reader_only.cursor = output->reader_only.scan;
    count_taken(output, output->reader_only.line_len);
    output->reader_only.line_len = 0;
}

/* Moves `scan` behind the next LF; false when there is none yet. */
static bool find_line_end(struct cws_output *output)
{
    struct cws_output_place *scan = &output->reader_only.scan;
    for (;;) {
        step_over(output, scan);
        if (!scan->chunk)
            return false;
        const uint8_t *from = scan->chunk->data + scan->offset;
        size_t n = cws_output_used(scan->chunk) - scan->offset;
        if (n == 0)
            return false;
        if (scan->offset == 0 && scan->chunk->begins_line)
            drop_broken_line(output);
        const uint8_t *lf = memchr(from, '\n', n);
        if (lf)
            n = (size_t)(lf - from) + 1;
        scan->offset += n;
        output->reader_only.line_len += n;
        if (lf)
            return true;
    }
}

/* Frees what was taken before the cursor's last step: nobody reads it any more. */
static void let_go_of_taken(struct cws_output *output)
{
    struct cws_output_chunk *chunk =
        atomic_load_explicit(&output->shared.first, memory_order_relaxed);
    while (chunk != output->reader_only.before.chunk)
        chunk = cws_output_free_chunk(chunk);
    atomic_store_explicit(&output->shared.first, chunk, memory_order_relaxed);
    output->reader_only.taken_len = output->reader_only.line_len;
    count_taken(output, output->reader_only.taken_len);
}

/* Takes the bytes between the cursor and `scan`, and moves the cursor there. */
static void take(struct cws_output *output, struct cws_output_line *out_line)
{
    step_over(output, &output->reader_only.cursor);
    struct cws_output_chunk *chunk = output->reader_only.cursor.chunk;
    size_t offset = output->reader_only.cursor.offset;
    size_t n = chunk == output->reader_only.scan.chunk ? output->reader_only.line_len
                                                       : cws_output_used(chunk) - offset;
    *out_line =
        (struct cws_output_line){chunk->data + offset, n, output->reader_only.line_len - n, chunk};
    output->reader_only.before = output->reader_only.cursor;
    output->reader_only.cursor = output->reader_only.scan;
    if (output->kept == CWS_OUTPUT_UNREAD)
        let_go_of_taken(output);
    output->reader_only.line_len = 0;
}

bool cws_output_next_piece(struct cws_output_line *line)
{
    if (line->rest == 0)
        return false;
    line->chunk = cws_output_next_of(line->chunk);
    size_t n = cws_output_used(line->chunk);
    line->data = line->chunk->data;
    line->len = n < line->rest ? n : line->rest;
    line->rest -= line->len;
    return true;
}

void cws_output_put_back(struct cws_output *output)
{
    output->reader_only.cursor = output->reader_only.scan = output->reader_only.before;
    output->reader_only.line_len = 0;
    output->reader_only.read_at = output->reader_only.scan_at = output->reader_only.read_before;
    if (output->kept == CWS_OUTPUT_UNREAD)
        atomic_fetch_sub(&output->shared.taken, output->reader_only.taken_len);
}

/* ---- text ----------------------------------------------------------------------------------- */

size_t cws_output_unfinished(const uint8_t *last, size_t len)
{
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        uint8_t byte = last[len - back];
        if (byte < 0x80)
            return 0;
        if (byte >= 0xc0) {
            size_t whole = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
            return byte <= 0xf4 && back < whole ? back : 0;
        }
    }
    return 0;
}

/* Moves `scan` from the cursor over `max` bytes at the most, and back to where a character ends
 * unless `all` is wanted; false when no byte is left between the two. */
static bool find_text_end(struct cws_output *output, size_t max, bool all)
{
    struct cws_output_place places[4] = {0}, *scan = &output->reader_only.scan;
    uint8_t last[4] = {0}; /* the bytes in front of `scan`, of which places[] are the beginnings */
    size_t kept = 0;
    step_over(output, &output->reader_only.cursor);
    *scan = output->reader_only.cursor;
    output->reader_only.line_len = 0;
    while (scan->chunk && output->reader_only.line_len < max) {
        step_over(output, scan);
        size_t n = cws_output_used(scan->chunk) - scan->offset;
        if (n > max - output->reader_only.line_len)
            n = max - output->reader_only.line_len;
        if (n == 0)
            break;
        for (size_t i = n > 4 ? n - 4 : 0; i < n; i++) {
            memmove(last, last + 1, 3);
            memmove(places, places + 1, 3 * sizeof(places[0]));
            last[3] = scan->chunk->data[scan->offset + i];
            places[3] = (struct cws_output_place){scan->chunk, scan->offset + i};
            kept += kept < 4;
        }
        scan->offset += n;
        output->reader_only.line_len += n;
    }
    size_t back = all ? 0 : cws_output_unfinished(last + 4 - kept, kept);
    if (back) {
        *scan = places[4 - back];
        output->reader_only.line_len -= back;
    }
    return output->reader_only.line_len > 0;
}

/* ---- taking --------------------------------------------------------------------------------- */

static bool find_end(struct cws_output *output, enum cws_output_item item, bool ended)
{
    if (item != CWS_OUTPUT_LINE)
        return find_text_end(output, CWS_OUTPUT_TEXT_MAX, item == CWS_OUTPUT_BYTES) ||
               (ended && find_text_end(output, CWS_OUTPUT_TEXT_MAX, true));
    bool found = find_line_end(output);
    if (output->reader_only.line_len <= output->line_max || output->kept != CWS_OUTPUT_UNREAD)
        return found || (ended && output->reader_only.line_len > 0);
    /* The end of a line that is too long is not waited for. */
    return find_text_end(output, output->line_max, false);
}

static enum cws_output_next take_if_there(struct cws_output *output, enum cws_output_item item,
                                          struct cws_output_line *out_line)
{
    if (atomic_load_explicit(&output->shared.closed, memory_order_acquire))
        return CWS_OUTPUT_END;
    /* Read before the search, so that the search finds everything that was appended before the
     * end. */
    bool ended = atomic_load_explicit(&output->shared.ended, memory_order_acquire);
    if (!find_end(output, item, ended))
        return ended ? CWS_OUTPUT_END : CWS_OUTPUT_EMPTY;
    take(output, out_line);
    return CWS_OUTPUT_TAKEN;
}

/* Bytes were dropped unread, and the reader has not been told yet. */
static bool take_gap(struct cws_output *output, struct cws_output_line *out_line)
{
    cws_waiters_lock(&output->waiters);
    *out_line = (struct cws_output_line){.len = output->synced.untold};
    output->synced.untold = 0;
    cws_waiters_unlock(&output->waiters);
    return out_line->len > 0;
}

enum cws_output_next cws_output_take(struct cws_output *output, enum cws_output_item item,
                                     struct cws_output_line *out_line,
                                     struct cws_observer *observer)
{
    if (output->kept != CWS_OUTPUT_ALL) {
        if (output->kept == CWS_OUTPUT_ENDS)
            return cws_output_take_of_ends(output, item, out_line, observer);
        if (take_gap(output, out_line))
            return CWS_OUTPUT_GAP;
    }
    /* Without the lock: nearly always the line is there. */
    enum cws_output_next next = take_if_there(output, item, out_line);
    if (next != CWS_OUTPUT_EMPTY || !observer)
        return next;
    cws_waiters_lock(&output->waiters);
    next = take_if_there(output, item, out_line);
    if (next == CWS_OUTPUT_EMPTY) {
        cws_waiters_add_lock_held(&output->waiters, observer);
        output->synced.wants_bytes |= item != CWS_OUTPUT_LINE;
    }
    cws_waiters_unlock(&output->waiters);
    if (next == CWS_OUTPUT_EMPTY && output->on_taken)
        output->on_taken(output);
    return next;
}
