/* The parts of the ring: what its files share. */
#pragma once

#include "store/ring.h"

#define CWSD_RING_MAGIC 0x0a31676f6c737763ull /* "cwslog1\n" in memory */

/* What the file begins with. */
struct cwsd_ring_head {
    uint64_t magic;
    uint64_t key;
    uint64_t capacity;
    uint64_t at; /* this and the next three: the base */
    uint64_t offset;
    uint64_t lines;
    uint64_t line_start;
    uint64_t check; /* of all the fields above */
};
static_assert(sizeof(struct cwsd_ring_head) == CWSD_RING_HEAD, "the head has its place");

uint32_t cwsd_ring_head_check(const struct cwsd_ring_head *head);
/* Of the record's data with what fills it up; in the records of kept rings. */
uint32_t cwsd_ring_data_check(const struct cwsd_ring *ring, const struct cwsd_ring_record *record);
/* Of the fields in front of the two check values, and of the data. */
uint32_t cwsd_ring_record_check(const struct cwsd_ring *ring,
                                const struct cwsd_ring_record *record);
/* Its fields are those of a record of this ring; its data may not be. */
bool cwsd_ring_is_record(const struct cwsd_ring *ring, const struct cwsd_ring_record *record);

/* Takes the descriptor into use; the file is opened, and made for a writer, if it is not open. 0 or
 * an errno. */
int cwsd_ring_take_fd(struct cwsd_ring *ring, bool writes, int *out_fd);
void cwsd_ring_give_back_fd(struct cwsd_ring *ring);
/* Writes or reads so many bytes of the ring; `at` counts from its base. 0 or an errno. */
int cwsd_ring_move(int fd, bool writes, uint64_t capacity, uint64_t at, uint8_t *bytes, size_t len);

/* The place behind these bytes of output. */
struct cwsd_ring_place cwsd_ring_advance(struct cwsd_ring_place place, const uint8_t *data,
                                         size_t len);
/* At the end, if the last mark is far enough from it. With the lock held. */
void cwsd_ring_add_mark(struct cwsd_ring *ring, uint64_t time_us);
