#include "sandbox/output.h"

#include <string.h>

#include "base/alloc.h"
#include "base/pages.h"

enum {
    FIRST_CHUNK = 1024 - 64, /* most commands print little */
    /* From here on chunks are pages of their own: given back to the system as soon as they are freed. */
    PAGES_FROM = 256 * 1024,
    LARGEST_CHUNK = 2 * 1024 * 1024,
};

struct cws_output_chunk {
    struct cws_output_chunk *next; /* set under the lock */
    atomic_size_t used;            /* grows; bytes below it never change */
    size_t cap;
    enum { WITH_CHUNK, OWN_PAGES, FOREIGN } memory; /* where `data` lies */
    uint8_t *data;
};

void cws_output_init(struct cws_output *output)
{
    memset(output, 0, sizeof(*output));
    cws_waiters_init(&output->waiters);
}

static struct cws_output_chunk *free_chunk(struct cws_output_chunk *chunk)
{
    struct cws_output_chunk *next = chunk->next;
    if (chunk->memory == OWN_PAGES)
        cws_pages_free(chunk->data, chunk->cap);
    cws_free(chunk);
    return next;
}

void cws_output_done(struct cws_output *output)
{
    struct cws_output_chunk *chunk = output->first;
    while (chunk)
        chunk = free_chunk(chunk);
    cws_waiters_done(&output->waiters);
}

static size_t used_of(struct cws_output_chunk *chunk)
{
    return atomic_load_explicit(&chunk->used, memory_order_acquire);
}

static struct cws_output_chunk *new_chunk(const struct cws_output *output, size_t len)
{
    size_t cap = output->last ? output->last->cap * 2 + 64 : FIRST_CHUNK;
    if (cap > LARGEST_CHUNK)
        cap = LARGEST_CHUNK;
    if (cap < len)
        cap = len;
    bool own_pages = cap >= PAGES_FROM;
    if (own_pages)
        cap = cws_pages_round(cap);
    struct cws_output_chunk *chunk = cws_malloc(sizeof(*chunk) + (own_pages ? 0 : cap));
    if (!chunk)
        return NULL;
    chunk->next = NULL;
    chunk->cap = cap;
    atomic_init(&chunk->used, 0);
    chunk->memory = own_pages ? OWN_PAGES : WITH_CHUNK;
    chunk->data = own_pages ? cws_pages_new(cap) : (uint8_t *)(chunk + 1);
    if (!chunk->data) {
        cws_free(chunk);
        return NULL;
    }
    return chunk;
}

/* Only this thread writes to a chunk, above what readers look at. */
static void fill(struct cws_output_chunk *chunk, const uint8_t *data, size_t len)
{
    size_t used = atomic_load_explicit(&chunk->used, memory_order_relaxed);
    memcpy(chunk->data + used, data, len);
    atomic_store_explicit(&chunk->used, used + len, memory_order_release);
}

enum cws_status cws_output_append(struct cws_output *output, const uint8_t *data, size_t len)
{
    if (len == 0)
        return CWS_OK;
    struct cws_output_chunk *chunk = NULL;
    size_t room = output->last ? output->last->cap - used_of(output->last) : 0;
    size_t n = len < room ? len : room;
    if (n < len) { /* before anything is stored: all of it is appended or nothing */
        chunk = new_chunk(output, len - n);
        if (!chunk)
            return CWS_NO_MEMORY;
        fill(chunk, data + n, len - n);
    }
    if (n)
        fill(output->last, data, n);
    cws_waiters_lock(&output->waiters);
    if (chunk) {
        *(output->last ? &output->last->next : &output->first) = chunk;
        output->last = chunk;
    }
    output->size += len;
    cws_waiters_notify_lock_held(&output->waiters);
    cws_waiters_unlock(&output->waiters);
    return CWS_OK;
}

void cws_output_end(struct cws_output *output)
{
    cws_waiters_lock(&output->waiters);
    output->ended = true;
    cws_waiters_notify_lock_held(&output->waiters);
    cws_waiters_unlock(&output->waiters);
}

/* ---- lines ---------------------------------------------------------------------------------------------- */

/* Moves a place that is at the end of its chunk to the next chunk, if there is one. */
static void step_over(const struct cws_output *output, struct cws_output_place *place)
{
    if (!place->chunk) {
        place->chunk = output->first;
        place->offset = 0;
    } else if (place->offset == used_of(place->chunk) && place->chunk->next) {
        place->chunk = place->chunk->next;
        place->offset = 0;
    }
}

/* Moves `scan` behind the next LF; false when there is none yet. */
static bool find_line_end(struct cws_output *output)
{
    struct cws_output_place *scan = &output->scan;
    for (;;) {
        step_over(output, scan);
        if (!scan->chunk)
            return false;
        const uint8_t *from = scan->chunk->data + scan->offset;
        size_t n = used_of(scan->chunk) - scan->offset;
        const uint8_t *lf = memchr(from, '\n', n);
        if (lf)
            n = (size_t)(lf - from) + 1;
        scan->offset += n;
        output->line_len += n;
        if (lf)
            return true;
        if (!scan->chunk->next)
            return false;
    }
}

static void gather(const struct cws_output *output, uint8_t *to)
{
    struct cws_output_place at = output->cursor;
    size_t left = output->line_len;
    while (left) {
        step_over(output, &at);
        size_t n = used_of(at.chunk) - at.offset;
        if (n > left)
            n = left;
        memcpy(to, at.chunk->data + at.offset, n);
        at.offset += n;
        to += n;
        left -= n;
    }
}

/* The line between cursor and scan, which moves the cursor. */
static enum cws_output_next take(struct cws_output *output, struct cws_output_line *out_line)
{
    step_over(output, &output->cursor);
    out_line->len = output->line_len;
    out_line->owned = NULL;
    if (output->cursor.chunk == output->scan.chunk) {
        out_line->data = output->cursor.chunk->data + output->cursor.offset;
    } else {
        out_line->owned = cws_malloc(output->line_len);
        if (!out_line->owned)
            return CWS_OUTPUT_NO_MEMORY;
        gather(output, out_line->owned);
        out_line->data = out_line->owned;
    }
    output->before = output->cursor;
    output->cursor = output->scan;
    output->line_len = 0;
    return CWS_OUTPUT_LINE;
}

void cws_output_put_back(struct cws_output *output, struct cws_output_line *line)
{
    cws_waiters_lock(&output->waiters);
    cws_free(line->owned);
    line->owned = NULL;
    output->cursor = output->before;
    output->line_len = line->len; /* `scan` still stands behind it */
    cws_waiters_unlock(&output->waiters);
}

static enum cws_output_next take_lock_held(struct cws_output *output, struct cws_output_line *out_line)
{
    if (output->closed)
        return CWS_OUTPUT_END;
    if (output->line_len && output->scan.chunk && output->scan.offset > 0 &&
        output->scan.chunk->data[output->scan.offset - 1] == '\n')
        return take(output, out_line); /* found before, but there was no memory, or it was put back */
    if (find_line_end(output))
        return take(output, out_line);
    if (!output->ended)
        return CWS_OUTPUT_EMPTY;
    return output->line_len ? take(output, out_line) : CWS_OUTPUT_END;
}

enum cws_output_next cws_output_take_line(struct cws_output *output, struct cws_output_line *out_line,
                                          struct cws_observer *observer)
{
    cws_waiters_lock(&output->waiters);
    enum cws_output_next next = take_lock_held(output, out_line);
    if (next == CWS_OUTPUT_EMPTY && observer)
        cws_waiters_add_lock_held(&output->waiters, observer);
    cws_waiters_unlock(&output->waiters);
    return next;
}

void cws_output_close(struct cws_output *output)
{
    cws_waiters_lock(&output->waiters);
    output->closed = true;
    cws_waiters_notify_lock_held(&output->waiters);
    cws_waiters_unlock(&output->waiters);
}

/* ---- everything at once ------------------------------------------------------------------------------------ */

size_t cws_output_size(struct cws_output *output)
{
    cws_waiters_lock(&output->waiters);
    size_t size = output->size;
    cws_waiters_unlock(&output->waiters);
    return size;
}

void cws_output_copy(struct cws_output *output, uint8_t *to, size_t len)
{
    cws_waiters_lock(&output->waiters);
    assert(len <= output->size);
    struct cws_output_chunk *chunk = output->first;
    struct cws_output_chunk *last = output->last;
    cws_waiters_unlock(&output->waiters);
    /* Outside the lock: up to `last` no link changes any more, and the bytes stay where they are. */
    while (len) {
        size_t n = used_of(chunk);
        if (n > len)
            n = len;
        memcpy(to, chunk->data, n);
        to += n;
        len -= n;
        if (chunk == last)
            break;
        chunk = chunk->next;
    }
}

/* Bytes of the stream in front of a place. */
static size_t position_of(const struct cws_output *output, const struct cws_output_place *place)
{
    size_t position = place->offset;
    if (!place->chunk)
        return 0;
    for (struct cws_output_chunk *chunk = output->first; chunk != place->chunk; chunk = chunk->next)
        position += used_of(chunk);
    return position;
}

void cws_output_move(struct cws_output *output, uint8_t *to)
{
    cws_waiters_lock(&output->waiters);
    size_t cursor = position_of(output, &output->cursor);
    size_t before = position_of(output, &output->before);
    size_t scan = position_of(output, &output->scan);
    struct cws_output_chunk *whole = cws_malloc(sizeof(*whole));
    struct cws_output_chunk *chunk = output->first;
    size_t moved = 0;
    while (chunk) {
        size_t n = used_of(chunk);
        memcpy(to + moved, chunk->data, n);
        moved += n;
        chunk = whole ? free_chunk(chunk) : chunk->next;
    }
    if (whole) { /* without memory for it this was just a copy */
        whole->next = NULL;
        whole->cap = moved;
        whole->memory = FOREIGN;
        whole->data = to;
        atomic_init(&whole->used, moved);
        output->first = output->last = whole;
        output->cursor = (struct cws_output_place){whole, cursor};
        output->before = (struct cws_output_place){whole, before};
        output->scan = (struct cws_output_place){whole, scan};
    }
    cws_waiters_unlock(&output->waiters);
}
