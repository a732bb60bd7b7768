#include "store/ring_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "store/checksum.h"

/* The capacity of the smallest file. */
#define LEAST_RING (CWSD_RING_LEAST - CWSD_RING_HEAD)

/* ---- life ----------------------------------------------------------------------------------- */

static uint64_t random_key(const struct cwsd_ring *ring)
{
    struct timespec now;
    uint64_t key;
    if (getrandom(&key, sizeof(key), 0) == sizeof(key))
        return key;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 30 ^ (uint64_t)(uintptr_t)ring;
}

enum cws_status cwsd_ring_init(struct cwsd_ring *ring, const char *path, uint64_t capacity)
{
    assert(capacity >= CWSD_RING_LEAST);
    memset(ring, 0, sizeof(*ring));
    ring->path = cws_strdup(path);
    if (!ring->path)
        return CWS_NO_MEMORY;
    pthread_mutex_init(&ring->lock, NULL);
    ring->key = random_key(ring);
    ring->wanted = ring->capacity = (capacity - CWSD_RING_HEAD) & ~(uint64_t)7;
    ring->fd = -1;
    ring->grows = ring->head_stale = true;
    ring->base.line_start = true;
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
    ring->base = ring->end;
    ring->valid_from = ring->end.at;
    ring->capacity = ring->wanted;
    ring->grows = ring->head_stale = true;
}

void cwsd_ring_forget(struct cwsd_ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    bool made = ring->made;
    ring->forgotten = ring->resting = true;
    ring->emptied = ring->emptied || (made && ring->kept);
    ring->made = false;
    begin_anew(ring);
    close_unused(ring);
    pthread_mutex_unlock(&ring->lock);
    if (made && (!ring->kept || truncate(ring->path, 0) < 0))
        unlink(ring->path);
}

void cwsd_ring_done(struct cwsd_ring *ring)
{
    assert(!ring->uses);
    close_unused(ring);
    if (!ring->kept && (ring->made || ring->emptied))
        unlink(ring->path);
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
    size += CWSD_RING_HEAD;
    if (!ring->made)
        size = 0;
    else if (ring->unread)
        size = ring->found_size;
    else if (size < CWSD_RING_LEAST)
        size = CWSD_RING_LEAST;
    pthread_mutex_unlock(&ring->lock);
    return size;
}

/* ---- the file ------------------------------------------------------------------------------- */

/* Opens the file, and makes it if `make`. One that cannot have its least size is removed again; if
 * it is to be kept, it stays empty. 0 or an errno. */
static int open_file(const struct cwsd_ring *ring, bool make, bool *out_emptied, int *out_fd)
{
    int creates = !make ? 0 : ring->emptied ? O_CREAT : O_CREAT | O_EXCL;
    int fd = open(ring->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | creates, 0600);
    if (fd < 0)
        return errno;
    int error = make ? posix_fallocate(fd, 0, (off_t)CWSD_RING_LEAST) : 0;
    if (error && error != EOPNOTSUPP && error != EINVAL) {
        *out_emptied = ring->kept && ftruncate(fd, 0) == 0;
        close(fd);
        if (!*out_emptied)
            unlink(ring->path);
        return error;
    }
    *out_fd = fd;
    return 0;
}

int cwsd_ring_take_fd(struct cwsd_ring *ring, bool writes, int *out_fd)
{
    int error = 0, fd = -1;
    bool emptied = false;
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
        error = open_file(ring, make, &emptied, &fd);
    pthread_mutex_lock(&ring->lock);
    if (open_it && make)
        ring->emptied = emptied;
    if (!open_it || error) {
        pthread_mutex_unlock(&ring->lock);
        return error ? error : ENOENT;
    }
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

void cwsd_ring_give_back_fd(struct cwsd_ring *ring)
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

int cwsd_ring_move(int fd, bool writes, uint64_t capacity, uint64_t at, uint8_t *bytes, size_t len)
{
    uint64_t place = at % capacity;
    size_t first = len < capacity - place ? len : (size_t)(capacity - place);
    int error = move_piece(fd, writes, bytes, first, (off_t)(CWSD_RING_HEAD + place));
    return error ? error
                 : move_piece(fd, writes, bytes + first, len - first, (off_t)CWSD_RING_HEAD);
}

/* ---- check values --------------------------------------------------------------------------- */

uint32_t cwsd_ring_head_check(const struct cwsd_ring_head *head)
{
    return cwsd_checksum(head, offsetof(struct cwsd_ring_head, check), head->key);
}

uint32_t cwsd_ring_data_check(const struct cwsd_ring *ring, const struct cwsd_ring_record *record)
{
    return cwsd_checksum(record->data, CWSD_RING_SIZE(record->len) - sizeof(*record), ring->key);
}

uint32_t cwsd_ring_record_check(const struct cwsd_ring *ring, const struct cwsd_ring_record *record)
{
    return cwsd_checksum(record, offsetof(struct cwsd_ring_record, data_check),
                         ring->key ^ record->data_check);
}

bool cwsd_ring_is_record(const struct cwsd_ring *ring, const struct cwsd_ring_record *record)
{
    return record->len > 0 && record->len <= CWSD_RING_MAX_LEN &&
           record->check == cwsd_ring_record_check(ring, record);
}

/* Puts the record at the end, with everything but its time. */
static void seal(const struct cwsd_ring *ring, struct cwsd_ring_record *record)
{
    memset(record->data + record->len, 0,
           CWSD_RING_SIZE(record->len) - sizeof(*record) - record->len);
    record->line_start = ring->end.line_start;
    record->at = ring->end.at;
    record->offset = ring->end.offset;
    record->lines = ring->end.lines;
    record->data_check = ring->kept ? cwsd_ring_data_check(ring, record) : 0; /* nobody recovers */
    record->check = cwsd_ring_record_check(ring, record);
}

/* ---- appending ------------------------------------------------------------------------------ */

struct cwsd_ring_place cwsd_ring_advance(struct cwsd_ring_place place, const uint8_t *data,
                                         size_t len)
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

void cwsd_ring_add_mark(struct cwsd_ring *ring, uint64_t time_us)
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
    uint64_t capacity = ring->end.at - ring->base.at;
    if (capacity < LEAST_RING) /* which was allocated with the file */
        capacity = LEAST_RING;
    bool can = full && ring->made && ring->grows && capacity < ring->capacity;
    if (can) {
        ring->capacity = capacity;
        ring->grows = false;
        ring->head_stale = true;
        if (ring->end.at + size > ring->base.at + capacity)
            drop_before(ring, ring->end.at + size - capacity);
    }
    pthread_mutex_unlock(&ring->lock);
    return can;
}

static int write_head(struct cwsd_ring *ring, int fd)
{
    struct cwsd_ring_head head = {
        .magic = CWSD_RING_MAGIC,
        .key = ring->key,
        .capacity = ring->capacity,
        .at = ring->base.at,
        .offset = ring->base.offset,
        .lines = ring->base.lines,
        .line_start = ring->base.line_start,
    };
    head.check = cwsd_ring_head_check(&head);
    int error = move_piece(fd, true, (uint8_t *)&head, sizeof(head), 0);
    ring->head_stale = error != 0;
    return error;
}

static int write_at_end(struct cwsd_ring *ring, int fd, struct cwsd_ring_record *record,
                        size_t size)
{
    int error = ring->head_stale ? write_head(ring, fd) : 0;
    uint64_t at = ring->end.at - ring->base.at;
    return error ? error : cwsd_ring_move(fd, true, ring->capacity, at, (uint8_t *)record, size);
}

static int write_record(struct cwsd_ring *ring, struct cwsd_ring_record *record, size_t size)
{
    int fd;
    int error = cwsd_ring_take_fd(ring, true, &fd);
    if (error)
        return error;
    error = write_at_end(ring, fd, record, size);
    if (error && shrink(ring, error, size))
        error = write_at_end(ring, fd, record, size);
    cwsd_ring_give_back_fd(ring);
    return error;
}

/* A later daemon must not take what is left of the file for all there was. */
static void note_loss(struct cwsd_ring *ring)
{
    int fd;
    if (!ring->kept || cwsd_ring_take_fd(ring, true, &fd) != 0)
        return;
    (void)write_head(ring, fd); /* or before the next record */
    cwsd_ring_give_back_fd(ring);
}

bool cwsd_ring_append(struct cwsd_ring *ring, struct cwsd_ring_record *record, uint64_t now_us)
{
    size_t size = CWSD_RING_SIZE(record->len);
    record->time_us = now_us > ring->last_us ? now_us : ring->last_us;
    seal(ring, record);
    pthread_mutex_lock(&ring->lock);
    ring->last_us = record->time_us;
    if (!ring->marks)
        ring->marks = cws_calloc(CWSD_RING_MARKS + 2, sizeof(*ring->marks));
    bool possible = ring->marks != NULL;
    if (ring->end.at + size > ring->base.at + ring->capacity) {
        ring->grows = false;
        drop_before(ring, ring->end.at + size - ring->capacity);
    }
    pthread_mutex_unlock(&ring->lock);
    bool written = possible && write_record(ring, record, size) == 0;
    if (!written) {
        cwsd_ring_lose(ring, record->data, record->len);
        note_loss(ring);
        return false;
    }
    pthread_mutex_lock(&ring->lock);
    cwsd_ring_add_mark(ring, record->time_us);
    ring->end = cwsd_ring_advance(ring->end, record->data, record->len);
    pthread_mutex_unlock(&ring->lock);
    return true;
}

void cwsd_ring_lose(struct cwsd_ring *ring, const uint8_t *data, size_t len)
{
    pthread_mutex_lock(&ring->lock);
    ring->end = cwsd_ring_advance(ring->end, data, len);
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
    uint64_t capacity = ring->capacity, from_base = at - ring->base.at;
    pthread_mutex_unlock(&ring->lock);
    if (!kept)
        return set_overwritten(err);
    size_t len = there < cap ? (size_t)there : cap;
    if (len == 0)
        return CWS_OK;
    int error = cwsd_ring_take_fd(ring, false, &fd);
    if (error == 0) {
        error = cwsd_ring_move(fd, false, capacity, from_base, into, len);
        cwsd_ring_give_back_fd(ring);
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

const struct cwsd_ring_record *cwsd_ring_parse(const struct cwsd_ring *ring, const uint8_t *bytes,
                                               size_t len, size_t *out_size, struct cws_error *err)
{
    const struct cwsd_ring_record *record = (const void *)bytes;
    *out_size = 0;
    err->status = CWS_OK;
    if (len < sizeof(*record))
        return NULL;
    if (!cwsd_ring_is_record(ring, record)) {
        cws_error_set(err, CWS_PROTOCOL, "the log's file has been changed");
        return NULL;
    }
    *out_size = CWSD_RING_SIZE(record->len);
    return *out_size <= len ? record : NULL;
}
