/* cwsandboxd/log: from the command's pipe to the disk, which the test plays and can hold up. */
#include "support/daemon_help.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>

#include "sandboxes/log.h"
#include "support/peer.h"

/* ---- a disk, played ------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool held; /* appends wait */
    unsigned appends, waiting;
    size_t len; /* bytes on it */
    char text[1 << 20];
    size_t lost;
    bool removed, rests;
    bool fails; /* cannot be read */
    unsigned forgotten;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

enum cws_status cwsd_ring_init(struct cwsd_ring *ring, const char *path, uint64_t capacity)
{
    (void)ring, (void)path, (void)capacity;
    return CWS_OK;
}

void cwsd_ring_done(struct cwsd_ring *ring)
{
    (void)ring;
    pthread_mutex_lock(&disk.lock);
    disk.removed = true;
    pthread_mutex_unlock(&disk.lock);
}

void cwsd_ring_forget(struct cwsd_ring *ring)
{
    (void)ring;
    disk.len = 0;
    disk.forgotten++;
}

uint64_t cwsd_ring_size(struct cwsd_ring *ring)
{
    return ring->found_size;
}

void cwsd_ring_take_over(struct cwsd_ring *ring)
{
    ring->unread = true;
    ring->found_size = 1;
}

bool cwsd_ring_is_unread(struct cwsd_ring *ring)
{
    return ring->unread;
}

enum cws_status cwsd_ring_recover(struct cwsd_ring *ring, struct cws_error *err)
{
    pthread_mutex_lock(&disk.lock);
    disk.waiting++;
    while (disk.held)
        pthread_cond_wait(&disk.changed, &disk.lock);
    disk.waiting--;
    bool fails = disk.fails;
    pthread_mutex_unlock(&disk.lock);
    if (fails)
        return cws_error_set(err, CWS_SYSTEM, "cannot be read");
    ring->unread = false;
    return CWS_OK;
}

void cwsd_ring_rest(struct cwsd_ring *ring)
{
    (void)ring;
    disk.rests = true;
}

void cwsd_ring_lose(struct cwsd_ring *ring, const uint8_t *data, size_t len)
{
    (void)ring, (void)data;
    disk.lost += len;
}

bool cwsd_ring_append(struct cwsd_ring *ring, struct cwsd_ring_record *record, uint64_t now_us)
{
    (void)ring, (void)now_us;
    pthread_mutex_lock(&disk.lock);
    disk.appends++;
    disk.waiting++;
    pthread_cond_broadcast(&disk.changed);
    while (disk.held)
        pthread_cond_wait(&disk.changed, &disk.lock);
    disk.waiting--;
    memcpy(disk.text + disk.len, record->data, record->len);
    disk.len += record->len;
    pthread_mutex_unlock(&disk.lock);
    return true;
}

static void hold_disk(bool held)
{
    pthread_mutex_lock(&disk.lock);
    disk.held = held;
    pthread_cond_broadcast(&disk.changed);
    pthread_mutex_unlock(&disk.lock);
}

static unsigned appends_waiting(void)
{
    pthread_mutex_lock(&disk.lock);
    unsigned waiting = disk.waiting;
    pthread_mutex_unlock(&disk.lock);
    return waiting;
}

static size_t stored(void)
{
    pthread_mutex_lock(&disk.lock);
    size_t len = disk.len;
    pthread_mutex_unlock(&disk.lock);
    return len;
}

static bool is_removed(void)
{
    pthread_mutex_lock(&disk.lock);
    bool removed = disk.removed;
    pthread_mutex_unlock(&disk.lock);
    return removed;
}

/* ---- one log per test ------------------------------------------------------------------------ */

struct world {
    size_t live;
    struct cws_loop *loop;
    struct cwsd_log *log;
    struct cwsd_log_listener listener;
    unsigned told;
    bool failed; /* as told */
    int fd;      /* where the command writes */
};

static void on_grown(struct cwsd_log_listener *listener)
{
    struct world *w = cws_container_of(listener, struct world, listener);
    w->told++;
    w->failed = w->log->disk_fails;
}

static int set_up(void **state)
{
    struct world *w = test_calloc(1, sizeof(*w));
    struct cws_error err;
    w->live = cws_alloc_live();
    w->loop = loop_open();
    disk.held = disk.removed = disk.rests = false;
    disk.fails = false;
    disk.appends = disk.forgotten = 0;
    disk.len = disk.lost = 0;
    w->log = cwsd_log_new(w->loop, "/nowhere", 1 << 20);
    assert_non_null(w->log);
    assert_int_equal(cwsd_log_open(w->log, &w->fd, &err), CWS_OK);
    fcntl(w->fd, F_SETFL, O_NONBLOCK);
    w->listener.grown = on_grown;
    cwsd_log_join(w->log, &w->listener);
    *state = w;
    return 0;
}

static void finish(struct world *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
    cwsd_log_end(w->log);
    while (!w->log->ended)
        pump(w->loop);
}

static int tear_down(void **state)
{
    struct world *w = *state;
    cws_alloc_fail_at(0);
    finish(w);
    cwsd_log_leave(w->log, &w->listener);
    cwsd_log_unref(w->log);
    cws_loop_free(w->loop);
    bool clean = w->live == cws_alloc_live() && disk.removed;
    test_free(w);
    return clean ? 0 : -1;
}

static size_t write_all(struct world *w, size_t len)
{
    static const char bytes[65536];
    size_t written = 0;
    while (written < len) {
        size_t piece = len - written < sizeof(bytes) ? len - written : sizeof(bytes);
        ssize_t n = write(w->fd, bytes, piece);
        if (n < 0)
            break;
        written += (size_t)n;
    }
    return written;
}

static void what_is_written_is_stored(void **state)
{
    struct world *w = *state;
    assert_int_equal(write(w->fd, "one\n", 4), 4);
    assert_int_equal(cwsd_log_written(w->log), 4);
    while (stored() < 4 || !w->told)
        pump(w->loop);
    assert_int_equal(write(w->fd, "two\n", 4), 4);
    assert_int_equal(cwsd_log_written(w->log), 8);
    finish(w);
    assert_int_equal(disk.len, 8);
    assert_memory_equal(disk.text, "one\ntwo\n", 8);
    assert_false(disk.rests); /* there is a reader */
}

struct other {
    struct cws_timer timer;
    bool fired;
};

static void fire(struct cws_timer *timer)
{
    cws_container_of(timer, struct other, timer)->fired = true;
}

/* However long the disk takes: the loop goes on, and the log holds one read in memory. */
static void a_slow_disk_holds_up_only_the_command(void **state)
{
    struct world *w = *state;
    struct other other;
    hold_disk(true);
    size_t written = write_all(w, 65536);
    while (!appends_waiting())
        pump(w->loop);
    written += write_all(w, 1 << 20);
    assert_true(written < 3 * 65536);
    for (int i = 0; i < 20; i++) {
        other.fired = false;
        cws_timer_init(&other.timer, fire);
        assert_int_equal(cws_timer_set(w->loop, &other.timer, cws_clock_now_ns() + CWS_NS_PER_MS),
                         CWS_OK);
        while (!other.fired)
            pump(w->loop);
    }
    assert_int_equal(write(w->fd, "x", 1), -1);
    assert_int_equal(disk.appends, 1);
    assert_int_equal(w->told, 0);
    hold_disk(false);
    while (cwsd_log_written(w->log) > stored())
        pump(w->loop);
    assert_int_equal(disk.len, written);
}

/* Processes of the sandbox are gone, but somebody else holds the pipe. */
static void the_end_does_not_wait_for_who_holds_the_pipe(void **state)
{
    struct world *w = *state;
    int other = dup(w->fd);
    write_all(w, 65536);
    finish(w);
    assert_int_equal(disk.len, 65536);
    close(other);
}

static void the_end_waits_for_the_disk(void **state)
{
    struct world *w = *state;
    hold_disk(true);
    assert_int_equal(write(w->fd, "one\n", 4), 4);
    while (!appends_waiting())
        pump(w->loop);
    assert_int_equal(write(w->fd, "two\n", 4), 4);
    close(w->fd);
    w->fd = -1;
    cwsd_log_end(w->log);
    for (int i = 0; i < 5; i++)
        pump(w->loop);
    assert_false(w->log->ended);
    hold_disk(false);
    finish(w);
    assert_memory_equal(disk.text, "one\ntwo\n", 8);
}

static void a_command_that_closes_its_output_does_not_end_the_log(void **state)
{
    struct world *w = *state;
    close(w->fd);
    w->fd = -1;
    while (w->log->pipe.busy)
        pump(w->loop);
    assert_false(w->log->ended);
    cwsd_log_end(w->log);
    assert_true(w->log->ended);
    assert_int_equal(w->told, 1);
    cwsd_log_end(w->log);
    assert_int_equal(w->told, 1);
}

static void without_memory_output_is_lost_and_the_command_goes_on(void **state)
{
    struct world *w = *state;
    assert_int_equal(write(w->fd, "one\n", 4), 4);
    cws_alloc_fail_at(1);
    while (disk.lost < 4)
        pump(w->loop);
    cws_alloc_fail_at(0);
    assert_int_equal(write(w->fd, "two\n", 4), 4);
    while (stored() < 4)
        pump(w->loop);
    assert_memory_equal(disk.text, "two\n", 4);
}

static void a_log_that_nobody_reads_rests_after_its_end(void **state)
{
    struct world *w = *state;
    assert_int_equal(write(w->fd, "one\n", 4), 4);
    finish(w);
    cwsd_log_leave(w->log, &w->listener);
    assert_true(disk.rests);
    cwsd_log_join(w->log, &w->listener);
}

static void a_log_that_is_let_go_goes_when_its_pipe_does(void **state)
{
    struct world *w = *state;
    assert_int_equal(write(w->fd, "one\n", 4), 4);
    cwsd_log_leave(w->log, &w->listener);
    cwsd_log_unref(w->log);
    close(w->fd);
    while (!is_removed())
        pump(w->loop);
    struct cws_error err;
    disk.len = 0;
    w->log = cwsd_log_new(w->loop, "/nowhere", 1 << 20);
    assert_int_equal(cwsd_log_open(w->log, &w->fd, &err), CWS_OK);
    cwsd_log_join(w->log, &w->listener);
}

/* In place of the world's log. */
static void take_over(struct world *w)
{
    close(w->fd);
    cwsd_log_end(w->log);
    while (!w->log->ended)
        pump(w->loop);
    cwsd_log_leave(w->log, &w->listener);
    cwsd_log_unref(w->log);
    w->fd = -1;
    w->told = 0;
    w->log = cwsd_log_new(w->loop, "/nowhere", 1 << 20);
    cwsd_log_take_over(w->log);
    assert_true(w->log->ended);
    cwsd_log_join(w->log, &w->listener);
}

static void an_earlier_log_is_read_once_it_is_wanted(void **state)
{
    struct world *w = *state;
    take_over(w);
    assert_true(cwsd_ring_is_unread(&w->log->ring));
    hold_disk(true);
    cwsd_log_recover(w->log);
    cwsd_log_recover(w->log); /* somebody else */
    while (!appends_waiting())
        pump(w->loop);
    assert_int_equal(w->told, 0);
    hold_disk(false);
    while (!w->told)
        pump(w->loop);
    assert_false(cwsd_ring_is_unread(&w->log->ring));
    assert_int_equal(w->told, 1);
}

static void an_earlier_log_that_cannot_be_read_says_why(void **state)
{
    struct world *w = *state;
    take_over(w);
    disk.fails = true;
    cwsd_log_recover(w->log);
    while (!w->told)
        pump(w->loop);
    assert_true(cwsd_ring_is_unread(&w->log->ring));
    assert_int_equal(w->log->recovery.status, CWS_SYSTEM);
}

static void what_is_being_read_is_forgotten_after_that(void **state)
{
    struct world *w = *state;
    take_over(w);
    hold_disk(true);
    cwsd_log_recover(w->log);
    cwsd_log_forget(w->log);
    assert_int_equal(disk.forgotten, 0);
    hold_disk(false);
    while (!w->told || w->log->working)
        pump(w->loop);
    assert_int_equal(disk.forgotten, 1);
}

int main(void)
{
#define LOG_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        LOG_TEST(what_is_written_is_stored),
        LOG_TEST(a_slow_disk_holds_up_only_the_command),
        LOG_TEST(the_end_does_not_wait_for_who_holds_the_pipe),
        LOG_TEST(the_end_waits_for_the_disk),
        LOG_TEST(a_command_that_closes_its_output_does_not_end_the_log),
        LOG_TEST(without_memory_output_is_lost_and_the_command_goes_on),
        LOG_TEST(a_log_that_nobody_reads_rests_after_its_end),
        LOG_TEST(a_log_that_is_let_go_goes_when_its_pipe_does),
        LOG_TEST(an_earlier_log_is_read_once_it_is_wanted),
        LOG_TEST(an_earlier_log_that_cannot_be_read_says_why),
        LOG_TEST(what_is_being_read_is_forgotten_after_that),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
