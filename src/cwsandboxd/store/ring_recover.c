#include "store/ring_private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

#define WINDOW (4 * CWSD_RING_LEAST)

/* The file as it is being looked through. Positions count from its first record's place, and go on
 * past the end where the ring has wrapped around. */
struct scan {
    struct cwsd_ring *ring; /* what has been found so far; nobody else knows it yet */
    int fd;
    bool wraps;      /* the file has its full size */
    uint64_t filled; /* how much of the ring it has */
    uint8_t *window; /* the bytes from `from` on */
    uint64_t from;
    size_t len;
    int error; /* of reading, or 0 */
};

static void fill_window(struct scan *scan)
{
    const uint64_t capacity = scan->ring->capacity;
    scan->error = 0;
    for (size_t done = 0, len; done < scan->len && !scan->error; done += len) {
        len = scan->len - done < capacity ? scan->len - done : (size_t)capacity;
        scan->error =
            cwsd_ring_move(scan->fd, false, capacity, scan->from + done, scan->window + done, len);
    }
}

/* The bytes from `pos` on: a whole record, if one begins there. NULL if they cannot be read. */
static const uint8_t *look_at(struct scan *scan, uint64_t pos, size_t *out_len)
{
    uint64_t limit = scan->wraps ? 2 * scan->filled : scan->filled;
    bool here = pos >= scan->from && pos < scan->from + scan->len;
    bool whole = pos + CWSD_RING_LEAST <= scan->from + scan->len || scan->from + scan->len == limit;
    if (!here || !whole) {
        scan->from = pos;
        scan->len = limit - pos < WINDOW ? (size_t)(limit - pos) : WINDOW;
        fill_window(scan);
    }
    *out_len = (size_t)(scan->from + scan->len - pos);
    return scan->error ? NULL : scan->window + (pos - scan->from);
}

static bool is_whole(const struct scan *scan, const uint8_t *bytes, size_t len, uint64_t pos)
{
    const struct cwsd_ring *ring = scan->ring;
    const struct cwsd_ring_record *record = (const void *)bytes;
    return len >= sizeof(*record) && cwsd_ring_is_record(ring, record) &&
           CWSD_RING_SIZE(record->len) <= len && record->at >= ring->base.at &&
           (record->at - ring->base.at) % ring->capacity == pos % ring->capacity &&
           record->data_check == cwsd_ring_data_check(ring, record);
}

/* The next whole record at *pos or behind it, before `end`. NULL: there is none. */
static const struct cwsd_ring_record *next_record(struct scan *scan, uint64_t *pos, uint64_t end)
{
    for (; *pos < end; *pos += 8) {
        size_t len;
        const uint8_t *bytes = look_at(scan, *pos, &len);
        if (!bytes)
            return NULL;
        if (is_whole(scan, bytes, len, *pos))
            return (const void *)bytes;
    }
    return NULL;
}

/* The end of the newest record, or the base. */
static uint64_t find_end(struct scan *scan)
{
    const struct cwsd_ring_record *record;
    uint64_t end = scan->ring->base.at, pos = 0;
    for (; (record = next_record(scan, &pos, scan->filled)); pos += CWSD_RING_SIZE(record->len))
        if (record->at + CWSD_RING_SIZE(record->len) > end)
            end = record->at + CWSD_RING_SIZE(record->len);
    return end;
}

/* Goes through the records from the oldest to the newest. Those before one that is missing count as
 * overwritten. */
static void follow(struct scan *scan, uint64_t end)
{
    struct cwsd_ring *ring = scan->ring;
    const struct cwsd_ring_record *record;
    uint64_t first = scan->wraps ? (end - ring->base.at) % ring->capacity : 0, pos = first;
    for (; (record = next_record(scan, &pos, first + scan->filled));
         pos += CWSD_RING_SIZE(record->len)) {
        if (ring->mark_count == 0 || record->at != ring->end.at) {
            ring->first_mark = ring->mark_count = 0;
            ring->valid_from = record->at;
        }
        ring->end = (struct cwsd_ring_place){record->at, record->offset, record->lines,
                                             record->line_start != 0};
        cwsd_ring_add_mark(ring, record->time_us);
        ring->end = cwsd_ring_advance(ring->end, record->data, record->len);
        ring->last_us = record->time_us;
    }
}

static bool read_head(struct scan *scan)
{
    struct cwsd_ring_head head;
    struct cwsd_ring *ring = scan->ring;
    struct stat info;
    ssize_t len = fstat(scan->fd, &info) < 0 ? -1 : pread(scan->fd, &head, sizeof(head), 0);
    scan->error = len < 0 ? errno : 0;
    if (len != sizeof(head) || head.magic != CWSD_RING_MAGIC ||
        head.check != cwsd_ring_head_check(&head) || head.capacity < CWSD_RING_MAX_LEN)
        return false;
    ring->key = head.key;
    ring->capacity = head.capacity;
    ring->base = (struct cwsd_ring_place){head.at, head.offset, head.lines, head.line_start != 0};
    ring->end = ring->base;
    ring->valid_from = ring->base.at;
    scan->filled = ((uint64_t)info.st_size - CWSD_RING_HEAD) & ~(uint64_t)7;
    scan->wraps = scan->filled >= ring->capacity;
    if (scan->wraps)
        scan->filled = ring->capacity;
    return true;
}

/* 0 or an errno. */
static int look_through(struct cwsd_ring *found, int fd)
{
    struct scan scan = {.ring = found, .fd = fd};
    scan.window = cws_malloc(WINDOW);
    found->marks = cws_calloc(CWSD_RING_MARKS + 2, sizeof(*found->marks));
    if (!scan.window || !found->marks)
        scan.error = ENOMEM;
    else if (read_head(&scan)) {
        uint64_t end = find_end(&scan);
        if (!scan.error)
            follow(&scan, end);
    } else {
        found->end.offset = 1; /* there was something */
    }
    cws_free(scan.window);
    return scan.error;
}

/* From now on others may use it. */
static void publish(struct cwsd_ring *ring, const struct cwsd_ring *found)
{
    pthread_mutex_lock(&ring->lock);
    ring->key = found->key;
    ring->capacity = found->capacity;
    ring->base = found->base;
    ring->end = found->end;
    ring->valid_from = ring->forgotten ? found->end.at : found->valid_from;
    ring->last_us = found->last_us;
    ring->marks = found->marks;
    ring->first_mark = found->first_mark;
    ring->mark_count = ring->forgotten ? 0 : found->mark_count;
    ring->unread = false;
    pthread_mutex_unlock(&ring->lock);
}

enum cws_status cwsd_ring_recover(struct cwsd_ring *ring, struct cws_error *err)
{
    struct cwsd_ring found = {.key = ring->key, .capacity = ring->wanted};
    int fd;
    int error = cwsd_ring_take_fd(ring, false, &fd);
    if (error == 0) {
        error = look_through(&found, fd);
        cwsd_ring_give_back_fd(ring);
    } else if (error == ENOENT) {
        found.end.offset = 1; /* it is forgotten */
        error = 0;
    }
    if (error) {
        cws_free(found.marks);
        return error == ENOMEM
                   ? cws_error_set(err, CWS_NO_MEMORY, "out of memory")
                   : cws_error_set_errno(err, CWS_SYSTEM, error, "the log cannot be read");
    }
    publish(ring, &found);
    return CWS_OK;
}

bool cwsd_ring_is_unread(struct cwsd_ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    bool unread = ring->unread;
    pthread_mutex_unlock(&ring->lock);
    return unread;
}

void cwsd_ring_take_over(struct cwsd_ring *ring)
{
    struct stat info;
    if (lstat(ring->path, &info) < 0 || !S_ISREG(info.st_mode))
        return;
    ring->unread = true;
    ring->made = info.st_size > 0;
    ring->emptied = !ring->made;
    ring->found_size = (uint64_t)info.st_size;
}
