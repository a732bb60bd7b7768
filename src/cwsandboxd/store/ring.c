#include "store/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

#define MAGIC 0x676f6c63u

/* ---- life ----------------------------------------------------------------------------------- */

enum cws_status cwsd_ring_init(struct cwsd_ring *ring, const char *path, uint64_t capacity)
{
    assert(capacity >= CWSD_RING_LEAST);
    memset(ring, 0, sizeof(*ring));
    ring->path = cws_strdup(path);
    if (!ring->path)
        return CWS_NO_MEMORY;
    pthread_mutex_init(&ring->lock, NULL);
    ring->wanted = ring->capacity = capacity & ~(uint64_t)7;
    ring->fd = -1;
    ring->grows = true;
    ring->end.line_start = true;
    return CWS_OK;
}

/* With the lock held. */
static void close_unused(struct cwsd_ring *ring)
{
    if (ring->fd < 0 || ring->uses)
        return;
    close(ring->fd);
    ring->fd = -1;
}

/* Begins anew at the end, with nothing kept. With the lock held. */
static void begin_anew(struct cwsd_ring *ring)
{
    ring->mark_count = 0;
    ring->valid_from = ring->base = ring->end.at;
    ring->capacity = ring->wanted;
    ring->grows = true;
}

void cwsd_ring_forget(struct cwsd_ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    bool made = ring->made;
    ring->forgotten = ring->resting = true;
    ring->made = false;
    begin_anew(ring);
    close_unused(ring);
    pthread_mutex_unlock(&ring->lock);
    if (made)
        unlink(ring->path);
}

void cwsd_ring_done(struct cwsd_ring *ring)
{
    cwsd_ring_forget(ring);
    assert(!ring->uses);
    pthread_mutex_destroy(&ring->lock);
    cws_free(ring->marks);
    cws_free(ring->path);
}

void cwsd_ring_rest(struct cwsd_ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    ring->resting = true;
    close_unused(ring);
    pthread_mutex_unlock(&ring->lock);
}

struct cwsd_ring_place cwsd_ring_end(struct cwsd_ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    struct cwsd_ring_place end = ring->end;
    pthread_mutex_unlock(&ring->lock);
    return end;
}

uint64_t cwsd_ring_size(struct cwsd_ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    uint64_t size = ring->end.at < ring->capacity ? ring->end.at : ring->capacity; /* or less */
    if (!ring->made)
        size = 0;
    else if (size < CWSD_RING_LEAST)
        size = CWSD_RING_LEAST;
    pthread_mutex_unlock(&ring->lock);
    return size;
}

/* ---- the file ------------------------------------------------------------------------------- */

/* Opens the file, and makes it if `make`. 0 or an errno. */
static int open_file(const struct cwsd_ring *ring, bool make, int *out_fd)
{
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (make ? O_CREAT | O_EXCL : 0);
    int fd = open(ring->path, flags, 0600);
    if (fd < 0)
        return errno;
    int error = make ? posix_fallocate(fd, 0, (off_t)CWSD_RING_LEAST) : 0;
    if (error && error != EOPNOTSUPP && error != EINVAL) {
        close(fd);
        unlink(ring->path);
        return error;
    }
    *out_fd = fd;
    return 0;
}

/* Takes the descriptor into use; the file is opened, and made for a writer, if it is not open. 0 or
 * an errno. */
static int take_fd(struct cwsd_ring *ring, bool writes, int *out_fd)
{
    int error = 0, fd = -1;
    pthread_mutex_lock(&ring->lock);
    bool open_it = ring->fd < 0 && !ring->forgotten && (ring->made || writes);
    bool make = !ring->made;
    bool have = ring->fd >= 0;
    if (have)
        ring->uses++;
    *out_fd = ring->fd;
    pthread_mutex_unlock(&ring->lock);
    if (have)
        return 0;
    if (open_it)
        error = open_file(ring, make, &fd);
    if (!open_it || error)
        return error ? error : ENOENT;
    pthread_mutex_lock(&ring->lock);
    if (ring->fd < 0) {
        ring->fd = fd;
        fd = -1;
    }
    ring->made = ring->made || make;
    ring->resting = ring->forgotten;
    ring->uses++;
    *out_fd = ring->fd;
    pthread_mutex_unlock(&ring->lock);
    if (fd >= 0)
        close(fd); /* another reader was faster */
    return 0;
}

static void give_back_fd(struct cwsd_ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    ring->uses--;
    if (ring->resting)
        close_unused(ring);
    pthread_mutex_unlock(&ring->lock);
}

/* Writes or reads one piece that does not wrap around. 0 or an errno. */
static int move_piece(int fd, bool writes, uint8_t *bytes, size_t len, off_t at)
{
    while (len) {
        ssize_t moved = writes ? pwrite(fd, bytes, len, at) : pread(fd, bytes, len, at);
        if (moved < 0 && errno == EINTR)
            continue;
        if (moved <= 0)
            return moved < 0 ? errno : EIO;
        bytes += moved;
        at += moved;
        len -= (size_t)moved;
    }
    return 0;
}

/* `at` counts from the ring's base. */
static int move(int fd, bool writes, uint64_t capacity, uint64_t at, uint8_t *bytes, size_t len)
{
    uint64_t place = at % capacity;
    size_t first = len < capacity - place ? len : (size_t)(capacity - place);
    int error = move_piece(fd, writes, bytes, first, (off_t)place);
    return error ? error : move_piece(fd, writes, bytes + first, len - first, 0);
}

/* ---- appending ------------------------------------------------------------------------------ */

/* Where the end is after these bytes of output. */
static struct cwsd_ring_place advance(struct cwsd_ring_place place, const uint8_t *data, size_t len)
{
    const uint8_t *end = data + len;
    place.at += CWSD_RING_SIZE(len);
    place.offset += len;
    place.lines += place.line_start;
    for (const uint8_t *at = data; (at = memchr(at, '\n', (size_t)(end - at))) != NULL;)
        place.lines += ++at < end;
    place.line_start = end[-1] == '\n';
    return place;
}

static struct cwsd_ring_mark *mark_at(const struct cwsd_ring *ring, size_t i)
{
    return &ring->marks[(ring->first_mark + i) % (CWSD_RING_MARKS + 2)];
}

/* What lies in front of `at` is about to be overwritten. With the lock held. */
static void drop_before(struct cwsd_ring *ring, uint64_t at)
{
    if (ring->valid_from < at)
        ring->valid_from = at;
    while (ring->mark_count && mark_at(ring, 0)->place.at < at) {
        ring->first_mark = (ring->first_mark + 1) % (CWSD_RING_MARKS + 2);
        ring->mark_count--;
    }
}

/* With the lock held. */
static void add_mark(struct cwsd_ring *ring, uint64_t time_us)
{
    uint64_t apart = ring->capacity / CWSD_RING_MARKS;
    if (ring->mark_count && (ring->end.at - mark_at(ring, ring->mark_count - 1)->place.at < apart ||
                             ring->mark_count == CWSD_RING_MARKS + 2))
        return;
    *mark_at(ring, ring->mark_count++) = (struct cwsd_ring_mark){ring->end, time_us};
}

/* The disk is full, or a limit on the size of files is reached. The ring goes on without growing,
 * if it has not wrapped around: then every record lies at the same place in a smaller ring. */
static bool shrink(struct cwsd_ring *ring, int error, size_t size)
{
    bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
    pthread_mutex_lock(&ring->lock);
    uint64_t capacity = ring->end.at - ring->base;
    if (capacity < CWSD_RING_LEAST) /* which was allocated with the file */
        capacity = CWSD_RING_LEAST;
    bool can = full && ring->made && ring->grows && capacity < ring->capacity;
    if (can) {
        ring->capacity = capacity;
        ring->grows = false;
        if (ring->end.at + size > ring->base + capacity)
            drop_before(ring, ring->end.at + size - capacity);
    }
    pthread_mutex_unlock(&ring->lock);
    return can;
}

static int write_record(struct cwsd_ring *ring, struct cwsd_ring_record *record, size_t size)
{
    int fd;
    int error = take_fd(ring, true, &fd);
    if (error)
        return error;
    const uint64_t at = ring->end.at - ring->base;
    error = move(fd, true, ring->capacity, at, (uint8_t *)record, size);
    if (error && shrink(ring, error, size))
        error = move(fd, true, ring->capacity, at, (uint8_t *)record, size);
    give_back_fd(ring);
    return error;
}

bool cwsd_ring_append(struct cwsd_ring *ring, struct cwsd_ring_record *record, uint64_t now_us)
{
    size_t size = CWSD_RING_SIZE(record->len);
    record->magic = MAGIC;
    memset(record->data + record->len, 0, size - sizeof(*record) - record->len);
    pthread_mutex_lock(&ring->lock);
    ring->last_us = record->time_us = now_us > ring->last_us ? now_us : ring->last_us;
    if (!ring->marks)
        ring->marks = cws_calloc(CWSD_RING_MARKS + 2, sizeof(*ring->marks));
    bool possible = ring->marks != NULL;
    if (ring->end.at + size > ring->base + ring->capacity) {
        ring->grows = false;
        drop_before(ring, ring->end.at + size - ring->capacity);
    }
    pthread_mutex_unlock(&ring->lock);
    bool written = possible && write_record(ring, record, size) == 0;
    if (!written) {
        cwsd_ring_lose(ring, record->data, record->len);
        return false;
    }
    pthread_mutex_lock(&ring->lock);
    add_mark(ring, record->time_us);
    ring->end = advance(ring->end, record->data, record->len);
    pthread_mutex_unlock(&ring->lock);
    return true;
}

void cwsd_ring_lose(struct cwsd_ring *ring, const uint8_t *data, size_t len)
{
    pthread_mutex_lock(&ring->lock);
    ring->end = advance(ring->end, data, len);
    begin_anew(ring);
    pthread_mutex_unlock(&ring->lock);
}

/* ---- reading -------------------------------------------------------------------------------- */

bool cwsd_ring_oldest(struct cwsd_ring *ring, struct cwsd_ring_place *out_place)
{
    pthread_mutex_lock(&ring->lock);
    bool found = ring->mark_count > 0;
    if (found)
        *out_place = mark_at(ring, 0)->place;
    pthread_mutex_unlock(&ring->lock);
    return found;
}

bool cwsd_ring_find(struct cwsd_ring *ring,
                    bool (*before)(const struct cwsd_ring_mark *mark, const void *ctx),
                    const void *ctx, struct cwsd_ring_place *out_place)
{
    bool found = false;
    pthread_mutex_lock(&ring->lock);
    for (size_t i = ring->mark_count; i > 0 && !found; i--) {
        found = before(mark_at(ring, i - 1), ctx);
        if (found)
            *out_place = mark_at(ring, i - 1)->place;
    }
    pthread_mutex_unlock(&ring->lock);
    return found;
}

static enum cws_status set_overwritten(struct cws_error *err)
{
    return cws_error_set(err, CWS_CLOSED, "overwritten");
}

enum cws_status cwsd_ring_read(struct cwsd_ring *ring, uint64_t at, void *into, size_t cap,
                               size_t *out_len, struct cws_error *err)
{
    int fd;
    *out_len = 0;
    pthread_mutex_lock(&ring->lock);
    bool kept = at >= ring->valid_from;
    uint64_t there = ring->end.at - at;
    uint64_t capacity = ring->capacity, from_base = at - ring->base;
    pthread_mutex_unlock(&ring->lock);
    if (!kept)
        return set_overwritten(err);
    size_t len = there < cap ? (size_t)there : cap;
    if (len == 0)
        return CWS_OK;
    int error = take_fd(ring, false, &fd);
    if (error == 0) {
        error = move(fd, false, capacity, from_base, into, len);
        give_back_fd(ring);
    }
    pthread_mutex_lock(&ring->lock);
    kept = at >= ring->valid_from && !ring->forgotten;
    pthread_mutex_unlock(&ring->lock);
    if (!kept)
        return set_overwritten(err);
    if (error)
        return cws_error_set_errno(err, CWS_SYSTEM, error, "the log cannot be read");
    *out_len = len;
    return CWS_OK;
}

const struct cwsd_ring_record *cwsd_ring_parse(const uint8_t *bytes, size_t len, size_t *out_size,
                                               struct cws_error *err)
{
    const struct cwsd_ring_record *record = (const void *)bytes;
    *out_size = 0;
    err->status = CWS_OK;
    if (len < sizeof(*record))
        return NULL;
    if (record->magic != MAGIC || record->len == 0 || record->len > CWSD_RING_MAX_LEN) {
        cws_error_set(err, CWS_PROTOCOL, "the log's file has been changed");
        return NULL;
    }
    *out_size = CWSD_RING_SIZE(record->len);
    return *out_size <= len ? record : NULL;
}
