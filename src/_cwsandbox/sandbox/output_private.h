/* Shared by output*.c: the memory that an output's bytes lie in. */
#pragma once

#include "base/alloc.h"
#include "base/pages.h"
#include "sandbox/output.h"

struct cws_output_chunk {
    struct cws_output_chunk *_Atomic next; /* set once nothing more is appended to this one */
    atomic_size_t used;                    /* grows; bytes below it never change */
    size_t cap;
    bool begins_line; /* its first byte does not continue the line before it */
    enum { WITH_CHUNK, OWN_PAGES, FOREIGN } memory; /* where `data` lies */
    uint8_t *data;                                  /* OWN_PAGES: somewhere in the first page */
};

static inline size_t cws_output_used(struct cws_output_chunk *chunk)
{
    return atomic_load_explicit(&chunk->used, memory_order_acquire);
}

static inline struct cws_output_chunk *cws_output_next_of(struct cws_output_chunk *chunk)
{
    return atomic_load_explicit(&chunk->next, memory_order_acquire);
}

/* For a chunk with OWN_PAGES: how many bytes of its first page precede its data. */
static inline size_t cws_output_lead(const struct cws_output_chunk *chunk)
{
    return (uintptr_t)chunk->data % CWS_PAGE;
}

/* Frees the chunk and returns the next one. */
static inline struct cws_output_chunk *cws_output_free_chunk(struct cws_output_chunk *chunk)
{
    struct cws_output_chunk *next = cws_output_next_of(chunk);
    size_t lead = cws_output_lead(chunk);
    if (chunk->memory == OWN_PAGES)
        cws_pages_free(chunk->data - lead, chunk->cap + lead);
    cws_free(chunk);
    return next;
}

/* The position in the stream of the tail's first byte. The lock is held. */
static inline size_t cws_output_tail_at(const struct cws_output *output)
{
    return output->synced.size - output->synced.tail.len;
}

/* output_ends.c: cws_output_take of CWS_OUTPUT_ENDS. */
enum cws_output_next cws_output_take_of_ends(struct cws_output *output, enum cws_output_item item,
                                             struct cws_output_line *out_line,
                                             struct cws_observer *observer);

/* How many bytes at the end begin a UTF-8 character without finishing it: 0 to 3. `last` is the
 * last `len` bytes; four are enough. */
size_t cws_output_unfinished(const uint8_t *last, size_t len);
