#include "sandbox/output.h"

#include <string.h>

#include "sandbox/output_private.h"

enum {
    FIRST_CHUNK = 1024 - 64, /* most commands print little */
    /* From here on chunks are pages of their own: given back to the system as soon as they are
       freed. */
    PAGES_FROM = 256 * 1024,
    LARGEST_CHUNK = 2 * 1024 * 1024,
    /* For unread bytes: a chunk is kept as long as one of its bytes is unread. */
    LARGEST_UNREAD = 64 * 1024,
};

void cws_output_init(struct cws_output *output)
{
    memset(output, 0, sizeof(*output));
    cws_waiters_init(&output->waiters);
    output->synced.head_max = SIZE_MAX;
}

void cws_output_keep_unread(struct cws_output *output, void (*on_taken)(struct cws_output *))
{
    output->kept = CWS_OUTPUT_UNREAD;
    output->on_taken = on_taken;
    output->line_max = CWS_OUTPUT_LINE_MAX;
}

void cws_output_set_line_max(struct cws_output *output, size_t max)
{
    output->line_max = max;
}

void cws_output_keep_ends(struct cws_output *output, size_t max)
{
    output->kept = CWS_OUTPUT_ENDS;
    output->synced.head_max = max - max / 2;
    output->synced.tail.max = max / 2;
}

/* Frees what is kept. The lock is held, or there is nobody else. */
static void free_all(struct cws_output *output)
{
    struct cws_output_chunk *chunk = atomic_load(&output->shared.first);
    while (chunk)
        chunk = cws_output_free_chunk(chunk);
    atomic_store(&output->shared.first, NULL);
    output->synced.last = NULL;
    output->synced.head_len = 0;
    if (!output->synced.tail.is_foreign)
        cws_free(output->synced.tail.data);
    output->synced.tail.data = NULL;
    output->synced.tail.len = 0;
    output->reader_only.cursor = output->reader_only.before = output->reader_only.scan =
        (struct cws_output_place){0};
    output->reader_only.line_len = 0;
}

void cws_output_done(struct cws_output *output)
{
    free_all(output);
    cws_free(output->reader_only.copy);
    cws_waiters_done(&output->waiters);
}

/* ---- chunks --------------------------------------------------------------------------------- */

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

/* A chunk for at least `len` bytes, the first of which has that position in the stream. */
static struct cws_output_chunk *new_chunk(const struct cws_output *output, size_t len,
                                          size_t position)
{
    size_t largest = output->kept == CWS_OUTPUT_UNREAD ? LARGEST_UNREAD : LARGEST_CHUNK;
    size_t cap = output->synced.last ? output->synced.last->cap * 2 + 64 : FIRST_CHUNK;
    if (cap > largest)
        cap = largest;
    if (cap > output->synced.head_max - position)
        cap = output->synced.head_max - position;
    if (cap < len)
        cap = len;
    bool own_pages = cap >= PAGES_FROM;
    struct cws_output_chunk *chunk = cws_malloc(sizeof(*chunk) + (own_pages ? 0 : cap));
    if (!chunk)
        return NULL;
    atomic_init(&chunk->next, NULL);
    chunk->memory = WITH_CHUNK;
    chunk->begins_line = false;
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

/* ---- the tail ------------------------------------------------------------------------------- */

static bool has_ring(struct cws_output_tail *tail)
{
    if (!tail->data && tail->max)
        tail->data = cws_malloc(tail->max);
    return tail->data || !tail->max;
}

/* The lock is held. */
static void put_into_ring(struct cws_output_tail *tail, const uint8_t *data, size_t len)
{
    if (len > tail->max) {
        data += len - tail->max;
        len = tail->max;
    }
    if (len == 0)
        return;
    size_t over = tail->len + len > tail->max ? tail->len + len - tail->max : 0;
    tail->start = (tail->start + over) % tail->max;
    tail->len -= over;
    size_t at = (tail->start + tail->len) % tail->max;
    size_t n = tail->max - at < len ? tail->max - at : len;
    memcpy(tail->data + at, data, n);
    if (n < len)
        memcpy(tail->data, data + n, len - n);
    tail->len += len;
}

/* ---- what comes ----------------------------------------------------------------------------- */

/* Readers of lines wait for LF. Waking them for a part of a line would only make them search it in
 * vain, again and again. The lock is held. */
static bool is_wanted(struct cws_output *output, const uint8_t *data, size_t len)
{
    if (cws_list_is_empty(&output->waiters.observers))
        return false;
    return output->synced.wants_bytes || memchr(data, '\n', len) ||
           (output->kept == CWS_OUTPUT_UNREAD &&
            output->synced.size - atomic_load(&output->shared.taken) >= output->line_max);
}

enum cws_status cws_output_append(struct cws_output *output, const uint8_t *data, size_t len)
{
    if (len == 0)
        return CWS_OK;
    struct cws_output_chunk *chunk = NULL;
    size_t room =
        output->synced.last ? output->synced.last->cap - cws_output_used(output->synced.last) : 0;
    if (output->synced.line_is_broken)
        room = 0;
    size_t head = output->synced.head_max - output->synced.head_len;
    if (head > len)
        head = len;
    size_t n = head < room ? head : room;
    if (head < len && !has_ring(&output->synced.tail))
        return CWS_NO_MEMORY;
    if (n < head) { /* before anything is stored: all of it is appended or nothing */
        chunk = new_chunk(output, head - n, output->synced.size + n);
        if (!chunk)
            return CWS_NO_MEMORY;
        chunk->begins_line = output->synced.line_is_broken;
        output->synced.line_is_broken = false;
        fill(chunk, data + n, head - n);
    }
    if (n)
        fill(output->synced.last, data, n);
    cws_waiters_lock(&output->waiters);
    if (chunk) {
        atomic_store_explicit(output->synced.last ? &output->synced.last->next
                                                  : &output->shared.first,
                              chunk, memory_order_release);
        output->synced.last = chunk;
    }
    output->synced.head_len += head;
    output->synced.size += len;
    if (head < len)
        put_into_ring(&output->synced.tail, data + head, len - head);
    if (is_wanted(output, data, len)) {
        output->synced.wants_bytes = false;
        cws_waiters_notify_lock_held(&output->waiters);
    }
    cws_waiters_unlock(&output->waiters);
    return CWS_OK;
}

void cws_output_end(struct cws_output *output)
{
    cws_waiters_lock(&output->waiters);
    atomic_store_explicit(&output->shared.ended, true, memory_order_release);
    cws_waiters_notify_lock_held(&output->waiters);
    cws_waiters_unlock(&output->waiters);
}

void cws_output_break_line(struct cws_output *output)
{
    assert(output->kept == CWS_OUTPUT_UNREAD);
    output->synced.line_is_broken = true;
}

/* ---- what is let go ------------------------------------------------------------------------- */

void cws_output_limit(struct cws_output *output, size_t max)
{
    assert(output->kept == CWS_OUTPUT_ALL && atomic_load(&output->shared.closed));
    cws_waiters_lock(&output->waiters);
    output->synced.head_max = max - max / 2;
    if (output->synced.head_max < output->synced.head_len)
        output->synced.head_max = output->synced.head_len;
    output->synced.tail.max = max / 2;
    cws_waiters_unlock(&output->waiters);
}

void cws_output_discard(struct cws_output *output)
{
    cws_waiters_lock(&output->waiters);
    free_all(output);
    output->synced.discards = true;
    output->synced.head_max = 0;
    output->synced.tail.max = 0;
    cws_waiters_unlock(&output->waiters);
}

/* Where the newest bytes begin, of which no more than `max` are unread, in whole chunks; `skipped`:
 * the unread ones before. The lock is held. */
static struct cws_output_chunk *newest(struct cws_output *output, size_t max, size_t *out_skipped)
{
    struct cws_output_chunk *chunk = atomic_load(&output->shared.first);
    const struct cws_output_place *cursor = &output->reader_only.cursor;
    size_t unread = output->synced.size - atomic_load(&output->shared.taken);
    bool is_taken = cursor->chunk != NULL; /* those in front of the cursor's are */
    *out_skipped = 0;
    while (chunk != output->synced.last && unread - *out_skipped > max) {
        size_t n = cws_output_used(chunk);
        if (chunk == cursor->chunk) {
            n -= cursor->offset;
            is_taken = false;
        }
        *out_skipped += is_taken ? 0 : n;
        chunk = cws_output_next_of(chunk);
    }
    return chunk;
}

/* The lock is held. */
static void drop_oldest(struct cws_output *output, size_t max)
{
    size_t skipped;
    struct cws_output_chunk *start = newest(output, max, &skipped);
    if (skipped == 0)
        return;
    for (struct cws_output_chunk *chunk = atomic_load(&output->shared.first); chunk != start;)
        chunk = cws_output_free_chunk(chunk);
    atomic_store(&output->shared.first, start);
    output->reader_only.cursor = output->reader_only.before = output->reader_only.scan =
        (struct cws_output_place){start, 0};
    output->reader_only.line_len = 0;
    output->synced.untold += skipped;
    atomic_fetch_add(&output->shared.taken, skipped);
}

bool cws_output_let_go(struct cws_output *output, size_t max)
{
    cws_waiters_lock(&output->waiters);
    bool free_to_go = !output->synced.has_reader;
    if (free_to_go)
        drop_oldest(output, max);
    cws_waiters_unlock(&output->waiters);
    return free_to_go;
}

bool cws_output_is_waited_for(struct cws_output *output)
{
    cws_waiters_lock(&output->waiters);
    bool is_waited_for = !cws_list_is_empty(&output->waiters.observers);
    cws_waiters_unlock(&output->waiters);
    return is_waited_for;
}

size_t cws_output_held(struct cws_output *output)
{
    cws_waiters_lock(&output->waiters);
    bool reader_waits = !cws_list_is_empty(&output->waiters.observers);
    size_t unread = output->synced.size - atomic_load(&output->shared.taken);
    if (output->synced.discards || reader_waits)
        unread = 0;
    cws_waiters_unlock(&output->waiters);
    return unread;
}

void cws_output_close(struct cws_output *output)
{
    cws_waiters_lock(&output->waiters);
    atomic_store_explicit(&output->shared.closed, true, memory_order_release);
    cws_waiters_notify_lock_held(&output->waiters);
    cws_waiters_unlock(&output->waiters);
}

static void set_reader(struct cws_output *output, bool has_reader)
{
    if (output->kept != CWS_OUTPUT_UNREAD)
        return;
    cws_waiters_lock(&output->waiters);
    output->synced.has_reader = has_reader;
    cws_waiters_unlock(&output->waiters);
}

void cws_output_attach(struct cws_output *output)
{
    set_reader(output, true);
}

void cws_output_detach(struct cws_output *output)
{
    set_reader(output, false);
    if (output->on_taken)
        output->on_taken(output);
}
