#include "sandbox/output.h"

#include <string.h>

#include "base/alloc.h"
#include "base/pages.h"

enum {
    FIRST_CHUNK = 1024 - 64, /* most commands print little */
    /* From here on chunks are pages of their own: given back to the system as soon as they are
       freed. */
    PAGES_FROM = 256 * 1024,
    LARGEST_CHUNK = 2 * 1024 * 1024,
};

struct cws_output_chunk {
    struct cws_output_chunk *_Atomic next; /* set once nothing more is put into this one */
    atomic_size_t used;                    /* grows; bytes below it never change */
    size_t cap;
    enum { WITH_CHUNK, OWN_PAGES, FOREIGN } memory; /* where `data` lies */
    uint8_t *data;                                  /* OWN_PAGES: somewhere in the first page */
};

void cws_output_init(struct cws_output *output)
{
    memset(output, 0, sizeof(*output));
    cws_waiters_init(&output->waiters);
}

static size_t used_of(struct cws_output_chunk *chunk)
{
    return atomic_load_explicit(&chunk->used, memory_order_acquire);
}

static struct cws_output_chunk *next_of(struct cws_output_chunk *chunk)
{
    return atomic_load_explicit(&chunk->next, memory_order_acquire);
}

/* Of a chunk with own pages: bytes of its first page that are in front of its data. */
static size_t lead_of(const struct cws_output_chunk *chunk)
{
    return (uintptr_t)chunk->data % CWS_PAGE;
}

static struct cws_output_chunk *free_chunk(struct cws_output_chunk *chunk)
{
    struct cws_output_chunk *next = next_of(chunk);
    if (chunk->memory == OWN_PAGES)
        cws_pages_free(chunk->data - lead_of(chunk), chunk->cap + lead_of(chunk));
    cws_free(chunk);
    return next;
}

void cws_output_done(struct cws_output *output)
{
    struct cws_output_chunk *chunk = atomic_load(&output->first);
    while (chunk)
        chunk = free_chunk(chunk);
    cws_waiters_done(&output->waiters);
}

/* The pages of a chunk for `cap` bytes, and what is in front of them; larger than that for small
 * ones, where huge pages are. */
static size_t size_of_pages(size_t cap)
{
    size_t size = PAGES_FROM;
    while (size < cap && size < LARGEST_CHUNK)
        size *= 2;
    return size < cap ? cws_pages_round(cap) : size;
}

static bool give_pages(struct cws_output_chunk *chunk, size_t size, size_t lead)
{
    uint8_t *pages = cws_pages_new(size);
    if (!pages)
        return false;
    chunk->memory = OWN_PAGES;
    chunk->data = pages + lead;
    chunk->cap = size - lead;
    return true;
}

/* For `len` bytes at least, of which the first has that position in the stream. */
static struct cws_output_chunk *new_chunk(const struct cws_output *output, size_t len,
                                          size_t position)
{
    size_t cap = output->last ? output->last->cap * 2 + 64 : FIRST_CHUNK;
    if (cap > LARGEST_CHUNK)
        cap = LARGEST_CHUNK;
    if (cap < len)
        cap = len;
    bool own_pages = cap >= PAGES_FROM;
    struct cws_output_chunk *chunk = cws_malloc(sizeof(*chunk) + (own_pages ? 0 : cap));
    if (!chunk)
        return NULL;
    atomic_init(&chunk->next, NULL);
    chunk->memory = WITH_CHUNK;
    chunk->cap = cap;
    chunk->data = (uint8_t *)(chunk + 1);
    atomic_init(&chunk->used, 0);
    size_t lead = (position + CWS_OUTPUT_PHASE) % CWS_PAGE;
    if (own_pages && !give_pages(chunk, size_of_pages(len + lead > cap ? len + lead : cap), lead)) {
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
        chunk = new_chunk(output, len - n, output->size + n);
        if (!chunk)
            return CWS_NO_MEMORY;
        fill(chunk, data + n, len - n);
    }
    if (n)
        fill(output->last, data, n);
    cws_waiters_lock(&output->waiters);
    if (chunk) {
        atomic_store_explicit(output->last ? &output->last->next : &output->first, chunk,
                              memory_order_release);
        output->last = chunk;
    }
    output->size += len;
    /* Readers wait for lines: part of one would only make them look at it in vain, again and
     * again. */
    if (!cws_list_is_empty(&output->waiters.observers) && memchr(data, '\n', len))
        cws_waiters_notify_lock_held(&output->waiters);
    cws_waiters_unlock(&output->waiters);
    return CWS_OK;
}

void cws_output_end(struct cws_output *output)
{
    cws_waiters_lock(&output->waiters);
    atomic_store_explicit(&output->ended, true, memory_order_release);
    cws_waiters_notify_lock_held(&output->waiters);
    cws_waiters_unlock(&output->waiters);
}

/* ---- lines ---------------------------------------------------------------------------------- */

/* Moves a place that is at the end of its chunk to the next chunk, if there is one. */
static void step_over(struct cws_output *output, struct cws_output_place *place)
{
    /* The link is looked at first: who has seen it sees all that the chunk will ever hold. */
    struct cws_output_chunk *next = place->chunk ? next_of(place->chunk) : NULL;
    if (!place->chunk) {
        place->chunk = atomic_load_explicit(&output->first, memory_order_acquire);
        place->offset = 0;
    } else if (next && place->offset == used_of(place->chunk)) {
        place->chunk = next;
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
        if (n == 0)
            return false;
        const uint8_t *lf = memchr(from, '\n', n);
        if (lf)
            n = (size_t)(lf - from) + 1;
        scan->offset += n;
        output->line_len += n;
        if (lf)
            return true;
    }
}

/* The line between cursor and scan, which moves the cursor. */
static void take(struct cws_output *output, struct cws_output_line *out_line)
{
    step_over(output, &output->cursor);
    struct cws_output_chunk *chunk = output->cursor.chunk;
    size_t offset = output->cursor.offset;
    size_t n = chunk == output->scan.chunk ? output->line_len : used_of(chunk) - offset;
    *out_line = (struct cws_output_line){chunk->data + offset, n, output->line_len - n, chunk};
    output->before = output->cursor;
    output->cursor = output->scan;
    output->line_len = 0;
}

bool cws_output_next_piece(struct cws_output_line *line)
{
    if (line->rest == 0)
        return false;
    line->chunk = next_of(line->chunk);
    size_t n = used_of(line->chunk);
    line->data = line->chunk->data;
    line->len = n < line->rest ? n : line->rest;
    line->rest -= line->len;
    return true;
}

void cws_output_put_back(struct cws_output *output)
{
    output->cursor = output->scan = output->before;
    output->line_len = 0;
}

static enum cws_output_next take_if_there(struct cws_output *output,
                                          struct cws_output_line *out_line)
{
    if (atomic_load_explicit(&output->closed, memory_order_acquire))
        return CWS_OUTPUT_END;
    /* Asked before the search: what was appended before the end is found by it. */
    bool ended = atomic_load_explicit(&output->ended, memory_order_acquire);
    if (!find_line_end(output)) {
        if (!ended)
            return CWS_OUTPUT_EMPTY;
        if (output->line_len == 0)
            return CWS_OUTPUT_END;
    }
    take(output, out_line);
    return CWS_OUTPUT_LINE;
}

enum cws_output_next cws_output_take_line(struct cws_output *output,
                                          struct cws_output_line *out_line,
                                          struct cws_observer *observer)
{
    /* Without the lock: nearly always the line is there. */
    enum cws_output_next next = take_if_there(output, out_line);
    if (next != CWS_OUTPUT_EMPTY || !observer)
        return next;
    cws_waiters_lock(&output->waiters);
    next = take_if_there(output, out_line);
    if (next == CWS_OUTPUT_EMPTY)
        cws_waiters_add_lock_held(&output->waiters, observer);
    cws_waiters_unlock(&output->waiters);
    return next;
}

void cws_output_close(struct cws_output *output)
{
    cws_waiters_lock(&output->waiters);
    atomic_store_explicit(&output->closed, true, memory_order_release);
    cws_waiters_notify_lock_held(&output->waiters);
    cws_waiters_unlock(&output->waiters);
}

/* ---- everything at once --------------------------------------------------------------------- */

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
    struct cws_output_chunk *chunk = atomic_load(&output->first);
    struct cws_output_chunk *last = output->last;
    cws_waiters_unlock(&output->waiters);
    /* Outside the lock: up to `last` no link changes any more, and the bytes stay where they
     * are. */
    while (len) {
        size_t n = used_of(chunk);
        if (n > len)
            n = len;
        memcpy(to, chunk->data, n);
        to += n;
        len -= n;
        if (chunk == last)
            break;
        chunk = next_of(chunk);
    }
}

/* Bytes of the stream in front of a place. */
static size_t position_of(struct cws_output *output, const struct cws_output_place *place)
{
    size_t position = place->offset;
    if (!place->chunk)
        return 0;
    for (struct cws_output_chunk *chunk = atomic_load(&output->first); chunk != place->chunk;
         chunk = next_of(chunk))
        position += used_of(chunk);
    return position;
}

/* Moves the bytes of a chunk to where they are wanted and frees it: whole pages by giving them away
 * where both lie alike. */
static struct cws_output_chunk *move_chunk(struct cws_output_chunk *chunk, uint8_t *to)
{
    struct cws_output_chunk *next = next_of(chunk);
    size_t lead = lead_of(chunk);
    size_t n = used_of(chunk);
    size_t head = (CWS_PAGE - lead) % CWS_PAGE; /* bytes up to the first whole page */
    size_t pages = head < n ? (n - head) / CWS_PAGE * CWS_PAGE : 0;
    if (chunk->memory != OWN_PAGES || pages == 0 || (uintptr_t)to % CWS_PAGE != lead) {
        memcpy(to, chunk->data, n);
        return free_chunk(chunk);
    }
    memcpy(to, chunk->data, head);
    memcpy(to + head + pages, chunk->data + head + pages, n - head - pages);
    if (!cws_pages_give(chunk->data - lead, lead + chunk->cap, lead + head, pages, to + head)) {
        memcpy(to + head, chunk->data + head, pages);
        return free_chunk(chunk);
    }
    cws_free(chunk);
    return next;
}

void cws_output_move(struct cws_output *output, uint8_t *to)
{
    struct cws_output_chunk *whole = cws_malloc(sizeof(*whole));
    if (!whole) { /* without memory for it this is just a copy */
        cws_output_copy(output, to, output->size);
        return;
    }
    cws_waiters_lock(&output->waiters);
    size_t cursor = position_of(output, &output->cursor);
    size_t before = position_of(output, &output->before);
    size_t scan = position_of(output, &output->scan);
    struct cws_output_chunk *chunk = atomic_load(&output->first);
    size_t moved = 0;
    while (chunk) {
        size_t n = used_of(chunk);
        chunk = move_chunk(chunk, to + moved);
        moved += n;
    }
    atomic_init(&whole->next, NULL);
    whole->cap = moved;
    whole->memory = FOREIGN;
    whole->data = to;
    atomic_init(&whole->used, moved);
    atomic_store(&output->first, whole);
    output->last = whole;
    output->cursor = (struct cws_output_place){whole, cursor};
    output->before = (struct cws_output_place){whole, before};
    output->scan = (struct cws_output_place){whole, scan};
    cws_waiters_unlock(&output->waiters);
}
