/* store/sandbox_rows, registry: records written, changed, forgotten, and read by the next daemon.
 */
#include "support/daemon_help.h"

#include <signal.h>
#include <sys/resource.h>

#include "store/registry.h"
#include "store/sandbox_rows.h"
#include "store/schema.h"
#include "support/failing.h"

static const struct timespec noon = {43200, 500};

static struct cwsd_database *open_memory(void)
{
    struct cwsd_database *database;
    struct cws_error err;
    if (cwsd_database_open(NULL, &cwsd_schema, &database, &err) != CWS_OK)
        fail_msg("%s", err.text);
    return database;
}

/* Of two containers, the first with a file. */
static struct cwsd_record *make_record(uint64_t sequence)
{
    struct cwsd_record *record = cws_calloc(1, sizeof(*record));
    cwsd_pb_spec spec;
    cwsd_pb_container first, second, *containers[2];
    cwsd_pb_file file = COREWEAVE__SANDBOX__V1__FILE_MOUNT__INIT, *files[] = {&file};
    plain_spec(&spec, &first, containers);
    second = first;
    second.name = (char *)"beside";
    containers[1] = &second;
    spec.n_containers = 2;
    file.path = (char *)"/f";
    file.content.data = (uint8_t *)"content";
    file.content.len = 7;
    first.files = files;
    first.n_files = 1;
    cwsd_record_init(record, noon);
    record->sequence = sequence;
    record->spec = copy_of(&spec);
    record->rows = cws_calloc(2, sizeof(*record->rows));
    cwsd_row_init(&record->rows[0]);
    cwsd_row_init(&record->rows[1]);
    record->display_name = cws_strdup("shown");
    record->digest.half[1] = sequence;
    return record;
}

static void free_record(struct cwsd_record *record)
{
    cwsd_record_done(record);
    cws_free(record);
}

/* What a daemon finds; NULL at the end. The cursor stays in `reading`. */
static struct cwsd_statement reading;

static struct cwsd_record *next(void)
{
    struct cwsd_record *record = cws_calloc(1, sizeof(*record));
    struct cws_error err;
    bool more;
    cwsd_record_init(record, noon);
    if (cwsd_sandbox_rows_next(&reading, record, &more, &err) != CWS_OK)
        fail_msg("%s", err.text);
    if (more)
        return record;
    free_record(record);
    cwsd_statement_done(&reading);
    return NULL;
}

static void assert_same(const struct cwsd_record *a, const struct cwsd_record *b)
{
    assert_string_equal(a->id, b->id);
    assert_int_equal(a->sequence, b->sequence);
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->cause, b->cause);
    assert_int_equal(a->deleted, b->deleted);
    assert_int_equal(a->has_exit_code, b->has_exit_code);
    assert_int_equal(a->exit_code, b->exit_code);
    assert_string_equal(a->reason, b->reason);
    assert_string_equal(a->display_name, b->display_name);
    assert_true(cwsd_digest_equal(a->digest, b->digest));
    assert_memory_equal(&a->created, &b->created, sizeof(a->created));
    assert_memory_equal(&a->started, &b->started, sizeof(a->started));
    assert_memory_equal(&a->ended, &b->ended, sizeof(a->ended));
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(a->rows[i].state, b->rows[i].state);
        assert_int_equal(a->rows[i].stopped, b->rows[i].stopped);
        assert_int_equal(a->rows[i].has_exit_code, b->rows[i].has_exit_code);
        assert_int_equal(a->rows[i].exit_code, b->rows[i].exit_code);
    }
}

static void written_and_read(void **state)
{
    (void)state;
    struct cwsd_database *database = open_memory();
    struct cwsd_sandbox_rows rows;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    struct cws_error err;
    struct cwsd_record *live = make_record(1), *ended = make_record(2), *gone = make_record(3);
    assert_int_equal(cwsd_sandbox_rows_init(&rows, database, &err), CWS_OK);
    ended->request_id = cws_strdup("request");
    ended->source_template_id = cws_strdup("tmpl-1");
    ended->source_template_revision = 4;
    assert_true(cwsd_sandbox_rows_add(&rows, live, &fault));
    assert_true(cwsd_sandbox_rows_add(&rows, ended, &fault));
    assert_true(cwsd_sandbox_rows_add(&rows, gone, &fault));
    assert_int_equal(live->spec->containers[0]->files[0]->content.len, 7); /* still there */
    cwsd_record_running(ended, noon);
    cwsd_row_exited(&ended->rows[0], -3);
    cwsd_row_stopping(&ended->rows[1]);
    cwsd_record_exited(ended, -3);
    cwsd_record_gone(ended, NULL, noon);
    ended->deleted = true;
    cwsd_sandbox_rows_save(&rows, ended);
    cwsd_sandbox_rows_remove(&rows, gone);
    assert_int_equal(cwsd_sandbox_rows_begin(&rows, &reading, &err), CWS_OK);
    struct cwsd_record *read = next(); /* the finished first */
    assert_same(read, ended);
    assert_string_equal(read->request_id, "request");
    assert_string_equal(read->source_template_id, "tmpl-1");
    assert_int_equal(read->source_template_revision, 4);
    assert_string_equal(read->spec->containers[0]->files[0]->path, "/f");
    assert_int_equal(read->spec->containers[0]->files[0]->content.len, 0);
    assert_string_equal(read->spec->containers[1]->name, "beside");
    free_record(read);
    read = next();
    assert_same(read, live);
    assert_null(read->request_id);
    cwsd_record_orphaned(read, noon);
    assert_int_equal(read->state, CWSD_STATE(FAILED));
    assert_int_equal(read->rows[1].state, CWSD_STATE(FAILED));
    assert_non_null(strstr(read->reason, "ended unexpectedly"));
    free_record(read);
    assert_null(next());
    cwsd_sandbox_rows_done(&rows);
    free_record(live);
    free_record(ended);
    free_record(gone);
    cwsd_database_close(database);
}

/* How a sandbox fared whose daemon died at that moment. */
static void orphans(void **state)
{
    (void)state;
    struct cwsd_record *stopped = make_record(1), *over = make_record(2), *broken = make_record(3);
    cwsd_record_stopping(stopped, CWSD_CAUSE_DELETE);
    cwsd_record_orphaned(stopped, noon);
    assert_int_equal(stopped->state, CWSD_STATE(TERMINATED));
    cwsd_record_exited(over, 0);
    cwsd_record_orphaned(over, noon);
    assert_int_equal(over->state, CWSD_STATE(COMPLETED));
    strcpy(broken->reason, "no room for its files");
    cwsd_record_orphaned(broken, noon);
    assert_int_equal(broken->state, CWSD_STATE(FAILED));
    assert_string_equal(broken->reason, "no room for its files");
    free_record(stopped);
    free_record(over);
    free_record(broken);
}

static void without_a_database(void **state)
{
    (void)state;
    struct cwsd_sandbox_rows rows;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    struct cws_error err;
    struct cwsd_record *record = make_record(1);
    assert_int_equal(cwsd_sandbox_rows_init(&rows, NULL, &err), CWS_OK);
    assert_true(cwsd_sandbox_rows_add(&rows, record, &fault));
    assert_false(record->kept);
    cwsd_sandbox_rows_save(&rows, record);
    assert_true(cwsd_sandbox_rows_retry(&rows));
    assert_int_equal(cwsd_sandbox_rows_begin(&rows, &reading, &err), CWS_OK);
    assert_null(next());
    cwsd_sandbox_rows_remove(&rows, record);
    cwsd_sandbox_rows_done(&rows);
    free_record(record);
}

/* A change that finds no room is written later. */
static void no_room_for_a_change(void **state)
{
    (void)state;
    char dir[] = "/tmp/cwsd-rows-XXXXXX", command[64];
    struct cwsd_database *database;
    struct cwsd_sandbox_rows rows;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    struct cws_error err;
    struct rlimit usual, none;
    struct cwsd_record *record = make_record(1), *refused = make_record(2);
    assert_non_null(mkdtemp(dir));
    assert_int_equal(cwsd_database_open(dir, &cwsd_schema, &database, &err), CWS_OK);
    assert_int_equal(cwsd_sandbox_rows_init(&rows, database, &err), CWS_OK);
    assert_true(cwsd_sandbox_rows_add(&rows, record, &fault));
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &usual), 0);
    none = (struct rlimit){1, usual.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    bool added = cwsd_sandbox_rows_add(&rows, refused, &fault);
    cwsd_record_running(record, noon);
    cwsd_sandbox_rows_save(&rows, record);
    cwsd_sandbox_rows_save(&rows, record);
    bool early = cwsd_sandbox_rows_retry(&rows);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &usual), 0);
    assert_false(added);
    assert_int_equal(fault.code, CWS_GRPC_RESOURCE_EXHAUSTED);
    assert_false(refused->kept);
    assert_false(early);
    assert_true(cwsd_sandbox_rows_retry(&rows));
    assert_int_equal(cwsd_sandbox_rows_begin(&rows, &reading, &err), CWS_OK);
    struct cwsd_record *read = next();
    assert_int_equal(read->state, CWSD_STATE(RUNNING));
    free_record(read);
    assert_null(next());
    cwsd_sandbox_rows_done(&rows);
    cwsd_database_close(database);
    free_record(record);
    free_record(refused);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

static void out_of_memory(void **state)
{
    (void)state;
    struct cwsd_database *database = open_memory();
    struct cwsd_sandbox_rows rows;
    struct cws_error err;
    assert_int_equal(cwsd_sandbox_rows_init(&rows, database, &err), CWS_OK);
    for (size_t n = 1;; n++) {
        struct cwsd_record *record = make_record(n);
        struct cwsd_fault fault = {.code = CWS_GRPC_OK};
        cws_alloc_fail_at(n);
        bool added = cwsd_sandbox_rows_add(&rows, record, &fault);
        if (added)
            cwsd_sandbox_rows_save(&rows, record);
        bool more = failing_was_reached(n);
        assert_true(added || fault.code == CWS_GRPC_RESOURCE_EXHAUSTED);
        assert_true(cwsd_sandbox_rows_retry(&rows));
        cwsd_sandbox_rows_remove(&rows, record);
        free_record(record);
        if (!more)
            break;
    }
    cwsd_sandbox_rows_done(&rows);
    cwsd_database_close(database);
}

/* ---- the registry --------------------------------------------------------------------------- */

static void restored_in_order(void **state)
{
    (void)state;
    static const uint64_t given[] = {5, 2, 9, 7, 1};
    struct cwsd_registry registry;
    cwsd_registry_init(&registry, free_record);
    for (size_t i = 0; i < CWS_ARRAY_LEN(given); i++)
        assert_int_equal(cwsd_registry_restore(&registry, make_record(given[i])), CWS_OK);
    struct cwsd_record *added = make_record(0);
    assert_int_equal(cwsd_registry_add(&registry, added), CWS_OK);
    assert_int_equal(added->sequence, 10);
    uint64_t before = 0;
    for (struct cws_list *node = registry.all.next; node != &registry.all; node = node->next) {
        const struct cwsd_record *record = cws_list_entry(node, struct cwsd_record, in_all);
        assert_true(record->sequence > before);
        before = record->sequence;
    }
    assert_int_equal(before, 10);
    assert_int_equal(registry.live, 6);
    cwsd_registry_done(&registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CWSD_TEST(written_and_read),     CWSD_TEST(orphans),       CWSD_TEST(without_a_database),
        CWSD_TEST(no_room_for_a_change), CWSD_TEST(out_of_memory), CWSD_TEST(restored_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
