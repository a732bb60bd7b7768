/* cwsandboxd/query: page tokens that were tampered with, and refusals that name value and rule.
 * What lists hold: test_registry.c. */
#include "support/unit.h"

#include "store/query.h"
#include "support/daemon_help.h"
#include "values/bounds.h"

#define RUNNER     "local-here"
#define ASCENDING  COREWEAVE__SANDBOX__V1__SORT_DIRECTION__SORT_DIRECTION_ASCENDING
#define DESCENDING COREWEAVE__SANDBOX__V1__SORT_DIRECTION__SORT_DIRECTION_DESCENDING

enum { RECORDS = 3 };

/* A registry of three records with sequences 1, 2, 3, and a question about them. */
struct shelf {
    struct cwsd_registry registry;
    struct cwsd_record records[RECORDS];
    cwsd_pb_spec spec;
    cwsd_pb_container container;
    cwsd_pb_container *containers[1];
    cwsd_pb_list_request request;
    struct cwsd_query query;
    struct cwsd_fault fault;
};

static void keep(struct cwsd_record *record)
{
    (void)record; /* the shelf's memory */
}

static void fill(struct shelf *shelf)
{
    memset(shelf, 0, sizeof(*shelf));
    plain_spec(&shelf->spec, &shelf->container, shelf->containers);
    coreweave__sandbox__v1__list_sandboxes_request__init(&shelf->request);
    cwsd_registry_init(&shelf->registry, keep);
    for (size_t i = 0; i < RECORDS; i++) {
        cwsd_record_init(&shelf->records[i], (struct timespec){1, 0});
        shelf->records[i].spec = &shelf->spec;
        assert_int_equal(cwsd_registry_add(&shelf->registry, &shelf->records[i]), CWS_OK);
    }
}

static bool ask(struct shelf *shelf)
{
    shelf->fault.code = CWS_GRPC_OK;
    return cwsd_query_init(&shelf->query, &shelf->request, RUNNER, &shelf->fault);
}

/* Refused, and the message has both texts in it. */
static void assert_refused(struct shelf *shelf, const char *field, const char *value,
                           const char *rule)
{
    assert_false(ask(shelf));
    assert_invalid(&shelf->fault, field);
    if (!strstr(shelf->fault.message, value) || !strstr(shelf->fault.message, rule))
        fail_msg("\"%s\" does not name \"%s\" and \"%s\"", shelf->fault.message, value, rule);
}

/* The sequences of all that follows, such as "2 3". */
static const char *listed(struct shelf *shelf)
{
    static char text[100];
    const struct cwsd_record *record = NULL;
    size_t len = 0;
    text[0] = '\0';
    if (!ask(shelf))
        fail_msg("%s", shelf->fault.message);
    while ((record = cwsd_query_next(&shelf->query, &shelf->registry, record)) != NULL)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%d", len ? " " : "",
                                (int)record->sequence);
    return text;
}

static void take_token(struct shelf *shelf, size_t after, char out_token[CWSD_PAGE_TOKEN_SIZE])
{
    assert_true(ask(shelf));
    cwsd_query_token(&shelf->query, &shelf->records[after], out_token);
    assert_int_equal(strlen(out_token), 32);
    assert_int_equal(strspn(out_token, "0123456789abcdef"), 32);
    shelf->request.page_token = out_token;
}

static void test_refusals_name_value_and_rule(void **state)
{
    (void)state;
    struct shelf shelf;
    fill(&shelf);
    shelf.request.page_size = INT32_MIN;
    assert_refused(&shelf, "page_size", "-2147483648", "must not be negative");
    shelf.request.page_size = 0;
    static const int states[] = {-1, 99, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < CWS_ARRAY_LEN(states); i++) {
        char value[16];
        snprintf(value, sizeof(value), "%d", states[i]);
        shelf.request.state = states[i];
        assert_refused(&shelf, "state", value, "is no state");
        shelf.request.state = CWSD_STATE(UNSPECIFIED);
        shelf.request.sort_direction = states[i];
        assert_refused(&shelf, "sort_direction", value, "is no direction");
        shelf.request.sort_direction = 0;
    }
    assert_true(ask(&shelf));
    cwsd_registry_done(&shelf.registry);
}

static void test_page_sizes(void **state)
{
    (void)state;
    static const struct {
        int32_t asked;
        size_t given;
    } rows[] = {{0, CWSD_DEFAULT_PAGE},
                {1, 1},
                {CWSD_MAX_PAGE, CWSD_MAX_PAGE},
                {CWSD_MAX_PAGE + 1, CWSD_MAX_PAGE},
                {INT32_MAX, CWSD_MAX_PAGE}};
    struct shelf shelf;
    fill(&shelf);
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        shelf.request.page_size = rows[i].asked;
        assert_true(ask(&shelf));
        assert_int_equal(shelf.query.page.size, rows[i].given);
    }
    cwsd_registry_done(&shelf.registry);
}

static void test_tokens_nobody_gave(void **state)
{
    (void)state;
    static const char *const texts[] = {"0",
                                        " ",
                                        "0123456789abcdef0123456789abcde",
                                        "0123456789abcdef0123456789abcdef0",
                                        "0123456789ABCDEF0123456789abcdef",
                                        "0123456789abcdef 123456789abcdef",
                                        "0x23456789abcdef0x23456789abcdef",
                                        "-123456789abcdef+123456789abcdef",
                                        "0123456789abcdef0123456789abcde\n",
                                        "\xff\xfe"};
    struct shelf shelf;
    fill(&shelf);
    for (size_t i = 0; i < CWS_ARRAY_LEN(texts); i++) {
        shelf.request.page_token = (char *)texts[i];
        assert_refused(&shelf, "page_token", "\"", "is not one this service gave");
    }
    shelf.request.page_token = (char *)"next";
    assert_refused(&shelf, "page_token", "\"next\"", "is not one this service gave");
    char endless[5000];
    memset(endless, 'f', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    shelf.request.page_token = endless;
    assert_refused(&shelf, "page_token", "ffff...\"", "is not one this service gave");
    cwsd_registry_done(&shelf.registry);
}

static void test_each_changed_digit_of_the_fingerprint_is_seen(void **state)
{
    (void)state;
    struct shelf shelf;
    char token[CWSD_PAGE_TOKEN_SIZE];
    fill(&shelf);
    take_token(&shelf, 0, token);
    assert_string_equal(listed(&shelf), "2 3");
    for (size_t i = 16; i < 32; i++) {
        char kept = token[i];
        token[i] = kept == '0' ? '1' : '0';
        assert_refused(&shelf, "page_token", "another list", "must not change between pages");
        token[i] = kept;
    }
    assert_true(ask(&shelf));
    cwsd_registry_done(&shelf.registry);
}

static void test_each_filter_belongs_to_the_token(void **state)
{
    (void)state;
    struct shelf shelf;
    char token[CWSD_PAGE_TOKEN_SIZE];
    char *names[] = {(char *)RUNNER};
    fill(&shelf);
    take_token(&shelf, 0, token);
    cwsd_pb_list_request asked = shelf.request, others[6];
    for (size_t i = 0; i < CWS_ARRAY_LEN(others); i++)
        others[i] = asked;
    others[0].state = CWSD_STATE(RUNNING);
    others[1].show_terminated = true;
    others[2].sort_direction = ASCENDING;
    others[3].tags = others[4].runner_ids = others[5].volume_ids = names;
    others[3].n_tags = others[4].n_runner_ids = others[5].n_volume_ids = 1;
    for (size_t i = 0; i < CWS_ARRAY_LEN(others); i++) {
        shelf.request = others[i];
        assert_refused(&shelf, "page_token", "another list", "must not change between pages");
    }
    shelf.request = asked;
    shelf.request.page_size = 7; /* how many is no filter */
    assert_string_equal(listed(&shelf), "2 3");
    cwsd_registry_done(&shelf.registry);
}

static void test_a_place_that_never_was(void **state)
{
    (void)state;
    struct shelf shelf;
    char token[CWSD_PAGE_TOKEN_SIZE];
    fill(&shelf);
    take_token(&shelf, 0, token);
    memset(token, 'f', 16); /* after the last there can be */
    assert_string_equal(listed(&shelf), "");
    shelf.request.page_token = (char *)"";
    shelf.request.sort_direction = DESCENDING;
    take_token(&shelf, 0, token);
    assert_string_equal(listed(&shelf), "");
    memset(token, 'f', 16);
    assert_string_equal(listed(&shelf), "3 2 1");
    cwsd_registry_done(&shelf.registry);
}

/* The record a token was made of may be gone when the next page is asked for. */
static void test_the_last_one_given_was_removed(void **state)
{
    (void)state;
    struct shelf shelf;
    char token[CWSD_PAGE_TOKEN_SIZE];
    fill(&shelf);
    take_token(&shelf, 1, token);
    cwsd_registry_remove(&shelf.registry, &shelf.records[1]);
    assert_string_equal(listed(&shelf), "3");
    cwsd_registry_remove(&shelf.registry, &shelf.records[2]);
    assert_string_equal(listed(&shelf), "");
    cwsd_registry_remove(&shelf.registry, &shelf.records[0]);
    assert_string_equal(listed(&shelf), "");
    cwsd_registry_done(&shelf.registry);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_refusals_name_value_and_rule),
    UNIT_TEST(test_page_sizes),
    UNIT_TEST(test_tokens_nobody_gave),
    UNIT_TEST(test_each_changed_digit_of_the_fingerprint_is_seen),
    UNIT_TEST(test_each_filter_belongs_to_the_token),
    UNIT_TEST(test_a_place_that_never_was),
    UNIT_TEST(test_the_last_one_given_was_removed),
};

UNIT_MAIN(tests)
