/* Everything that is kept, at once. */
#include <string.h>

#include "sandbox/output_private.h"

size_t cws_output_size(struct cws_output *output)
{
    cws_waiters_lock(&output->waiters);
    size_t size = output->kept == CWS_OUTPUT_UNREAD ? 0 : output->head_len + output->tail.len;
    cws_waiters_unlock(&output->waiters);
    return size;
}

size_t cws_output_omitted(struct cws_output *output, size_t *out_before)
{
    cws_waiters_lock(&output->waiters);
    bool keeps_none = output->kept == CWS_OUTPUT_UNREAD;
    size_t omitted = output->size - (keeps_none ? 0 : output->head_len + output->tail.len);
    *out_before = keeps_none ? 0 : output->head_len;
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
    assert(len <= output->head_len + output->tail.len);
    size_t head = len < output->head_len ? len : output->head_len;
    struct cws_output_chunk *chunk = atomic_load(&output->first);
    struct cws_output_chunk *last = output->last;
    if (head < len)
        copy_ring(&output->tail, to + head, len - head);
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
    for (struct cws_output_chunk *chunk = atomic_load(&output->first); chunk != place->chunk;
         chunk = cws_output_next_of(chunk))
        position += cws_output_used(chunk);
    return position;
}

/* Moves the bytes of a chunk to where they are wanted and frees it: whole pages by giving them away
 * where both lie alike. */
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
    if (!cws_pages_give(chunk->data - lead, lead + chunk->cap, lead + head, pages, to + head)) {
        memcpy(to + head, chunk->data + head, pages);
        return cws_output_free_chunk(chunk);
    }
    cws_free(chunk);
    return next;
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

void cws_output_move(struct cws_output *output, uint8_t *to)
{
    struct cws_output_chunk *whole = cws_malloc(sizeof(*whole));
    if (!whole) { /* without memory for it this is just a copy */
        cws_output_copy(output, to, output->head_len + output->tail.len);
        return;
    }
    cws_waiters_lock(&output->waiters);
    size_t cursor = position_of(output, &output->cursor);
    size_t before = position_of(output, &output->before);
    size_t scan = position_of(output, &output->scan);
    struct cws_output_chunk *chunk = atomic_load(&output->first);
    size_t moved = 0;
    while (chunk) {
        size_t n = cws_output_used(chunk);
        chunk = move_chunk(chunk, to + moved);
        moved += n;
    }
    move_ring(&output->tail, to + moved);
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
