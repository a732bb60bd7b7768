/* cwsandboxd/record, registry, index, query, view: states, look-up, forgetting, pages. */
#include "support/daemon_help.h"

#include "service/view.h"
#include "store/query.h"
#include "values/bounds.h"

#define RUNNER "local-here"

static const struct timespec noon = {43200, 500};
static unsigned released;

static void release(struct cwsd_record *record)
{
    cwsd_record_done(record);
    cws_free(record);
    released++;
}

static cwsd_pb_spec *make_spec(const char *tag, const char *other_tag)
{
    cwsd_pb_spec spec;
    cwsd_pb_container container;
    cwsd_pb_container *containers[1];
    char *tags[] = {(char *)tag, (char *)other_tag};
    plain_spec(&spec, &container, containers);
    spec.tags = tags;
    spec.n_tags = other_tag ? 2 : tag ? 1 : 0;
    return copy_of(&spec);
}

static struct cwsd_record *make_record(const char *request_id, const char *tag,
                                       const char *other_tag)
{
    struct cwsd_record *record = cws_malloc(sizeof(*record));
    cwsd_record_init(record, noon);
    record->spec = make_spec(tag, other_tag);
    record->display_name = cws_strdup("");
    record->request_id = request_id ? cws_strdup(request_id) : NULL;
    record->spec_bytes = 100;
    return record;
}

static struct cwsd_record *add(struct cwsd_registry *registry, const char *request_id,
                               const char *tag, const char *other_tag)
{
    struct cwsd_record *record = make_record(request_id, tag, other_tag);
    assert_int_equal(cwsd_registry_add(registry, record), CWS_OK);
    return record;
}

static void finish(struct cwsd_registry *registry, struct cwsd_record *record)
{
    cwsd_record_gone(record, NULL, noon);
    cwsd_registry_finish(registry, record);
}

/* ---- states --------------------------------------------------------------------------------- */

static void states(void **state)
{
    (void)state;
    static const struct {
        int exit_code; /* -1: none */
        enum cwsd_cause cause;
        const char *broken;
        int wanted;
        const char *reason;
    } ends[] = {
        {0, CWSD_CAUSE_NONE, NULL, CWSD_STATE(COMPLETED), "exit code 0"},
        {3, CWSD_CAUSE_NONE, NULL, CWSD_STATE(FAILED), "exit code 3"},
        {137, CWSD_CAUSE_NONE, NULL, CWSD_STATE(FAILED), "signal 9"},
        {-1, CWSD_CAUSE_NONE, "bubblewrap: no", CWSD_STATE(FAILED), "bubblewrap: no"},
        {-1, CWSD_CAUSE_NONE, NULL, CWSD_STATE(FAILED), "lost"},
        {0, CWSD_CAUSE_DELETE, NULL, CWSD_STATE(COMPLETED), "deleted"},
        {1, CWSD_CAUSE_DELETE, NULL, CWSD_STATE(TERMINATED), "deleted"},
        {137, CWSD_CAUSE_DELETE, "x", CWSD_STATE(TERMINATED), "deleted"},
        {-1, CWSD_CAUSE_DELETE, "x", CWSD_STATE(TERMINATED), "deleted"},
        {0, CWSD_CAUSE_LIFETIME, NULL, CWSD_STATE(TERMINATED), "lifetime"},
        {0, CWSD_CAUSE_SHUTDOWN, NULL, CWSD_STATE(TERMINATED), "daemon"},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(ends); i++) {
        struct cwsd_record record;
        cwsd_record_init(&record, noon);
        assert_int_equal(record.state, CWSD_STATE(CREATING));
        cwsd_record_running(&record, noon);
        assert_int_equal(record.state, CWSD_STATE(RUNNING));
        if (ends[i].cause != CWSD_CAUSE_NONE) {
            cwsd_record_stopping(&record, ends[i].cause);
            cwsd_record_stopping(&record, CWSD_CAUSE_SHUTDOWN); /* the first cause stays */
            assert_int_equal(record.state, CWSD_STATE(TERMINATING));
        }
        if (ends[i].exit_code >= 0) {
            cwsd_record_exited(&record, ends[i].exit_code);
            assert_int_equal(record.state, CWSD_STATE(TERMINATING));
        }
        assert_false(cwsd_record_is_finished(&record));
        cwsd_record_gone(&record, ends[i].broken, noon);
        assert_true(cwsd_record_is_finished(&record));
        assert_int_equal(record.state, ends[i].wanted);
        if (!strstr(record.reason, ends[i].reason))
            fail_msg("\"%s\" has no \"%s\"", record.reason, ends[i].reason);
        cwsd_record_stopping(&record, CWSD_CAUSE_DELETE); /* changes nothing any more */
        assert_int_equal(record.state, ends[i].wanted);
    }
}

static void stopped_while_creating_never_runs(void **state)
{
    (void)state;
    struct cwsd_record record;
    cwsd_record_init(&record, noon);
    cwsd_record_stopping(&record, CWSD_CAUSE_DELETE);
    cwsd_record_running(&record, noon);
    assert_int_equal(record.state, CWSD_STATE(TERMINATING));
}

static void reasons_are_text(void **state)
{
    (void)state;
    struct cwsd_record record;
    char longer[400];
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    memcpy(longer + 198, "\xc3\xa4", 2); /* cut in the middle by the room there is */
    cwsd_record_init(&record, noon);
    cwsd_record_gone(&record, longer, noon);
    assert_int_equal(strlen(record.reason), sizeof(record.reason) - 1);
    assert_int_equal(record.reason[198], '?');
}

/* ---- look-up -------------------------------------------------------------------------------- */

static void many_are_found(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    struct cwsd_registry registry;
    char ids[COUNT][CWSD_ID_SIZE];
    char request_id[16];
    cwsd_registry_init(&registry, release);
    for (int i = 0; i < COUNT; i++) {
        snprintf(request_id, sizeof(request_id), "r%d", i);
        strcpy(ids[i], add(&registry, i % 2 ? request_id : NULL, NULL, NULL)->id);
    }
    for (int i = 0; i < COUNT; i++) {
        snprintf(request_id, sizeof(request_id), "r%d", i);
        struct cwsd_record *record = cwsd_registry_find(&registry, ids[i]);
        assert_non_null(record);
        assert_int_equal(record->sequence, i + 1);
        assert_ptr_equal(cwsd_registry_find_request(&registry, request_id), i % 2 ? record : NULL);
        if (i % 3 == 0) {
            cwsd_registry_remove(&registry, record);
            release(record);
            assert_null(cwsd_registry_find(&registry, ids[i]));
            assert_null(cwsd_registry_find_request(&registry, request_id));
        }
    }
    assert_null(cwsd_registry_find(&registry, "sb-0"));
    assert_null(cwsd_registry_find(&registry, ""));
    assert_int_equal(registry.live, COUNT - (COUNT + 2) / 3);
    cwsd_registry_done(&registry);
}

static void an_id_is_taken_once(void **state)
{
    (void)state;
    struct cwsd_registry registry;
    cwsd_registry_init(&registry, release);
    struct cwsd_record *first = add(&registry, NULL, NULL, NULL);
    struct cwsd_record *second = make_record(NULL, NULL, NULL);
    strcpy(second->id, first->id);
    assert_int_equal(cwsd_registry_add(&registry, second), CWS_INVALID);
    release(second);
    cwsd_registry_done(&registry);
}

static void add_without_memory(void **state)
{
    (void)state;
    struct cwsd_registry registry;
    cwsd_registry_init(&registry, release);
    struct cwsd_record *record = make_record("r", NULL, NULL);
    for (size_t n = 1; n <= 2; n++) {
        cws_alloc_fail_at(n);
        assert_int_equal(cwsd_registry_add(&registry, record), CWS_NO_MEMORY);
        assert_null(cwsd_registry_find(&registry, record->id));
        assert_null(cwsd_registry_find_request(&registry, "r"));
        cwsd_index_done(&registry.by_id);
        cwsd_index_done(&registry.by_request);
    }
    cws_alloc_fail_at(0);
    assert_int_equal(cwsd_registry_add(&registry, record), CWS_OK);
    assert_int_equal(registry.live, 1);
    cwsd_registry_done(&registry);
}

static void the_oldest_end_is_forgotten_first(void **state)
{
    (void)state;
    struct cwsd_registry registry;
    struct cwsd_record *records[5];
    char ids[5][CWSD_ID_SIZE];
    cwsd_registry_init(&registry, release);
    registry.max_finished = 2;
    for (int i = 0; i < 5; i++) {
        records[i] = add(&registry, i == 3 ? "key" : NULL, NULL, NULL);
        strcpy(ids[i], records[i]->id);
    }
    released = 0;
    finish(&registry, records[3]);
    finish(&registry, records[0]);
    assert_int_equal(released, 0);
    assert_non_null(cwsd_registry_find_request(&registry, "key"));
    finish(&registry, records[4]);
    assert_int_equal(released, 1);
    assert_null(cwsd_registry_find(&registry, ids[3]));
    assert_null(cwsd_registry_find_request(&registry, "key"));
    assert_non_null(cwsd_registry_find(&registry, ids[0]));
    assert_non_null(cwsd_registry_find(&registry, ids[1])); /* lives */
    assert_int_equal(registry.live, 2);

    registry.max_finished_bytes = 150;
    finish(&registry, records[1]);
    assert_int_equal(registry.finished_count, 1);
    assert_int_equal(registry.finished_bytes, 100);
    assert_null(cwsd_registry_find(&registry, ids[4]));
    registry.max_finished_bytes = 99; /* not even the one that just ended fits */
    finish(&registry, records[2]);
    assert_int_equal(registry.finished_count, 0);
    assert_int_equal(registry.finished_bytes, 0);
    assert_null(cwsd_registry_find(&registry, ids[2]));
    cwsd_registry_done(&registry);
}

/* ---- lists ---------------------------------------------------------------------------------- */

struct shelf {
    struct cwsd_registry registry;
    cwsd_pb_list_request request;
    struct cwsd_fault fault;
};

/* Sequences: 1 a, 2 a+b, 3 b (completed), 4 none, 5 a (failed), 6 a+b */
static void fill(struct shelf *shelf)
{
    memset(shelf, 0, sizeof(*shelf));
    coreweave__sandbox__v1__list_sandboxes_request__init(&shelf->request);
    cwsd_registry_init(&shelf->registry, release);
    add(&shelf->registry, NULL, "a", NULL);
    cwsd_record_running(add(&shelf->registry, NULL, "a", "b"), noon);
    struct cwsd_record *completed = add(&shelf->registry, NULL, "b", NULL);
    cwsd_record_exited(completed, 0);
    finish(&shelf->registry, completed);
    add(&shelf->registry, NULL, NULL, NULL);
    finish(&shelf->registry, add(&shelf->registry, NULL, "a", NULL));
    add(&shelf->registry, NULL, "b", "a");
}

/* One page as text, such as "1 2 4"; the token for the next one is put into *out_token. */
static const char *page(struct shelf *shelf, char out_token[CWSD_PAGE_TOKEN_SIZE])
{
    static char text[100];
    struct cwsd_query query;
    const struct cwsd_record *last = NULL, *next;
    size_t count = 0;
    text[0] = out_token[0] = '\0';
    if (!cwsd_query_init(&query, &shelf->request, RUNNER, &shelf->fault))
        fail_msg("%s", shelf->fault.message);
    while ((next = cwsd_query_next(&query, &shelf->registry, last)) != NULL) {
        if (count++ == query.page.size) {
            cwsd_query_token(&query, last, out_token);
            break;
        }
        sprintf(text + strlen(text), "%s%d", last ? " " : "", (int)next->sequence);
        last = next;
    }
    return text;
}

static const char *one_page(struct shelf *shelf)
{
    char token[CWSD_PAGE_TOKEN_SIZE];
    const char *text = page(shelf, token);
    assert_string_equal(token, "");
    return text;
}

static void filters(void **state)
{
    (void)state;
    struct shelf shelf;
    char *tags[] = {(char *)"a", (char *)"b"};
    char *runners[] = {(char *)"elsewhere", (char *)RUNNER};
    fill(&shelf);
    assert_string_equal(one_page(&shelf), "1 2 4 6");
    shelf.request.show_terminated = true;
    assert_string_equal(one_page(&shelf), "1 2 3 4 5 6");
    shelf.request.tags = tags;
    shelf.request.n_tags = 1;
    assert_string_equal(one_page(&shelf), "1 2 5 6");
    shelf.request.n_tags = 2;
    assert_string_equal(one_page(&shelf), "2 6");
    shelf.request.n_tags = 0;
    shelf.request.show_terminated = false;
    shelf.request.state = CWSD_STATE(COMPLETED);
    assert_string_equal(one_page(&shelf), "3");
    shelf.request.state = CWSD_STATE(RUNNING);
    assert_string_equal(one_page(&shelf), "2");
    shelf.request.state = CWSD_STATE(UNSPECIFIED);
    shelf.request.runner_ids = runners;
    shelf.request.n_runner_ids = 1;
    assert_string_equal(one_page(&shelf), "");
    shelf.request.n_runner_ids = 2;
    assert_string_equal(one_page(&shelf), "1 2 4 6");
    shelf.request.volume_ids = runners;
    shelf.request.n_volume_ids = 1;
    assert_string_equal(one_page(&shelf), "");
    shelf.request.n_volume_ids = 0;
    shelf.request.sort_direction =
        COREWEAVE__SANDBOX__V1__SORT_DIRECTION__SORT_DIRECTION_DESCENDING;
    assert_string_equal(one_page(&shelf), "6 4 2 1");
    cwsd_registry_done(&shelf.registry);
}

static void pages_stay_put(void **state)
{
    (void)state;
    struct shelf shelf;
    char token[CWSD_PAGE_TOKEN_SIZE], next[CWSD_PAGE_TOKEN_SIZE];
    fill(&shelf);
    shelf.request.page_size = 2;
    assert_string_equal(page(&shelf, token), "1 2");
    struct cwsd_record *second =
        cws_list_entry(shelf.registry.all.next->next, struct cwsd_record, in_all);
    finish(&shelf.registry, second); /* the page's last one is not on the list any more */
    add(&shelf.registry, NULL, "a", NULL);
    shelf.request.page_token = token;
    assert_string_equal(page(&shelf, next), "4 6");
    shelf.request.page_size = 50; /* may change between pages */
    shelf.request.page_token = next;
    assert_string_equal(page(&shelf, token), "7");
    assert_string_equal(token, "");

    shelf.request.page_token = (char *)"";
    shelf.request.sort_direction =
        COREWEAVE__SANDBOX__V1__SORT_DIRECTION__SORT_DIRECTION_DESCENDING;
    shelf.request.page_size = 2;
    assert_string_equal(page(&shelf, token), "7 6");
    shelf.request.page_token = token;
    assert_string_equal(page(&shelf, next), "4 1");
    assert_string_equal(next, "");
    cwsd_registry_done(&shelf.registry);
}

static void bad_lists(void **state)
{
    (void)state;
    struct shelf shelf;
    struct cwsd_query query;
    char token[CWSD_PAGE_TOKEN_SIZE];
    char *tags[] = {(char *)"a"};
    fill(&shelf);
    shelf.request.page_size = 1;
    page(&shelf, token);
    shelf.request.page_token = token;
    shelf.request.tags = tags;
    shelf.request.n_tags = 1; /* another question */
    assert_false(cwsd_query_init(&query, &shelf.request, RUNNER, &shelf.fault));
    assert_invalid(&shelf.fault, "page_token");
    shelf.request.n_tags = 0;
    assert_true(cwsd_query_init(&query, &shelf.request, RUNNER, &shelf.fault));
    token[0] = token[0] == 'x' ? 'y' : 'x';
    assert_false(cwsd_query_init(&query, &shelf.request, RUNNER, &shelf.fault));
    assert_invalid(&shelf.fault, "page_token");
    shelf.request.page_token = (char *)"12";
    assert_false(cwsd_query_init(&query, &shelf.request, RUNNER, &shelf.fault));
    shelf.request.page_token = (char *)"";
    shelf.request.page_size = -1;
    assert_false(cwsd_query_init(&query, &shelf.request, RUNNER, &shelf.fault));
    assert_invalid(&shelf.fault, "page_size");
    shelf.request.page_size = 5000;
    assert_true(cwsd_query_init(&query, &shelf.request, RUNNER, &shelf.fault));
    assert_int_equal(query.page.size, CWSD_MAX_PAGE);
    shelf.request.page_size = 0;
    assert_true(cwsd_query_init(&query, &shelf.request, RUNNER, &shelf.fault));
    assert_int_equal(query.page.size, CWSD_DEFAULT_PAGE);
    shelf.request.state = 77;
    assert_false(cwsd_query_init(&query, &shelf.request, RUNNER, &shelf.fault));
    assert_invalid(&shelf.fault, "state");
    shelf.request.state = 0;
    shelf.request.sort_direction = 7;
    assert_false(cwsd_query_init(&query, &shelf.request, RUNNER, &shelf.fault));
    assert_invalid(&shelf.fault, "sort_direction");
    cwsd_registry_done(&shelf.registry);
}

/* ---- view ----------------------------------------------------------------------------------- */

static void views(void **state)
{
    (void)state;
    struct cwsd_view view;
    struct cwsd_record *record = make_record(NULL, "a", NULL);
    cwsd_view_init(&view, record, RUNNER);
    cwsd_pb_sandbox *sandbox = copy_of(&view.sandbox);
    assert_string_equal(sandbox->sandbox_id, record->id);
    assert_int_equal(sandbox->status->state, CWSD_STATE(CREATING));
    assert_int_equal(sandbox->status->create_time->seconds, 43200);
    assert_int_equal(sandbox->status->create_time->nanos, 500);
    assert_null(sandbox->status->start_time);
    assert_null(sandbox->status->end_time);
    assert_int_equal(sandbox->status->_exit_code_case, 0);
    assert_string_equal(sandbox->status->runner_id, RUNNER);
    assert_string_equal(sandbox->spec->tags[0], "a");
    assert_string_equal(sandbox->status->container_statuses[0]->name, "main");
    cwsd_wire_free(sandbox);

    cwsd_record_running(record, noon);
    cwsd_record_exited(record, 0);
    cwsd_record_gone(record, NULL, noon);
    cwsd_view_init(&view, record, RUNNER);
    sandbox = copy_of(&view.sandbox);
    assert_non_null(sandbox->status->start_time);
    assert_non_null(sandbox->status->end_time);
    /* Given, though it is the default value. */
    assert_int_equal(sandbox->status->_exit_code_case, 9);
    assert_int_equal(sandbox->status->exit_code, 0);
    assert_int_equal(sandbox->status->state, CWSD_STATE(COMPLETED));
    cwsd_wire_free(sandbox);
    release(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CWSD_TEST(states),
        CWSD_TEST(stopped_while_creating_never_runs),
        CWSD_TEST(reasons_are_text),
        CWSD_TEST(many_are_found),
        CWSD_TEST(an_id_is_taken_once),
        CWSD_TEST(add_without_memory),
        CWSD_TEST(the_oldest_end_is_forgotten_first),
        CWSD_TEST(filters),
        CWSD_TEST(pages_stay_put),
        CWSD_TEST(bad_lists),
        CWSD_TEST(views),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
