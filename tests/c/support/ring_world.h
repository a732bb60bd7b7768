/* A ring on disk, and a plain account of all that was put into it. */
#pragma once

#include "support/daemon_help.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "store/ring.h"

#define OUTPUT_MAX (4u << 20)

struct ring_world {
    size_t live;
    char path[64];
    struct cwsd_ring ring;
    uint8_t *output; /* all that was appended or lost */
    size_t len;
    uint64_t now_us;
    unsigned seed;
};

static inline int ring_set_up(void **state)
{
    struct ring_world *w = test_calloc(1, sizeof(*w));
    w->live = cws_alloc_live();
    snprintf(w->path, sizeof(w->path), "/tmp/cws-ring-%d", (int)getpid());
    unlink(w->path);
    w->output = test_malloc(OUTPUT_MAX);
    w->now_us = 1000;
    w->seed = 7;
    signal(SIGXFSZ, SIG_IGN);
    *state = w;
    return 0;
}

static inline int ring_tear_down(void **state)
{
    struct ring_world *w = *state;
    cwsd_ring_done(&w->ring);
    bool clean = w->live == cws_alloc_live() && access(w->path, F_OK) < 0;
    test_free(w->output);
    test_free(w);
    return clean ? 0 : -1;
}

static inline void open_ring(struct ring_world *w, uint64_t capacity)
{
    assert_int_equal(cwsd_ring_init(&w->ring, w->path, capacity), CWS_OK);
}

/* The n-th byte of all output, with a line's end here and there. */
static inline uint8_t byte_at(size_t n)
{
    return n % 37 == 36 || n % 101 == 5 ? '\n' : (uint8_t)('a' + n % 23);
}

static inline bool append(struct ring_world *w, size_t len)
{
    static uint64_t memory[CWSD_RING_LEAST / 8];
    struct cwsd_ring_record *record = (void *)memory;
    assert_true(len <= CWSD_RING_MAX_LEN && w->len + len <= OUTPUT_MAX);
    for (size_t i = 0; i < len; i++)
        w->output[w->len + i] = byte_at(w->len + i);
    memcpy(record->data, w->output + w->len, len);
    record->len = (uint32_t)len;
    w->len += len;
    w->now_us += 10;
    return cwsd_ring_append(&w->ring, record, w->now_us);
}

static inline uint64_t lines_before(const struct ring_world *w, size_t offset)
{
    uint64_t lines = offset > 0;
    for (size_t i = 0; i + 1 < offset; i++)
        lines += w->output[i] == '\n';
    return lines;
}

static inline void check_place(const struct ring_world *w, const struct cwsd_ring_place *place)
{
    assert_int_equal(place->lines, lines_before(w, place->offset));
    assert_int_equal(place->line_start, place->offset == 0 || w->output[place->offset - 1] == '\n');
}

/* Reads from the place to the end; returns where the bytes began. */
static inline size_t check_kept(struct ring_world *w)
{
    static uint8_t bytes[CWSD_RING_LEAST] __attribute__((aligned(8)));
    struct cwsd_ring_place place;
    struct cws_error err;
    size_t len, size;
    if (!cwsd_ring_oldest(&w->ring, &place))
        return w->len;
    check_place(w, &place);
    size_t from = place.offset, offset = place.offset;
    uint64_t at = place.at, time_us = 0;
    for (;;) {
        const struct cwsd_ring_record *record;
        assert_int_equal(cwsd_ring_read(&w->ring, at, bytes, sizeof(bytes), &len, &err), CWS_OK);
        if (len == 0)
            break;
        for (size_t done = 0;
             (record = cwsd_ring_parse(&w->ring, bytes + done, len - done, &size, &err)) != NULL;
             done += size) {
            assert_true(record->time_us >= time_us);
            time_us = record->time_us;
            assert_memory_equal(record->data, w->output + offset, record->len);
            offset += record->len;
            at += size;
        }
        assert_int_equal(err.status, CWS_OK);
    }
    assert_int_equal(offset, w->len);
    struct cwsd_ring_place end = cwsd_ring_end(&w->ring);
    assert_int_equal(end.at, at);
    assert_int_equal(end.offset, w->len);
    check_place(w, &end);
    return from;
}

static inline size_t some_size(struct ring_world *w)
{
    size_t most = rand_r(&w->seed) % 4 ? 200 : CWSD_RING_MAX_LEN;
    return 1 + (size_t)rand_r(&w->seed) % most;
}

static inline void limit_files(rlim_t size)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}
