/* Everything that is kept, at once. */
#include <string.h>

#include "sandbox/output_private.h"

size_t cws_output_size(struct cws_output *output)
{
    cws_waiters_lock(&output->waiters);
    size_t size =
        output->kept == CWS_OUTPUT_UNREAD ? 0 : output->synced.head_len + output->synced.tail.len;
    cws_waiters_unlock(&output->waiters);
    return size;
}

size_t cws_output_received(struct cws_output *output)
{
    cws_waiters_lock(&output->waiters);
    size_t size = output->synced.size;
    cws_waiters_unlock(&output->waiters);
    return size;
}

size_t cws_output_omitted(struct cws_output *output, size_t *out_before)
{
    cws_waiters_lock(&output->waiters);
    bool keeps_none = output->kept == CWS_OUTPUT_UNREAD;
    size_t omitted =
        output->synced.size - (keeps_none ? 0 : output->synced.head_len + output->synced.tail.len);
    *out_before = keeps_none ? 0 : output->synced.head_len;
    cws_waiters_unlock(&output->waiters);
    return omitted;
}

/* The lock is held, or there is nobody else. */
static void copy_ring(const struct cws_output_tail *tail, uint8_t *to, size_t len)
{
    size_t n = tail->max - tail->start < len ? tail->max - tail->start : len;
    memcpy(to, tail->data + tail->start, n);
    if (n < len)
        memcpy(to + n, tail->data, len - n);
}

/* From the first chunk up to `last`. */
static void copy_chunks(struct cws_output_chunk *chunk, const struct cws_output_chunk *last,
                        uint8_t *to, size_t len)
{
    while (len) {
        size_t n = cws_output_used(chunk);
        if (n > len)
            n = len;
        memcpy(to, chunk->data, n);
        to += n;
        len -= n;
        if (chunk == last)
            break;
        chunk = cws_output_next_of(chunk);
    }
}

void cws_output_copy(struct cws_output *output, uint8_t *to, size_t len)
{
    cws_waiters_lock(&output->waiters);
    assert(len <= output->synced.head_len + output->synced.tail.len);
    size_t head = len < output->synced.head_len ? len : output->synced.head_len;
    struct cws_output_chunk *chunk = atomic_load(&output->shared.first);
    struct cws_output_chunk *last = output->synced.last;
    if (head < len)
        copy_ring(&output->synced.tail, to + head, len - head);
    cws_waiters_unlock(&output->waiters);
    /* Outside the lock: up to `last` no link changes any more, and the bytes stay where they
     * are. */
    copy_chunks(chunk, last, to, head);
}

/* Bytes of the stream in front of a place. */
static size_t position_of(struct cws_output *output, const struct cws_output_place *place)
{
    size_t position = place->offset;
    if (!place->chunk)
        return 0;
    for (struct cws_output_chunk *chunk = atomic_load(&output->shared.first); chunk != place->chunk;
         chunk = cws_output_next_of(chunk))
        position += cws_output_used(chunk);
    return position;
}

/* Moves the bytes of a chunk to where they are wanted and frees it: whole pages by giving them away
 * where both lie alike. The next one, or the same if what it is wanted in was lost. */
static struct cws_output_chunk *move_chunk(struct cws_output_chunk *chunk, uint8_t *to)
{
    struct cws_output_chunk *next = cws_output_next_of(chunk);
    size_t lead = cws_output_lead(chunk);
    size_t n = cws_output_used(chunk);
    size_t head = (CWS_PAGE - lead) % CWS_PAGE; /* bytes up to the first whole page */
    size_t pages = head < n ? (n - head) / CWS_PAGE * CWS_PAGE : 0;
    if (chunk->memory != OWN_PAGES || pages == 0 || (uintptr_t)to % CWS_PAGE != lead) {
        memcpy(to, chunk->data, n);
        return cws_output_free_chunk(chunk);
    }
    memcpy(to, chunk->data, head);
    memcpy(to + head + pages, chunk->data + head + pages, n - head - pages);
    switch (cws_pages_give(chunk->data - lead, lead + chunk->cap, lead + head, pages, to + head)) {
    case CWS_PAGES_GIVEN:
        cws_free(chunk);
        return next;
    case CWS_PAGES_KEPT:
        memcpy(to + head, chunk->data + head, pages);
        return cws_output_free_chunk(chunk);
    case CWS_PAGES_LOST:
        break;
    }
    return chunk;
}

static void move_ring(struct cws_output_tail *tail, uint8_t *to)
{
    if (tail->len == 0)
        return;
    copy_ring(tail, to, tail->len);
    cws_free(tail->data);
    *tail = (struct cws_output_tail){
        .max = tail->len, .data = to, .len = tail->len, .is_foreign = true};
}

/* From the beginning up to the chunk that could not be moved (NULL: none); how much that was. */
static size_t move_chunks(struct cws_output *output, uint8_t *to,
                          struct cws_output_chunk **out_left)
{
    struct cws_output_chunk *chunk = atomic_load(&output->shared.first);
    size_t moved = 0;
    while (chunk) {
        size_t n = cws_output_used(chunk);
        struct cws_output_chunk *next = move_chunk(chunk, to + moved);
        if (next == chunk)
            break;
        chunk = next;
        moved += n;
    }
    *out_left = chunk;
    return moved;
}

enum cws_status cws_output_move(struct cws_output *output, uint8_t *to)
{
    struct cws_output_chunk *left, *whole = cws_malloc(sizeof(*whole));
    if (!whole) { /* without memory for it this is just a copy */
        cws_output_copy(output, to, output->synced.head_len + output->synced.tail.len);
        return CWS_OK;
    }
    struct cws_output_place *places[] = {&output->reader_only.cursor, &output->reader_only.before,
                                         &output->reader_only.scan};
    size_t positions[CWS_ARRAY_LEN(places)];
    cws_waiters_lock(&output->waiters);
    for (size_t i = 0; i < CWS_ARRAY_LEN(places); i++)
        positions[i] = position_of(output, places[i]);
    size_t moved = move_chunks(output, to, &left);
    if (left && moved == 0) {
        cws_waiters_unlock(&output->waiters);
        cws_free(whole);
        return CWS_NO_MEMORY;
    }
    if (!left)
        move_ring(&output->synced.tail, to + moved);
    atomic_init(&whole->next, left);
    whole->cap = moved;
    whole->memory = FOREIGN;
    whole->data = to;
    whole->begins_line = false;
    atomic_init(&whole->used, moved);
    atomic_store(&output->shared.first, whole);
    if (!left)
        output->synced.last = whole;
    for (size_t i = 0; i < CWS_ARRAY_LEN(places); i++)
        if (positions[i] <= moved) /* else it is in what is left */
            *places[i] = (struct cws_output_place){whole, positions[i]};
    cws_waiters_unlock(&output->waiters);
    return left ? CWS_NO_MEMORY : CWS_OK;
}
