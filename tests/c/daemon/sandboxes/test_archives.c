/* sandboxes/archives: the queue of snapshots in the making, their records and their files. */
#include "support/archives_world.h"

#include "support/failing.h"
#include "support/fake_clock.h"
#include "values/bounds.h"

static void run_sql(const char *sql)
{
    struct cwsd_statement statement = {0};
    struct cws_error err;
    if (cwsd_statement_init(&statement, database, sql, &err) != CWS_OK ||
        cwsd_statement_run(&statement, &err) != CWS_OK)
        fail_msg("%s", err.text);
    cwsd_statement_done(&statement);
}

/* From now on no record can be changed; none can be added. */
static void refuse(const char *what)
{
    char sql[200];
    snprintf(sql, sizeof(sql),
             "CREATE TRIGGER refuse BEFORE %s ON snapshots BEGIN SELECT RAISE(ABORT, 'no room'); "
             "END",
             what);
    run_sql(sql);
}

static void allow(void)
{
    run_sql("DROP TRIGGER refuse");
}

static void assert_state(const char *id, int state, const char *reason)
{
    struct cwsd_snapshot found = find_snapshot(id);
    assert_int_equal(found.state, state);
    if (!strstr(found.reason, reason))
        fail_msg("the reason is \"%s\", not \"%s\"", found.reason, reason);
    assert_int_equal(found.completed_ns != 0, state != CWSD_SNAPSHOT_STATE(CREATING));
}

/* ---- making --------------------------------------------------------------------------------- */

static void one_is_made(void **state)
{
    (void)state;
    struct stat file, volume, given;
    const unsigned before = count_descriptors();
    struct cwsd_snapshot made = save("sb-1", "data");
    assert_int_equal(made.state, CWSD_SNAPSHOT_STATE(CREATING));
    assert_state(made.id, CWSD_SNAPSHOT_STATE(CREATING), "");
    const struct cwsd_archive_options *options = &first_run()->options;
    assert_true(options->saves && options->limit > 0 && options->patience_ms > 0);
    assert_int_equal(options->user, BOX_USER);
    assert_int_equal(fstat(volume_fd, &volume) | fstat(options->volume_fd, &given), 0);
    assert_true(options->volume_fd != volume_fd && given.st_ino == volume.st_ino);
    assert_int_equal(fstat(options->file_fd, &file), 0);
    assert_int_equal(file.st_mode & 07777, 0600);
    assert_true(has_file(".", made.id) && !has_file("", made.id));
    run_succeeds(first_run(), 77);
    struct cwsd_snapshot found = find_snapshot(made.id);
    assert_state(made.id, CWSD_SNAPSHOT_STATE(READY), "");
    assert_int_equal(found.size, 77);
    assert_int_equal(found.digest[31], 77);
    assert_true(!has_file(".", made.id) && has_file("", made.id));
    assert_int_equal(count_descriptors(), before);
}

static void one_that_fails(void **state)
{
    (void)state;
    const unsigned before = count_descriptors();
    struct cwsd_snapshot made = save("sb-1", "data");
    run_fails(first_run(), "no space is left");
    assert_state(made.id, CWSD_SNAPSHOT_STATE(FAILED), "no space is left");
    assert_true(!has_file(".", made.id) && !has_file("", made.id));
    assert_int_equal(count_descriptors(), before);
}

/* Those that wait are tried, too. */
static void ones_that_cannot_begin(void **state)
{
    (void)state;
    const unsigned before = count_descriptors();
    struct cwsd_snapshot first = save("sb-1", "data"), second = save("sb-1", "more");
    struct cwsd_snapshot third = save("sb-1", "most");
    run_refusal = "no processes are left";
    run_fails(first_run(), "broken");
    assert_state(first.id, CWSD_SNAPSHOT_STATE(FAILED), "broken");
    assert_state(second.id, CWSD_SNAPSHOT_STATE(FAILED), "no processes are left");
    assert_state(third.id, CWSD_SNAPSHOT_STATE(FAILED), "no processes are left");
    assert_true(!has_file(".", second.id) && !has_file(".", third.id));
    assert_int_equal(count_descriptors(), before);
    run_refusal = NULL;
    save("sb-1", "data");
    assert_int_equal(count_runs(), 1); /* nothing counts as running that does not */
    run_succeeds(first_run(), 1);
}

static void a_file_that_cannot_be_made(void **state)
{
    (void)state;
    char away[100];
    snprintf(away, sizeof(away), "%s.away", world.folder);
    /* The folder is held open, but is no place for files any more. */
    assert_int_equal(rmdir(world.folder), 0);
    struct cwsd_snapshot made = save("sb-1", "data");
    assert_state(made.id, CWSD_SNAPSHOT_STATE(FAILED), "making a file for the archive");
    assert_int_equal(count_runs(), 0);
}

static void a_volume_that_cannot_be_held(void **state)
{
    (void)state;
    const struct cwsd_save wanted = save_of("sb-1", "none");
    struct cwsd_snapshot made;
    size_t stored;
    struct cws_error err;
    assert_false(cwsd_archives_save(world.archives, &wanted, &made, &world.fault));
    expect_fault(CWS_GRPC_UNAVAILABLE, CWSD_REASON_FSS_CREATE_FAILED, "none cannot be held");
    assert_int_equal(cwsd_snapshots_count(cwsd_archives_records(world.archives), &stored, &err),
                     CWS_OK);
    assert_int_equal(stored, 0);
}

static void a_record_that_cannot_be_added(void **state)
{
    (void)state;
    const unsigned before = count_descriptors();
    const struct cwsd_save wanted = save_of("sb-1", "data");
    struct cwsd_snapshot made;
    refuse("INSERT");
    assert_false(cwsd_archives_save(world.archives, &wanted, &made, &world.fault));
    assert_int_equal(world.fault.code, CWS_GRPC_UNAVAILABLE);
    assert_int_equal(count_runs(), 0);
    assert_int_equal(count_descriptors(), before);
    allow();
}

/* Either it is made, or nothing is left of it. */
static void out_of_memory(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        const struct cwsd_save wanted = save_of("sb-1", "data");
        struct cwsd_snapshot made;
        const unsigned before = count_descriptors();
        cws_alloc_fail_at(n);
        bool saved = cwsd_archives_save(world.archives, &wanted, &made, &world.fault);
        bool more = failing_was_reached(n);
        if (count_runs() > 0)
            run_succeeds(first_run(), 1);
        if (saved)
            assert_true(find_snapshot(made.id).state != CWSD_SNAPSHOT_STATE(CREATING));
        assert_int_equal(count_descriptors(), before);
        if (!more)
            break;
    }
}

/* ---- turns ---------------------------------------------------------------------------------- */

static bool runs_now(const struct cwsd_snapshot *snapshot)
{
    return has_file(".", snapshot->id);
}

static void two_at_once_and_one_of_each_sandbox(void **state)
{
    (void)state;
    struct cwsd_snapshot a1 = save("sb-a", "1"), a2 = save("sb-a", "2"), b1 = save("sb-b", "1"),
                         c1 = save("sb-c", "1");
    assert_true(runs_now(&a1) && !runs_now(&a2) && runs_now(&b1) && !runs_now(&c1));
    run_succeeds(first_run(), 1);
    assert_true(runs_now(&a2) && runs_now(&b1) && !runs_now(&c1)); /* by age */
    run_succeeds(first_run(), 1);
    assert_false(runs_now(&b1));
    assert_true(runs_now(&a2) && runs_now(&c1));
    run_fails(first_run(), "broken");
    run_succeeds(first_run(), 1);
    assert_int_equal(count_runs(), 0);
}

/* A sandbox that ends is in nobody's way until it has ended. */
static void waiting_for_the_end(void **state)
{
    (void)state;
    struct cwsd_save wanted = save_of("sb-a", "1");
    struct cwsd_snapshot first, second;
    wanted.trigger = CWSD_SNAPSHOT_TRIGGER(ON_DELETE);
    assert_true(cwsd_archives_save(world.archives, &wanted, &first, &world.fault));
    wanted.volume = "2";
    assert_true(cwsd_archives_save(world.archives, &wanted, &second, &world.fault));
    struct cwsd_snapshot other = save("sb-b", "1");
    assert_true(!runs_now(&first) && runs_now(&other));
    cwsd_archives_begin(world.archives, "sb-other");
    assert_int_equal(count_runs(), 1);
    cwsd_archives_begin(world.archives, "sb-a");
    assert_true(runs_now(&first) && !runs_now(&second));
    run_succeeds(first_run(), 1);
    run_succeeds(first_run(), 1);
    assert_true(runs_now(&second));
    run_succeeds(first_run(), 1);
}

static void the_turns_of_one_sandbox(void **state)
{
    (void)state;
    for (int i = 0; i < CWSD_MAX_ARCHIVES_OF_ONE; i++) {
        assert_true(cwsd_archives_have_turn(world.archives, "sb-a", &world.fault));
        save("sb-a", "data");
    }
    assert_false(cwsd_archives_have_turn(world.archives, "sb-a", &world.fault));
    expect_fault(CWS_GRPC_RESOURCE_EXHAUSTED, CWSD_REASON_FSS_INFLIGHT_LIMIT, "sb-a");
    assert_true(world.fault.retry_s > 0);
    assert_true(cwsd_archives_have_turn(world.archives, "sb-b", &world.fault));
    run_fails(first_run(), "broken");
    assert_true(cwsd_archives_have_turn(world.archives, "sb-a", &world.fault));
    run_succeeds(first_run(), 1);
}

static void the_queue_is_full(void **state)
{
    (void)state;
    const size_t most = CWSD_MAX_ARCHIVES_AT_ONCE + CWSD_MAX_WAITING_ARCHIVES;
    char name[20];
    for (size_t i = 0; i < most; i++) {
        assert_true(cwsd_archives_have_room(world.archives, most - i, &world.fault));
        assert_false(cwsd_archives_have_room(world.archives, most - i + 1, &world.fault));
        expect_fault(CWS_GRPC_UNAVAILABLE, CWSD_REASON_FSS_INFLIGHT_LIMIT, "are being made");
        assert_true(world.fault.retry_s > 0);
        snprintf(name, sizeof(name), "sb-%zu", i);
        save(name, "data");
    }
    while (count_runs() > 0)
        run_succeeds(first_run(), 1);
    assert_true(cwsd_archives_have_room(world.archives, most, &world.fault));
}

static void as_many_as_are_kept(void **state)
{
    (void)state;
    struct cwsd_snapshots *records = cwsd_archives_records(world.archives);
    struct cws_error err;
    run_sql("BEGIN");
    for (int i = 0; i < CWSD_MAX_SNAPSHOTS - 1; i++) {
        struct cwsd_snapshot snapshot;
        cwsd_snapshot_init(&snapshot, 1);
        assert_int_equal(cwsd_snapshots_add(records, &snapshot, &err), CWS_OK);
    }
    run_sql("COMMIT");
    assert_true(cwsd_archives_have_room(world.archives, 1, &world.fault));
    assert_false(cwsd_archives_have_room(world.archives, 2, &world.fault));
    expect_fault(CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_FSS_QUOTA_EXCEEDED, "delete some");
}

/* ---- the same again ------------------------------------------------------------------------- */

static void repeated_requests(void **state)
{
    (void)state;
    struct cwsd_save wanted = save_of("sb-a", "data");
    struct cwsd_snapshot made, found;
    wanted.request_id = "r-1";
    wanted.request.half[0] = 1;
    assert_false(cwsd_archives_find_repeated(world.archives, &wanted, &found, &world.fault));
    assert_false(cwsd_fault_is_set(&world.fault));
    assert_true(cwsd_archives_save(world.archives, &wanted, &made, &world.fault));
    assert_true(cwsd_archives_find_repeated(world.archives, &wanted, &found, &world.fault));
    assert_string_equal(found.id, made.id);
    wanted.request.half[0] = 2;
    assert_false(cwsd_archives_find_repeated(world.archives, &wanted, &found, &world.fault));
    expect_fault(CWS_GRPC_ALREADY_EXISTS, CWSD_REASON_REQUEST_ID_CONFLICT, made.id);
    memset(&world.fault, 0, sizeof(world.fault));
    wanted.request_id = "";
    assert_false(cwsd_archives_find_repeated(world.archives, &wanted, &found, &world.fault));
    assert_false(cwsd_fault_is_set(&world.fault));
    run_succeeds(first_run(), 1);
}

/* ---- removing ------------------------------------------------------------------------------- */

static void removed_at_any_time(void **state)
{
    (void)state;
    const unsigned before = count_descriptors();
    struct cwsd_snapshot ready = make_snapshot(1), a = save("sb-a", "1"), waits = save("sb-a", "2"),
                         b = save("sb-b", "1"), c = save("sb-c", "1");
    assert_true(remove_snapshot(waits.id));
    assert_int_equal(cancelled_runs, 0);
    assert_true(remove_snapshot(a.id));
    assert_int_equal(cancelled_runs, 1);
    assert_false(has_file(".", a.id));
    assert_true(runs_now(&b) && runs_now(&c)); /* its place is free */
    assert_true(remove_snapshot(ready.id));
    assert_false(has_file("", ready.id));
    run_succeeds(first_run(), 1);
    run_succeeds(first_run(), 1);
    assert_true(remove_snapshot(b.id));
    assert_false(has_file("", b.id));
    assert_true(has_file("", c.id));
    assert_int_equal(count_descriptors(), before);
}

static void removed_as_it_is_renamed(void **state)
{
    (void)state;
    struct cwsd_snapshot made = save("sb-a", "1");
    char from[200], to[200];
    snprintf(from, sizeof(from), "%s/.%s.tar", world.folder, made.id);
    snprintf(to, sizeof(to), "%s/%s.tar", world.folder, made.id);
    assert_int_equal(rename(from, to), 0); /* its outcome is still on the way */
    assert_true(remove_snapshot(made.id));
    assert_false(has_file("", made.id));
}

static void what_is_not_there(void **state)
{
    (void)state;
    assert_false(remove_snapshot(""));
    assert_invalid(&world.fault, "file_system_snapshot_id");
    assert_false(remove_snapshot("fss-0123456789abcdef"));
    expect_fault(CWS_GRPC_NOT_FOUND, CWSD_REASON_FSS_NOT_FOUND, "fss-0123456789abcdef");
    struct cwsd_snapshot made = make_snapshot(1);
    refuse("DELETE");
    assert_false(remove_snapshot(made.id));
    assert_true(has_file("", made.id)); /* as its record is */
    allow();
    assert_true(remove_snapshot(made.id));
}

/* ---- records that cannot be written --------------------------------------------------------- */

/* The next start would not know of the archive, so there is no snapshot. */
static void made_but_not_recorded(void **state)
{
    (void)state;
    const unsigned before = count_descriptors();
    struct cwsd_snapshot made = save("sb-a", "1");
    refuse("UPDATE");
    run_succeeds(first_run(), 1);
    assert_false(has_file("", made.id));
    assert_state(made.id, CWSD_SNAPSHOT_STATE(CREATING), "");
    struct cwsd_snapshot next = save("sb-a", "2");
    assert_true(runs_now(&next)); /* it holds nobody up, though it is not done with */
    fake_clock_advance(world.loop, 10 * CWS_NS_PER_S);
    assert_state(made.id, CWSD_SNAPSHOT_STATE(CREATING), "");
    allow();
    fake_clock_advance(world.loop, 10 * CWS_NS_PER_S);
    assert_state(made.id, CWSD_SNAPSHOT_STATE(FAILED), "no room");
    assert_int_equal(find_snapshot(made.id).size, 0);
    run_succeeds(first_run(), 1);
    assert_state(next.id, CWSD_SNAPSHOT_STATE(READY), "");
    assert_int_equal(count_descriptors(), before);
}

static void failed_and_not_recorded(void **state)
{
    (void)state;
    struct cwsd_snapshot made = save("sb-a", "1"), removed = save("sb-b", "1");
    refuse("UPDATE");
    run_fails(first_run(), "broken");
    run_fails(first_run(), "broken");
    assert_true(remove_snapshot(removed.id)); /* meanwhile */
    allow();
    fake_clock_advance(world.loop, 10 * CWS_NS_PER_S);
    assert_state(made.id, CWSD_SNAPSHOT_STATE(FAILED), "broken");
    assert_false(remove_snapshot(removed.id));
}

static void the_daemon_ends_before_it_is_recorded(void **state)
{
    (void)state;
    struct cwsd_snapshot made = save("sb-a", "1");
    refuse("UPDATE");
    run_succeeds(first_run(), 1);
    allow();
    reopen_archives();
    assert_state(made.id, CWSD_SNAPSHOT_STATE(FAILED), "the daemon ended");
}

/* ---- the beginning and the end -------------------------------------------------------------- */

static void found_by_the_next_daemon(void **state)
{
    (void)state;
    const unsigned before = count_descriptors();
    struct cwsd_snapshot ready = make_snapshot(5), made = save("sb-a", "1"),
                         waits = save("sb-a", "2");
    reopen_archives();
    assert_int_equal(cancelled_runs, 1);
    assert_state(ready.id, CWSD_SNAPSHOT_STATE(READY), "");
    assert_true(has_file("", ready.id));
    assert_state(made.id, CWSD_SNAPSHOT_STATE(FAILED), "the daemon ended");
    assert_state(waits.id, CWSD_SNAPSHOT_STATE(FAILED), "the daemon ended");
    assert_false(has_file(".", made.id));
    assert_int_equal(count_descriptors(), before);
}

/* Only what snapshots have left, and no READY one's. */
static void leftovers(void **state)
{
    (void)state;
    static const char *const kept[] = {"fss-xyz",
                                       "fss-0123456789abcde",
                                       ".notes",
                                       "fss-0123456789abcdef0",
                                       "FSS-0123456789abcdef",
                                       "..fss-0123456789abcdef"};
    struct cwsd_snapshot ready = make_snapshot(5), failed = save("sb-a", "1");
    run_fails(first_run(), "broken");
    char name[100];
    const struct {
        const char *prefix, *id;
    } left[] = {{".", "fss-0123456789abcdef"},
                {"", "fss-0123456789abcdef"},
                {".", ready.id},
                {"", failed.id},
                {".", failed.id}};
    for (size_t i = 0; i < CWS_ARRAY_LEN(left); i++) {
        snprintf(name, sizeof(name), "%s%s.tar", left[i].prefix, left[i].id);
        put_file(name);
    }
    for (size_t i = 0; i < CWS_ARRAY_LEN(kept); i++) {
        snprintf(name, sizeof(name), "%s.tar", kept[i]);
        put_file(name);
    }
    reopen_archives();
    for (size_t i = 0; i < CWS_ARRAY_LEN(left); i++)
        if (has_file(left[i].prefix, left[i].id))
            fail_msg("%s%s is still there", left[i].prefix, left[i].id);
    for (size_t i = 0; i < CWS_ARRAY_LEN(kept); i++)
        if (!has_file("", kept[i]))
            fail_msg("%s is gone", kept[i]);
    assert_true(has_file("", ready.id));
}

static void a_folder_that_is_not_the_daemons(void **state)
{
    (void)state;
    struct cws_error err;
    cwsd_archives_close(world.archives);
    assert_int_equal(chmod(world.folder, 0755), 0);
    assert_int_equal(try_open_archives(&err), CWS_INVALID);
    assert_null(world.archives);
    assert_int_equal(rmdir(world.folder), 0);
    assert_int_equal(symlink("/tmp", world.folder), 0);
    assert_true(try_open_archives(&err) != CWS_OK);
    assert_int_equal(unlink(world.folder), 0);
    open_archives();
}

static void opened_without_memory(void **state)
{
    (void)state;
    struct cws_error err;
    struct cwsd_snapshot ready = make_snapshot(5);
    cwsd_archives_close(world.archives);
    const unsigned before = count_descriptors();
    for (size_t n = 1;; n++) {
        cws_alloc_fail_at(n);
        enum cws_status status = try_open_archives(&err);
        bool more = failing_was_reached(n);
        assert_true((status == CWS_OK) == (world.archives != NULL));
        if (!more)
            break;
        cwsd_archives_close(world.archives);
        assert_int_equal(count_descriptors(), before);
    }
    assert_state(ready.id, CWSD_SNAPSHOT_STATE(READY), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARCHIVES_TEST(one_is_made),
        ARCHIVES_TEST(one_that_fails),
        ARCHIVES_TEST(ones_that_cannot_begin),
        ARCHIVES_TEST(a_file_that_cannot_be_made),
        ARCHIVES_TEST(a_volume_that_cannot_be_held),
        ARCHIVES_TEST(a_record_that_cannot_be_added),
        ARCHIVES_TEST(out_of_memory),
        ARCHIVES_TEST(two_at_once_and_one_of_each_sandbox),
        ARCHIVES_TEST(waiting_for_the_end),
        ARCHIVES_TEST(the_turns_of_one_sandbox),
        ARCHIVES_TEST(the_queue_is_full),
        ARCHIVES_TEST(as_many_as_are_kept),
        ARCHIVES_TEST(repeated_requests),
        ARCHIVES_TEST(removed_at_any_time),
        ARCHIVES_TEST(removed_as_it_is_renamed),
        ARCHIVES_TEST(what_is_not_there),
        ARCHIVES_TEST(made_but_not_recorded),
        ARCHIVES_TEST(failed_and_not_recorded),
        ARCHIVES_TEST(the_daemon_ends_before_it_is_recorded),
        ARCHIVES_TEST(found_by_the_next_daemon),
        ARCHIVES_TEST(leftovers),
        ARCHIVES_TEST(a_folder_that_is_not_the_daemons),
        ARCHIVES_TEST(opened_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
