/* The records of snapshots in the database. */
#include "support/daemon_help.h"

#include "store/schema.h"
#include "store/snapshots.h"

struct world {
    struct cwsd_database *database;
    struct cwsd_snapshots snapshots;
    struct cws_error err;
};

static void open_world(struct world *world)
{
    memset(world, 0, sizeof(*world));
    if (cwsd_database_open(NULL, &cwsd_schema, &world->database, &world->err) != CWS_OK ||
        cwsd_snapshots_init(&world->snapshots, world->database, &world->err) != CWS_OK)
        fail_msg("%s", world->err.text);
}

static void close_world(struct world *world)
{
    cwsd_snapshots_done(&world->snapshots);
    cwsd_database_close(world->database);
}

static struct cwsd_snapshot add(struct world *world, const char *sandbox_id, const char *request_id,
                                int position)
{
    struct cwsd_snapshot snapshot;
    cwsd_snapshot_init(&snapshot, 1000);
    snapshot.trigger = CWSD_SNAPSHOT_TRIGGER(MANUAL);
    snapshot.position = position;
    snapshot.request.half[1] = 7;
    strcpy(snapshot.sandbox_id, sandbox_id);
    strcpy(snapshot.volume, "data");
    strcpy(snapshot.request_id, request_id);
    if (cwsd_snapshots_add(&world->snapshots, &snapshot, &world->err) != CWS_OK)
        fail_msg("%s", world->err.text);
    return snapshot;
}

static bool find(struct world *world, const char *id, struct cwsd_snapshot *out)
{
    bool found;
    assert_int_equal(cwsd_snapshots_find(&world->snapshots, id, out, &found, &world->err), CWS_OK);
    return found;
}

static void everything_is_kept(void **state)
{
    (void)state;
    struct world world;
    struct cwsd_snapshot out;
    open_world(&world);
    struct cwsd_snapshot made = add(&world, "sb-1", "r-1", 0);
    assert_true(find(&world, made.id, &out));
    assert_memory_equal(&made.request, &out.request, sizeof(out.request));
    assert_string_equal(out.volume, "data");
    assert_string_equal(out.request_id, "r-1");
    assert_int_equal(out.state, CWSD_SNAPSHOT_STATE(CREATING));
    made.state = CWSD_SNAPSHOT_STATE(READY);
    made.size = 1ull << 40;
    made.completed_ns = made.updated_ns = 2000;
    memset(made.digest, 0xab, sizeof(made.digest));
    assert_int_equal(cwsd_snapshots_update(&world.snapshots, &made, &world.err), CWS_OK);
    assert_true(find(&world, made.id, &out));
    assert_int_equal(out.state, CWSD_SNAPSHOT_STATE(READY));
    assert_int_equal(out.size, 1ull << 40);
    assert_int_equal(out.created_ns, 1000);
    assert_int_equal(out.completed_ns, 2000);
    assert_memory_equal(made.digest, out.digest, sizeof(out.digest));
    assert_int_equal(cwsd_snapshots_remove(&world.snapshots, made.id, &world.err), CWS_OK);
    assert_false(find(&world, made.id, &out));
    close_world(&world);
}

static void requests(void **state)
{
    (void)state;
    struct world world;
    struct cwsd_snapshot out;
    bool found;
    open_world(&world);
    add(&world, "sb-1", "", 0);
    add(&world, "sb-1", "", 0); /* without an id they are all different */
    add(&world, "sb-1", "r", 0);
    struct cwsd_snapshot second = add(&world, "sb-1", "r", 1);
    assert_int_equal(cwsd_snapshots_find_request(&world.snapshots, CWSD_SNAPSHOT_TRIGGER(MANUAL),
                                                 "r", 1, &out, &found, &world.err),
                     CWS_OK);
    assert_true(found);
    assert_string_equal(out.id, second.id);
    assert_int_equal(cwsd_snapshots_find_request(&world.snapshots, CWSD_SNAPSHOT_TRIGGER(ON_DELETE),
                                                 "r", 1, &out, &found, &world.err),
                     CWS_OK);
    assert_false(found);
    close_world(&world);
}

static void pages(void **state)
{
    (void)state;
    struct world world;
    struct cwsd_snapshot made[5], page[5];
    size_t count;
    open_world(&world);
    for (size_t i = 0; i < 5; i++)
        made[i] = add(&world, i % 2 ? "sb-odd" : "sb-even", "", 0);
    assert_int_equal(cwsd_snapshots_count(&world.snapshots, &count, &world.err), CWS_OK);
    assert_int_equal(count, 5);
    assert_int_equal(
        cwsd_snapshots_page(&world.snapshots, "sb-even", 0, 2, page, &count, &world.err), CWS_OK);
    assert_int_equal(count, 2);
    assert_string_equal(page[0].id, made[0].id);
    assert_string_equal(page[1].id, made[2].id);
    assert_int_equal(cwsd_snapshots_page(&world.snapshots, "sb-even", page[1].sequence, 2, page,
                                         &count, &world.err),
                     CWS_OK);
    assert_int_equal(count, 1);
    assert_string_equal(page[0].id, made[4].id);
    assert_int_equal(cwsd_snapshots_page(&world.snapshots, "", 0, 5, page, &count, &world.err),
                     CWS_OK);
    assert_int_equal(count, 5);
    close_world(&world);
}

static void the_unfinished_fail(void **state)
{
    (void)state;
    struct world world;
    struct cwsd_snapshot out;
    open_world(&world);
    struct cwsd_snapshot ready = add(&world, "sb-1", "", 0), left = add(&world, "sb-1", "", 0);
    ready.state = CWSD_SNAPSHOT_STATE(READY);
    assert_int_equal(cwsd_snapshots_update(&world.snapshots, &ready, &world.err), CWS_OK);
    assert_int_equal(cwsd_snapshots_fail_unfinished(&world.snapshots, "gone", 3000, &world.err),
                     CWS_OK);
    assert_true(find(&world, ready.id, &out));
    assert_int_equal(out.state, CWSD_SNAPSHOT_STATE(READY));
    assert_true(find(&world, left.id, &out));
    assert_int_equal(out.state, CWSD_SNAPSHOT_STATE(FAILED));
    assert_string_equal(out.reason, "gone");
    assert_int_equal(out.completed_ns, 3000);
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CWSD_TEST(everything_is_kept),
        CWSD_TEST(requests),
        CWSD_TEST(pages),
        CWSD_TEST(the_unfinished_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
