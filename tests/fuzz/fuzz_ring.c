/*
 * Kept logs of a daemon that has ended, however it did: what is recovered can be read to its end.
 *
 * An input is `struct place`, the file's head and records, one behind the other. Check values of 0
 * stand for right ones, since chance would not find these.
 */
#include <fcntl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "fuzz.h"
#include "store/ring_private.h"

#define LARGEST ((size_t)128 * 1024)

struct place {
    uint8_t is_full; /* the file has its full size */
    uint8_t unused;
    uint16_t shift; /* where the first record lies in the ring, in units of 8 bytes */
};

static uint64_t memory[LARGEST / 8]; /* the file's head and its records */

static void repair(size_t size)
{
    struct cwsd_ring_head *head = (void *)memory;
    uint8_t *bytes = (uint8_t *)memory;
    const struct cwsd_ring ring = {.key = head->key};
    if (head->check == 0)
        head->check = cwsd_ring_head_check(head);
    for (size_t at = CWSD_RING_HEAD; at + sizeof(struct cwsd_ring_record) <= size;) {
        struct cwsd_ring_record *record = (void *)(bytes + at);
        size_t whole = CWSD_RING_SIZE(record->len);
        if (whole > size - at)
            return;
        if (record->data_check == 0)
            record->data_check = cwsd_ring_data_check(&ring, record);
        if (record->check == 0)
            record->check = cwsd_ring_record_check(&ring, record);
        at += whole;
    }
}

static void write_file(const char *path, const struct place *place, size_t size)
{
    const struct cwsd_ring_head *head = (const void *)memory;
    const uint8_t *records = (const uint8_t *)memory + CWSD_RING_HEAD;
    size_t len = size - CWSD_RING_HEAD;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0);
    bool full = place->is_full && head->capacity >= len && head->capacity <= LARGEST;
    uint64_t at = full ? 8u * (uint64_t)place->shift % head->capacity : 0;
    size_t first = full && len > head->capacity - at ? (size_t)(head->capacity - at) : len;
    if (full)
        REQUIRE(ftruncate(fd, (off_t)(CWSD_RING_HEAD + head->capacity)) == 0);
    REQUIRE(pwrite(fd, memory, CWSD_RING_HEAD, 0) == (ssize_t)CWSD_RING_HEAD);
    REQUIRE(pwrite(fd, records, first, (off_t)(CWSD_RING_HEAD + at)) == (ssize_t)first);
    REQUIRE(pwrite(fd, records + first, len - first, CWSD_RING_HEAD) == (ssize_t)(len - first));
    close(fd);
}

/* Places only go forwards, so it ends. */
static void read_all(struct cwsd_ring *ring)
{
    static uint8_t bytes[CWSD_RING_LEAST] __attribute__((aligned(8)));
    struct cwsd_ring_place place;
    struct cws_error err;
    size_t len, size;
    const uint64_t end = cwsd_ring_end(ring).at;
    if (!cwsd_ring_oldest(ring, &place))
        return;
    REQUIRE(place.at <= end);
    for (uint64_t at = place.at;;) {
        if (cwsd_ring_read(ring, at, bytes, sizeof(bytes), &len, &err) != CWS_OK)
            return;
        REQUIRE(len <= sizeof(bytes) && len <= end - at);
        size_t done = 0;
        while (len > done && cwsd_ring_parse(ring, bytes + done, len - done, &size, &err)) {
            REQUIRE(size >= sizeof(struct cwsd_ring_record) && size <= len - done);
            done += size;
        }
        if (done == 0)
            return;
        at += done;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct place place;
    struct cwsd_ring ring;
    struct cws_error err;
    char path[64];
    if (size < sizeof(place) + CWSD_RING_HEAD || size > sizeof(memory))
        return 0;
    memcpy(&place, data, sizeof(place));
    size -= sizeof(place);
    memset(memory, 0, sizeof(memory));
    memcpy(memory, data + sizeof(place), size);
    repair(size);
    snprintf(path, sizeof(path), "/tmp/cws-fuzz-ring-%d", (int)getpid());
    write_file(path, &place, size);
    REQUIRE(cwsd_ring_init(&ring, path, CWSD_RING_LEAST) == CWS_OK);
    ring.kept = true;
    cwsd_ring_take_over(&ring);
    REQUIRE(cwsd_ring_is_unread(&ring));
    REQUIRE(cwsd_ring_recover(&ring, &err) == CWS_OK);
    read_all(&ring);
    cwsd_ring_done(&ring);
    unlink(path);
    REQUIRE(cws_alloc_live() == 0);
    return 0;
}
