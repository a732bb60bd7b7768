/* sandboxes/saving: which volumes a request for snapshots means, and whether it gets them. */
#include "support/archives_world.h"

#include "sandboxes/saving.h"
#include "values/bounds.h"

#define ID "sb-0123456789abcdef"

/* A sandbox whose volumes are named here: "none" and those that begin so have gone. */
static struct {
    struct cwsd_sandbox sandbox;
    struct cwsd_container container;
    cwsd_pb_spec spec;
    cwsd_pb_volume volumes[4];
    cwsd_pb_scratch scratch;
    cwsd_pb_volume *all[4];
} played;

static struct cwsd_pool *const pool = (struct cwsd_pool *)&played; /* nobody looks into it */
static bool without_archives;

/* In place of sandboxes/pool.c. */
struct cwsd_archives *cwsd_pool_archives(const struct cwsd_pool *of)
{
    assert_ptr_equal(of, pool);
    return without_archives ? NULL : world.archives;
}

struct cwsd_sandbox *cwsd_pool_find(struct cwsd_pool *of, const char *id, struct cwsd_fault *fault)
{
    assert_ptr_equal(of, pool);
    if (strcmp(id, ID) == 0)
        return &played.sandbox;
    cwsd_fault_set(fault, CWS_GRPC_NOT_FOUND, CWSD_REASON_SANDBOX_NOT_FOUND, "no %s", id);
    return NULL;
}

static void add_volume(const char *name, bool scratch)
{
    size_t i = played.spec.n_volumes++;
    coreweave__sandbox__v1__sandbox_volume__init(&played.volumes[i]);
    played.volumes[i].name = (char *)name;
    played.volumes[i].source_case = scratch
                                        ? COREWEAVE__SANDBOX__V1__SANDBOX_VOLUME__SOURCE_SCRATCH
                                        : COREWEAVE__SANDBOX__V1__SANDBOX_VOLUME__SOURCE_VOLUME_ID;
    if (scratch)
        played.volumes[i].scratch = &played.scratch;
    else
        played.volumes[i].volume_id = (char *)"vol-1";
    played.all[i] = &played.volumes[i];
}

/* Runs, with the scratch volume "data". */
static int set_up(void **state)
{
    memset(&played, 0, sizeof(played));
    without_archives = false;
    coreweave__sandbox__v1__sandbox_spec__init(&played.spec);
    coreweave__sandbox__v1__scratch_volume__init(&played.scratch);
    played.spec.volumes = played.all;
    strcpy(played.sandbox.record.id, ID);
    played.sandbox.record.spec = &played.spec;
    played.sandbox.record.state = CWSD_STATE(RUNNING);
    played.sandbox.pool = pool;
    played.sandbox.containers = &played.container;
    played.sandbox.container_count = 1;
    played.container.box = some_box();
    add_volume("data", true);
    return archives_set_up(state);
}

#define SAVING_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, archives_tear_down)

/* ---- while it runs -------------------------------------------------------------------------- */

static bool create_of(const char *sandbox_id, const char *volume, const char *request_id,
                      struct cwsd_snapshot *out)
{
    cwsd_pb_create_snapshot_request request =
        COREWEAVE__SANDBOX__V1__CREATE_FILE_SYSTEM_SNAPSHOT_REQUEST__INIT;
    request.sandbox_id = (char *)sandbox_id;
    request.scratch_volume_name = (char *)volume;
    request.request_id = (char *)request_id;
    memset(&world.fault, 0, sizeof(world.fault));
    return cwsd_saving_create(pool, &request, out, &world.fault);
}

static struct cwsd_snapshot create(const char *volume, const char *request_id)
{
    struct cwsd_snapshot made;
    if (!create_of(ID, volume, request_id, &made))
        fail_msg("%s", world.fault.message);
    return made;
}

static void expect_refused(const char *volume, enum cws_grpc_code code, const char *reason,
                           const char *text)
{
    struct cwsd_snapshot made;
    assert_false(create_of(ID, volume, "", &made));
    expect_fault(code, reason, text);
    assert_int_equal(count_runs(), 0);
}

static void expect_invalid(const char *volume, const char *text)
{
    struct cwsd_snapshot made;
    assert_false(create_of(ID, volume, "", &made));
    assert_invalid(&world.fault, "scratch_volume_name");
    assert_non_null(strstr(world.fault.message, text));
}

static void the_volume_that_is_named(void **state)
{
    (void)state;
    add_volume("more", true);
    assert_string_equal(create("more", "").volume, "more");
    expect_invalid("", "several scratch volumes");
    expect_invalid("other", "no volume \"other\"");
    run_succeeds(first_run(), 1);
}

static void the_only_volume(void **state)
{
    (void)state;
    add_volume("shared", false);
    struct cwsd_snapshot made = create("", "");
    assert_string_equal(made.volume, "data");
    assert_string_equal(made.sandbox_id, ID);
    assert_int_equal(made.trigger, CWSD_SNAPSHOT_TRIGGER(MANUAL));
    run_succeeds(first_run(), 1);
}

static void what_cannot_be_saved(void **state)
{
    (void)state;
    add_volume("shared", false);
    expect_refused("shared", CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_NOT_SNAPSHOTTABLE,
                   "registered volume");
    played.spec.volumes++; /* no scratch volume is left */
    played.spec.n_volumes--;
    expect_refused("", CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_NOT_SNAPSHOTTABLE,
                   "no scratch volume");
    played.spec.n_volumes = 0;
    expect_invalid("data", "no volume");
}

static void a_sandbox_that_does_not_run(void **state)
{
    (void)state;
    struct cwsd_snapshot made;
    played.sandbox.record.state = CWSD_STATE(CREATING);
    expect_refused("data", CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_SANDBOX_NOT_RUNNING, ID);
    played.sandbox.record.state = CWSD_STATE(RUNNING);
    played.container.box = NULL;
    expect_refused("data", CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_SANDBOX_NOT_RUNNING, ID);
    played.sandbox.container_count = 0; /* its containers are freed */
    expect_refused("data", CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_SANDBOX_NOT_RUNNING, ID);
    assert_false(create_of("sb-none", "data", "", &made));
    expect_fault(CWS_GRPC_NOT_FOUND, CWSD_REASON_SANDBOX_NOT_FOUND, "sb-none");
    without_archives = true;
    expect_refused("data", CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NO_SNAPSHOTS, "no file system");
}

static void the_same_again(void **state)
{
    (void)state;
    struct cwsd_snapshot made = create("data", "r-1"), again;
    played.sandbox.record.state = CWSD_STATE(COMPLETED); /* it was there when it was asked for */
    assert_string_equal(create("data", "r-1").id, made.id);
    assert_int_equal(count_runs(), 1);
    assert_false(create_of(ID, "", "r-1", &again));
    expect_fault(CWS_GRPC_ALREADY_EXISTS, CWSD_REASON_REQUEST_ID_CONFLICT, made.id);
    run_succeeds(first_run(), 1);
}

static void request_ids(void **state)
{
    (void)state;
    struct cwsd_snapshot made;
    char id[CWSD_MAX_REQUEST_ID_BYTES + 2];
    memset(id, 'x', sizeof(id));
    id[CWSD_MAX_REQUEST_ID_BYTES + 1] = '\0';
    assert_false(create_of(ID, "data", id, &made));
    assert_invalid(&world.fault, "request_id");
    id[CWSD_MAX_REQUEST_ID_BYTES] = '\0';
    assert_string_equal(create("data", id).request_id, id);
    run_succeeds(first_run(), 1);
}

static void more_than_its_turns(void **state)
{
    (void)state;
    struct cwsd_snapshot made;
    for (int i = 0; i < CWSD_MAX_ARCHIVES_OF_ONE; i++)
        create("data", "");
    assert_false(create_of(ID, "data", "", &made));
    expect_fault(CWS_GRPC_RESOURCE_EXHAUSTED, CWSD_REASON_FSS_INFLIGHT_LIMIT, ID);
    while (count_runs() > 0)
        run_succeeds(first_run(), 1);
}

/* ---- when it is deleted --------------------------------------------------------------------- */

static cwsd_pb_delete_request deleting(char **volumes, size_t count)
{
    cwsd_pb_delete_request request = COREWEAVE__SANDBOX__V1__DELETE_SANDBOX_REQUEST__INIT;
    request.sandbox_id = (char *)ID;
    request.request_id = (char *)"r-2";
    request.snapshot_volumes = volumes;
    request.n_snapshot_volumes = count;
    return request;
}

static bool save_on_delete(char **volumes, size_t count, struct cwsd_snapshot *out)
{
    const cwsd_pb_delete_request request = deleting(volumes, count);
    memset(&world.fault, 0, sizeof(world.fault));
    return cwsd_saving_on_delete(&played.sandbox, &request, out, &world.fault);
}

static size_t count_snapshots(void)
{
    struct cws_error err;
    size_t count;
    assert_int_equal(cwsd_snapshots_count(cwsd_archives_records(world.archives), &count, &err),
                     CWS_OK);
    return count;
}

static void in_the_order_of_the_request(void **state)
{
    (void)state;
    char *names[] = {(char *)"more", (char *)"data"};
    const cwsd_pb_delete_request request = deleting(names, 2);
    struct cwsd_snapshot made[2], found[2];
    add_volume("more", true);
    assert_false(cwsd_saving_find_repeated(pool, &request, found, &world.fault));
    assert_false(cwsd_fault_is_set(&world.fault));
    if (!save_on_delete(names, 2, made))
        fail_msg("%s", world.fault.message);
    assert_string_equal(made[0].volume, "more");
    assert_string_equal(made[1].volume, "data");
    assert_int_equal(made[1].trigger, CWSD_SNAPSHOT_TRIGGER(ON_DELETE));
    assert_int_equal(count_runs(), 0); /* what runs there may still write */
    assert_true(cwsd_saving_find_repeated(pool, &request, found, &world.fault));
    assert_string_equal(found[0].id, made[0].id);
    assert_string_equal(found[1].id, made[1].id);
    cwsd_archives_begin(world.archives, ID);
    run_succeeds(first_run(), 1);
    run_succeeds(first_run(), 2);
    assert_true(remove_snapshot(made[1].id));
    assert_false(cwsd_saving_find_repeated(pool, &request, found, &world.fault));
    assert_false(cwsd_fault_is_set(&world.fault));
}

static void all_or_none(void **state)
{
    (void)state;
    char *names[] = {(char *)"data", (char *)"no volume any more"};
    const unsigned before = count_descriptors();
    struct cwsd_snapshot made[2];
    add_volume("no volume any more", true);
    assert_false(save_on_delete(names, 2, made));
    expect_fault(CWS_GRPC_UNAVAILABLE, CWSD_REASON_FSS_CREATE_FAILED, "cannot be held");
    assert_int_equal(count_snapshots(), 0);
    cwsd_archives_begin(world.archives, ID);
    assert_int_equal(count_runs(), 0);
    assert_int_equal(count_descriptors(), before);
}

static void volumes_that_make_no_sense(void **state)
{
    (void)state;
    char *twice[] = {(char *)"data", (char *)"data"}, *other[] = {(char *)"other"},
         *shared[] = {(char *)"shared"};
    struct cwsd_snapshot made[2];
    add_volume("shared", false);
    assert_false(save_on_delete(twice, 2, made));
    assert_invalid(&world.fault, "snapshot_volumes");
    assert_non_null(strstr(world.fault.message, "named twice"));
    assert_false(save_on_delete(other, 1, made));
    assert_invalid(&world.fault, "snapshot_volumes");
    assert_false(save_on_delete(shared, 1, made));
    expect_fault(CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_NOT_SNAPSHOTTABLE, "registered volume");
    assert_int_equal(count_snapshots(), 0);
}

/* While it is being created it may have volumes already, or not yet. */
static void before_and_after_it_has_volumes(void **state)
{
    (void)state;
    char *names[] = {(char *)"none yet"}, *data[] = {(char *)"data"};
    struct cwsd_snapshot made;
    add_volume("none yet", true);
    played.sandbox.record.state = CWSD_STATE(CREATING);
    assert_false(save_on_delete(names, 1, &made));
    expect_fault(CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_SANDBOX_NOT_RUNNING, ID);
    assert_true(save_on_delete(data, 1, &made));
    assert_true(remove_snapshot(made.id));
    played.sandbox.record.state = CWSD_STATE(COMPLETED);
    assert_false(save_on_delete(data, 1, &made));
    expect_fault(CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_SANDBOX_NOT_RUNNING, ID);
    played.sandbox.record.state = CWSD_STATE(RUNNING);
    played.container.box = NULL;
    assert_false(save_on_delete(data, 1, &made));
    expect_fault(CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_SANDBOX_NOT_RUNNING, ID);
}

/* Not beyond what may wait, even together with those of others. */
static void no_room_for_all(void **state)
{
    (void)state;
    char *names[] = {(char *)"data", (char *)"more"};
    struct cwsd_snapshot made[2];
    add_volume("more", true);
    for (int i = 1; i < CWSD_MAX_ARCHIVES_AT_ONCE + CWSD_MAX_WAITING_ARCHIVES; i++)
        save("sb-other", "data");
    assert_false(save_on_delete(names, 2, made));
    expect_fault(CWS_GRPC_UNAVAILABLE, CWSD_REASON_FSS_INFLIGHT_LIMIT, "are being made");
    assert_true(save_on_delete(names, 1, made));
    assert_true(remove_snapshot(made[0].id));
    while (count_runs() > 0)
        run_succeeds(first_run(), 1);
}

static void deleted_without_snapshots(void **state)
{
    (void)state;
    char *names[] = {(char *)"data"};
    const cwsd_pb_delete_request request = deleting(names, 1);
    struct cwsd_snapshot made;
    without_archives = true;
    assert_false(cwsd_saving_find_repeated(pool, &request, &made, &world.fault));
    expect_fault(CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NO_SNAPSHOTS, "no file system");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SAVING_TEST(the_volume_that_is_named),
        SAVING_TEST(the_only_volume),
        SAVING_TEST(what_cannot_be_saved),
        SAVING_TEST(a_sandbox_that_does_not_run),
        SAVING_TEST(the_same_again),
        SAVING_TEST(request_ids),
        SAVING_TEST(more_than_its_turns),
        SAVING_TEST(in_the_order_of_the_request),
        SAVING_TEST(all_or_none),
        SAVING_TEST(volumes_that_make_no_sense),
        SAVING_TEST(before_and_after_it_has_volumes),
        SAVING_TEST(no_room_for_all),
        SAVING_TEST(deleted_without_snapshots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
