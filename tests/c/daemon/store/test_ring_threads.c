/* cwsandboxd/ring: one thread appends while others read. */
#include "support/daemon_help.h"

#include <pthread.h>
#include <stdlib.h>

#include "store/ring.h"

#define APPENDED ((size_t)30 << 20)
#define READ     ((size_t)20 << 20)

/* The n-th byte of all output, with a line's end here and there. */
static uint8_t byte_at(size_t n)
{
    return n % 37 == 36 ? '\n' : (uint8_t)('a' + n % 23);
}

/* NULL when every record was whole. */
static const char *check_records(const struct cwsd_ring *ring, const uint8_t *bytes, size_t len,
                                 struct cwsd_ring_place *place, size_t *seen)
{
    struct cws_error err = {CWS_OK, ""};
    size_t size;
    for (size_t done = 0; done < len; done += size) {
        const struct cwsd_ring_record *record =
            cwsd_ring_parse(ring, bytes + done, len - done, &size, &err);
        if (!record)
            return err.status == CWS_PROTOCOL ? "damaged" : NULL; /* or cut off */
        for (size_t i = 0; i < record->len; i++)
            if (record->data[i] != byte_at(place->offset + i))
                return "wrong";
        place->offset += record->len;
        place->at += size;
        *seen += record->len;
    }
    return NULL;
}

static void *read_on(void *arg)
{
    struct cwsd_ring *ring = arg;
    uint64_t *memory = malloc(CWSD_RING_LEAST);
    struct cwsd_ring_place place = {0};
    struct cws_error err;
    const char *fault = NULL;
    size_t len, seen = 0;
    while (!fault && seen < READ) {
        enum cws_status status =
            cwsd_ring_read(ring, place.at, memory, CWSD_RING_LEAST, &len, &err);
        if (status == CWS_CLOSED && !cwsd_ring_oldest(ring, &place))
            break;
        if (status == CWS_OK && len == 0 && place.offset >= APPENDED)
            break;
        if (status == CWS_OK)
            fault = check_records(ring, (const uint8_t *)memory, len, &place, &seen);
        else if (status != CWS_CLOSED)
            fault = "not read";
    }
    free(memory);
    return (void *)fault;
}

static void readers_see_whole_records(void **state)
{
    struct cwsd_ring ring;
    pthread_t threads[3];
    struct cwsd_ring_record *record = malloc(CWSD_RING_LEAST);
    char path[64];
    void *fault;
    (void)state;
    snprintf(path, sizeof(path), "/tmp/cws-ring-threads-%d", (int)getpid());
    assert_int_equal(cwsd_ring_init(&ring, path, 4 * CWSD_RING_LEAST), CWS_OK);
    for (size_t i = 0; i < CWS_ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &ring), 0);
    uint64_t now_us = 0;
    for (size_t offset = 0; offset < APPENDED; offset += record->len) {
        record->len = (uint32_t)(1 + ++now_us * 7919 % CWSD_RING_MAX_LEN);
        for (size_t i = 0; i < record->len; i++)
            record->data[i] = byte_at(offset + i);
        assert_true(cwsd_ring_append(&ring, record, now_us));
    }
    for (size_t i = 0; i < CWS_ARRAY_LEN(threads); i++) {
        assert_int_equal(pthread_join(threads[i], &fault), 0);
        if (fault)
            fail_msg("%s", (const char *)fault);
    }
    cwsd_ring_done(&ring);
    free(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(readers_see_whole_records)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
