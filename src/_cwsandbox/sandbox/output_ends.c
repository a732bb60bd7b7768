/*
 * Reading where only the first and the last bytes are kept. The loop thread overwrites the tail, so
 * that items are looked for and copied under the lock. Places are counted from the stream's start.
 */
#include <string.h>

#include "sandbox/output_private.h"

struct span {
    const uint8_t *data;
    size_t len;
};

/* The contiguous bytes from this place on. There is at least one. */
static struct span span_at(struct cws_output *output, size_t at)
{
    if (at < output->synced.head_len) {
        struct cws_output_chunk *chunk = atomic_load(&output->shared.first);
        size_t used;
        while (at >= (used = cws_output_used(chunk))) {
            at -= used;
            chunk = cws_output_next_of(chunk);
        }
        return (struct span){chunk->data + at, used - at};
    }
    const struct cws_output_tail *tail = &output->synced.tail;
    size_t offset = at - cws_output_tail_at(output);
    size_t from = (tail->start + offset) % tail->max;
    size_t left = tail->len - offset;
    return (struct span){tail->data + from, left < tail->max - from ? left : tail->max - from};
}

/* The place after the first LF before `end`, or `end` if there is none; *out_found says which. */
static size_t line_end(struct cws_output *output, size_t end, bool *out_found)
{
    size_t at = output->reader_only.scan_at < output->reader_only.read_at
                    ? output->reader_only.read_at
                    : output->reader_only.scan_at;
    while (at < end) {
        struct span span = span_at(output, at);
        size_t n = span.len < end - at ? span.len : end - at;
        const uint8_t *lf = memchr(span.data, '\n', n);
        if (lf) {
            *out_found = true;
            return at + (size_t)(lf - span.data) + 1;
        }
        at += n;
    }
    *out_found = false;
    return end;
}

/* `is_whole`: nothing is added to what ends at `end`. */
static size_t arrived_end(struct cws_output *output, enum cws_output_item item, size_t end,
                          bool is_whole)
{
    size_t at = output->reader_only.read_at;
    if (end - at > CWS_OUTPUT_TEXT_MAX) {
        end = at + CWS_OUTPUT_TEXT_MAX;
        is_whole = false;
    }
    if (is_whole || item == CWS_OUTPUT_BYTES)
        return end;
    uint8_t last[4];
    size_t len = end - at < 4 ? end - at : 4;
    for (size_t i = 0; i < len; i++)
        last[i] = *span_at(output, end - len + i).data;
    return end - cws_output_unfinished(last, len);
}

/* From read_at up to `end`. */
static bool copy_out(struct cws_output *output, size_t end, struct cws_output_line *out_line)
{
    size_t len = end - output->reader_only.read_at;
    if (len > output->reader_only.copy_cap || output->reader_only.copy_cap > CWS_OUTPUT_TEXT_MAX) {
        cws_free(output->reader_only.copy);
        output->reader_only.copy = cws_malloc(len);
        output->reader_only.copy_cap = output->reader_only.copy ? len : 0;
        if (!output->reader_only.copy)
            return false;
    }
    uint8_t *to = output->reader_only.copy;
    *out_line = (struct cws_output_line){.data = to, .len = len};
    for (size_t at = output->reader_only.read_at; at < end;) {
        struct span span = span_at(output, at);
        size_t n = span.len < end - at ? span.len : end - at;
        memcpy(to, span.data, n);
        to += n;
        at += n;
    }
    return true;
}

static enum cws_output_next take_locked(struct cws_output *output, enum cws_output_item item,
                                        struct cws_output_line *out_line)
{
    if (atomic_load(&output->shared.closed))
        return CWS_OUTPUT_END;
    size_t tail_at = cws_output_tail_at(output);
    if (output->reader_only.read_at >= output->synced.head_len &&
        output->reader_only.read_at < tail_at) {
        *out_line = (struct cws_output_line){.len = tail_at - output->reader_only.read_at};
        output->reader_only.read_at = tail_at;
        return CWS_OUTPUT_GAP;
    }
    /* What is there from the cursor on without a gap; `is_whole`: and what nothing is added to. */
    bool has_gap =
        output->reader_only.read_at < output->synced.head_len && output->synced.head_len < tail_at;
    bool is_whole = has_gap || atomic_load(&output->shared.ended);
    size_t end = has_gap ? output->synced.head_len : output->synced.size;
    bool found = false;
    size_t stop = item == CWS_OUTPUT_LINE ? line_end(output, end, &found)
                                          : arrived_end(output, item, end, is_whole);
    output->reader_only.scan_at = item == CWS_OUTPUT_LINE && !found ? end : 0;
    if (stop == output->reader_only.read_at || (item == CWS_OUTPUT_LINE && !found && !is_whole))
        return is_whole ? CWS_OUTPUT_END : CWS_OUTPUT_EMPTY;
    if (!copy_out(output, stop, out_line))
        return CWS_OUTPUT_NO_MEMORY;
    output->reader_only.read_before = output->reader_only.read_at;
    output->reader_only.read_at = stop;
    return CWS_OUTPUT_TAKEN;
}

enum cws_output_next cws_output_take_of_ends(struct cws_output *output, enum cws_output_item item,
                                             struct cws_output_line *out_line,
                                             struct cws_observer *observer)
{
    cws_waiters_lock(&output->waiters);
    enum cws_output_next next = take_locked(output, item, out_line);
    if (next == CWS_OUTPUT_EMPTY && observer) {
        cws_waiters_add_lock_held(&output->waiters, observer);
        output->synced.wants_bytes |= item != CWS_OUTPUT_LINE;
    }
    cws_waiters_unlock(&output->waiters);
    return next;
}
