/* sandboxes/restore: the volumes of a new sandbox, filled one after the other. */
#include "support/archives_world.h"

#include "support/failing.h"

/* A spec with up to four volumes. */
struct wanted {
    cwsd_pb_spec spec;
    cwsd_pb_volume volumes[4];
    cwsd_pb_scratch scratches[4];
    cwsd_pb_volume *all[4];
};

static struct wanted wanted;
static struct cwsd_restore *restore;
static unsigned told;
static char told_why[300]; /* "": it is done */

static void on_done(void *ctx, const char *failed)
{
    assert_ptr_equal(ctx, &world);
    told++;
    snprintf(told_why, sizeof(told_why), "%s", failed ? failed : "");
}

/* `id` NULL: it starts empty. */
static void want(const char *name, const char *id)
{
    size_t i = wanted.spec.n_volumes++;
    coreweave__sandbox__v1__sandbox_volume__init(&wanted.volumes[i]);
    coreweave__sandbox__v1__scratch_volume__init(&wanted.scratches[i]);
    wanted.volumes[i].name = (char *)name;
    wanted.volumes[i].source_case = COREWEAVE__SANDBOX__V1__SANDBOX_VOLUME__SOURCE_SCRATCH;
    wanted.volumes[i].scratch = &wanted.scratches[i];
    if (id)
        wanted.scratches[i].restore_from_snapshot_id = (char *)id;
    wanted.all[i] = &wanted.volumes[i];
}

static int set_up(void **state)
{
    memset(&wanted, 0, sizeof(wanted));
    coreweave__sandbox__v1__sandbox_spec__init(&wanted.spec);
    wanted.spec.volumes = wanted.all;
    restore = NULL;
    told = 0;
    strcpy(told_why, "nothing yet");
    return archives_set_up(state);
}

#define RESTORE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, archives_tear_down)

static bool open_restore(void)
{
    memset(&world.fault, 0, sizeof(world.fault));
    return cwsd_restore_open(world.archives, &wanted.spec, &restore, &world.fault);
}

static void begin(void)
{
    if (!open_restore())
        fail_msg("%s", world.fault.message);
    assert_non_null(restore);
    cwsd_restore_begin(restore, some_box(), on_done, &world);
    assert_int_equal(told, 0);
}

static void await_told(void)
{
    PUMP_UNTIL(world.loop, told);
    cwsd_restore_free(restore);
    settle(world.loop);
    assert_int_equal(told, 1);
}

/* With the snapshot's id and the volume's name. */
static void expect_failure(const struct cwsd_snapshot *snapshot, const char *why)
{
    await_told();
    if (!strstr(told_why, why) || !strstr(told_why, snapshot->id) || !strstr(told_why, "data"))
        fail_msg("%s", told_why);
    assert_int_equal(count_runs(), 0);
}

/* ---- opening -------------------------------------------------------------------------------- */

static void nothing_to_restore(void **state)
{
    (void)state;
    want("data", NULL);
    assert_true(open_restore());
    assert_null(restore);
    assert_true(cwsd_restore_open(NULL, &wanted.spec, &restore, &world.fault));
    assert_null(restore);
    cwsd_restore_free(restore);
}

static void a_daemon_without_snapshots(void **state)
{
    (void)state;
    want("data", "fss-0123456789abcdef");
    assert_false(cwsd_restore_open(NULL, &wanted.spec, &restore, &world.fault));
    expect_fault(CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NO_SNAPSHOTS, "spec.volumes");
    assert_null(restore);
}

/* The first one can be used, and is let go of. */
static void expect_refused(const char *id, enum cws_grpc_code code, const char *reason,
                           const char *text)
{
    const unsigned before = count_descriptors();
    wanted.scratches[1].restore_from_snapshot_id = (char *)id;
    assert_false(open_restore());
    expect_fault(code, reason, text);
    assert_null(restore);
    assert_int_equal(count_descriptors(), before);
}

static void snapshots_that_cannot_be_used(void **state)
{
    (void)state;
    char path[200];
    struct cwsd_snapshot good = make_snapshot(5), failed = save("sb-a", "1");
    run_fails(first_run(), "broken");
    struct cwsd_snapshot lost = make_snapshot(6), made = save("sb-a", "1");
    snprintf(path, sizeof(path), "%s/%s.tar", world.folder, lost.id);
    assert_int_equal(unlink(path), 0);
    want("data", good.id);
    want("more", NULL);
    expect_refused("fss-0123456789abcdef", CWS_GRPC_NOT_FOUND, CWSD_REASON_FSS_NOT_FOUND,
                   "fss-0123456789abcdef");
    expect_refused(failed.id, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_FSS_NOT_READY,
                   "has failed");
    expect_refused(made.id, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_FSS_NOT_READY,
                   "is still being made");
    expect_refused(lost.id, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_FSS_RESTORE_FAILED,
                   "No such file");
    run_succeeds(first_run(), 1);
}

static void opened_without_memory(void **state)
{
    (void)state;
    struct cwsd_snapshot snapshot = make_snapshot(5);
    want("data", snapshot.id);
    for (size_t n = 1;; n++) {
        const unsigned before = count_descriptors();
        cws_alloc_fail_at(n);
        bool opened = open_restore();
        bool more = failing_was_reached(n);
        assert_true(opened == (restore != NULL));
        cwsd_restore_free(restore);
        assert_int_equal(count_descriptors(), before);
        if (!more)
            break;
    }
}

/* ---- restoring ------------------------------------------------------------------------------ */

static void one_after_the_other(void **state)
{
    (void)state;
    const unsigned before = count_descriptors();
    struct cwsd_snapshot one = make_snapshot(5), other = make_snapshot(6);
    want("data", one.id);
    want("empty", NULL);
    want("more", other.id);
    begin();
    assert_int_equal(count_runs(), 1);
    const struct cwsd_archive_options *options = &first_run()->options;
    assert_false(options->saves);
    assert_int_equal(options->user, BOX_USER);
    assert_int_equal(options->volume_fd, volume_fd);
    run_succeeds(first_run(), 5);
    assert_int_equal(count_runs(), 1);
    settle(world.loop);
    assert_int_equal(told, 0);
    run_succeeds(first_run(), 6);
    await_told();
    assert_string_equal(told_why, "");
    assert_int_equal(count_descriptors(), before);
}

static void what_was_unpacked_is_not_what_was_saved(void **state)
{
    (void)state;
    struct cwsd_snapshot snapshot = make_snapshot(5);
    struct cwsa_outcome longer = outcome_of(5), other = outcome_of(5);
    want("data", snapshot.id);
    longer.size++;
    other.digest[31] ^= 1;
    begin();
    end_run(first_run(), &longer);
    expect_failure(&snapshot, "is damaged");
    told = 0;
    begin();
    end_run(first_run(), &other);
    expect_failure(&snapshot, "is damaged");
}

/* The volumes after it are not begun with. */
static void one_that_fails(void **state)
{
    (void)state;
    struct cwsd_snapshot snapshot = make_snapshot(5);
    want("data", snapshot.id);
    want("data too", snapshot.id);
    begin();
    run_fails(first_run(), "no space is left");
    expect_failure(&snapshot, "no space is left");
}

static void one_that_cannot_begin(void **state)
{
    (void)state;
    struct cwsd_snapshot snapshot = make_snapshot(5);
    want("data", snapshot.id);
    run_refusal = "no processes are left";
    begin();
    expect_failure(&snapshot, "no processes are left");
}

/* Its archive is held. */
static void removed_meanwhile(void **state)
{
    (void)state;
    struct cwsd_snapshot snapshot = make_snapshot(5);
    want("data", snapshot.id);
    assert_true(open_restore());
    assert_true(remove_snapshot(snapshot.id));
    assert_false(has_file("", snapshot.id));
    cwsd_restore_begin(restore, some_box(), on_done, &world);
    run_succeeds(first_run(), 5);
    await_told();
    assert_string_equal(told_why, "");
}

/* ---- given up ------------------------------------------------------------------------------- */

static void given_up_at_any_time(void **state)
{
    (void)state;
    const unsigned before = count_descriptors();
    struct cwsd_snapshot snapshot = make_snapshot(5);
    want("data", snapshot.id);
    want("more", snapshot.id);
    for (int runs_before = 0; runs_before < 3; runs_before++) {
        begin();
        for (int i = 0; i < runs_before; i++)
            run_succeeds(first_run(), 5);
        cwsd_restore_free(restore); /* before it has told, though it could */
        settle(world.loop);
        assert_int_equal(told, 0);
        assert_int_equal(count_runs(), 0);
        assert_int_equal(count_descriptors(), before);
    }
    assert_int_equal(cancelled_runs, 2);
    assert_true(open_restore());
    cwsd_restore_free(restore);
    run_refusal = "no processes are left";
    begin();
    cwsd_restore_free(restore);
    settle(world.loop);
    assert_int_equal(told, 0);
    assert_int_equal(count_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RESTORE_TEST(nothing_to_restore),
        RESTORE_TEST(a_daemon_without_snapshots),
        RESTORE_TEST(snapshots_that_cannot_be_used),
        RESTORE_TEST(opened_without_memory),
        RESTORE_TEST(one_after_the_other),
        RESTORE_TEST(what_was_unpacked_is_not_what_was_saved),
        RESTORE_TEST(one_that_fails),
        RESTORE_TEST(one_that_cannot_begin),
        RESTORE_TEST(removed_meanwhile),
        RESTORE_TEST(given_up_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
