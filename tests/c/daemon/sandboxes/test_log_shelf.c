/* cwsandboxd/log_shelf: which logs of ended sandboxes stay, over logs that the test plays itself.
 */
#include "support/daemon_help.h"

#include "sandboxes/log_shelf.h"

#define FULL 1000 /* bytes */
#define LOGS (CWSD_MAX_FINISHED_LOGS + 3)

static struct cwsd_log logs[LOGS];
static struct cwsd_shelf_place places[LOGS];
static struct cwsd_log_shelf shelf;
static size_t forgotten[LOGS], forgotten_count;

/* In place of log.c and ring.c. */
uint64_t cwsd_ring_size(struct cwsd_ring *ring)
{
    return ring->found_size;
}

void cwsd_log_forget(struct cwsd_log *log)
{
    assert_true(forgotten_count < LOGS);
    forgotten[forgotten_count++] = (size_t)(log - logs);
}

static int set_up(void **state)
{
    (void)state;
    memset(logs, 0, sizeof(logs));
    forgotten_count = 0;
    cwsd_log_shelf_init(&shelf, FULL);
    for (size_t i = 0; i < LOGS; i++) {
        places[i] = (struct cwsd_shelf_place){.log = &logs[i]};
        cws_list_init(&places[i].node);
    }
    return 0;
}

#define SHELF_TEST(f) cmocka_unit_test_setup(f, set_up)

static void add(size_t at, uint64_t bytes)
{
    logs[at].ring.found_size = bytes;
    cwsd_log_shelf_add(&shelf, &places[at]);
}

static void the_oldest_go_first(void **state)
{
    (void)state;
    size_t at = 0;
    while (forgotten_count == 0)
        add(at++, FULL);
    assert_int_equal(at, CWSD_MAX_FINISHED_LOGS);
    assert_int_equal(forgotten[0], 0);
    add(at, FULL);
    assert_int_equal(forgotten_count, 2);
    assert_int_equal(forgotten[1], 1);
    assert_int_equal(shelf.bytes, (CWSD_MAX_FINISHED_LOGS - 1) * FULL);
}

/* A long one takes the place of many short ones. */
static void bytes_count_not_logs(void **state)
{
    (void)state;
    for (size_t i = 0; i < LOGS - 1; i++)
        add(i, 1);
    assert_int_equal(forgotten_count, 0);
    add(LOGS - 1, (uint64_t)CWSD_MAX_FINISHED_LOGS * FULL - 5);
    assert_int_equal(forgotten_count, LOGS - 1 - 4);
    for (size_t i = 0; i < forgotten_count; i++)
        assert_int_equal(forgotten[i], i);
}

static void one_that_fills_it_alone(void **state)
{
    (void)state;
    add(0, 1);
    add(1, (uint64_t)CWSD_MAX_FINISHED_LOGS * FULL);
    assert_int_equal(forgotten_count, 2);
    assert_int_equal(shelf.bytes, 0);
    assert_true(cws_list_is_empty(&shelf.places));
}

static void an_empty_one_has_no_place(void **state)
{
    (void)state;
    add(0, 0);
    assert_true(cws_list_is_empty(&shelf.places));
    cwsd_log_shelf_remove(&shelf, &places[0]); /* harmless */
    cwsd_log_shelf_drop_oldest(&shelf);
    assert_int_equal(forgotten_count, 0);
    assert_int_equal(shelf.bytes, 0);
}

/* What it counted for when it came goes with it, however large it is by then. */
static void removed(void **state)
{
    (void)state;
    add(0, 10);
    add(1, 20);
    logs[0].ring.found_size = 15;
    cwsd_log_shelf_remove(&shelf, &places[0]);
    cwsd_log_shelf_remove(&shelf, &places[0]);
    assert_int_equal(shelf.bytes, 20);
    cwsd_log_shelf_drop_oldest(&shelf);
    assert_int_equal(forgotten_count, 1);
    assert_int_equal(forgotten[0], 1);
    assert_int_equal(shelf.bytes, 0);
}

static const struct CMUnitTest tests[] = {
    SHELF_TEST(the_oldest_go_first),
    SHELF_TEST(bytes_count_not_logs),
    SHELF_TEST(one_that_fills_it_alone),
    SHELF_TEST(an_empty_one_has_no_place),
    SHELF_TEST(removed),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
