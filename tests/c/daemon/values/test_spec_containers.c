/* cwsandboxd/spec_containers: how many containers there may be, their names, and which is the
 * primary one. */
#include "support/daemon_help.h"

#include "values/bounds.h"
#include "values/spec_containers.h"

#define MOST (CWSD_MAX_CONTAINERS + 1)

struct rows {
    cwsd_pb_spec spec;
    cwsd_pb_container containers[MOST];
    cwsd_pb_container *list[MOST];
    char names[MOST][8];
    struct cwsd_fault fault;
};

static void set_primary(struct rows *rows, size_t at, bool primary)
{
    rows->containers[at]._primary_case = COREWEAVE__SANDBOX__V1__CONTAINER___PRIMARY_PRIMARY;
    rows->containers[at].primary = primary;
}

/* c0, c1 and so on; the first one is primary. */
static void make(struct rows *rows, size_t count)
{
    coreweave__sandbox__v1__sandbox_spec__init(&rows->spec);
    for (size_t i = 0; i < count; i++) {
        coreweave__sandbox__v1__container__init(&rows->containers[i]);
        snprintf(rows->names[i], sizeof(rows->names[i]), "c%u", (unsigned)i % 100);
        rows->containers[i].name = rows->names[i];
        rows->list[i] = &rows->containers[i];
    }
    if (count)
        set_primary(rows, 0, true);
    rows->spec.containers = rows->list;
    rows->spec.n_containers = count;
}

static bool check(struct rows *rows)
{
    rows->fault = (struct cwsd_fault){.code = CWS_GRPC_OK};
    bool fine = cwsd_spec_check_containers(&rows->spec, &rows->fault);
    assert_int_equal(fine, rows->fault.code == CWS_GRPC_OK);
    return fine;
}

static void test_how_many(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 2, CWSD_MAX_CONTAINERS, CWSD_MAX_CONTAINERS + 1};
    struct rows rows;
    for (size_t i = 0; i < CWS_ARRAY_LEN(counts); i++) {
        make(&rows, counts[i]);
        bool allowed = counts[i] >= 1 && counts[i] <= CWSD_MAX_CONTAINERS;
        assert_int_equal(check(&rows), allowed);
        if (!allowed)
            assert_invalid(&rows.fault, "spec.containers");
    }
}

static void test_bad_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "Web",
        "-web",
        "web-",
        "a.b",
        "a_b",
        " ",
        "\xc3\xa4",
        "cw-object-store-agent",
        "cw-object-store-agent-restore",
        "cw-object-store-agent-restore-1",
        "cws-engine",
        "dns-egress",
        "dns-egress-probe",
        "a123456789012345678901234567890123456789012345678901234567890123"};
    struct rows rows;
    for (size_t count = 1; count <= 2; count++)
        for (size_t i = 0; i < CWS_ARRAY_LEN(names); i++) {
            char field[64];
            make(&rows, count);
            rows.containers[count - 1].name = (char *)names[i];
            snprintf(field, sizeof(field), "spec.containers[%zu].name", count - 1);
            assert_false(check(&rows));
            assert_invalid(&rows.fault, field);
        }
}

static void test_good_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "a",
        "0",
        "a-b",
        "cws-engine-2",
        "cw-object-store-agents",
        "main",
        "a12345678901234567890123456789012345678901234567890123456789012"};
    struct rows rows;
    make(&rows, 2);
    for (size_t i = 0; i < CWS_ARRAY_LEN(names); i++) {
        rows.containers[1].name = (char *)names[i];
        assert_true(check(&rows));
    }
}

static void test_names_of_several(void **state)
{
    (void)state;
    struct rows rows;
    make(&rows, 3);
    rows.containers[2].name = (char *)"c0";
    assert_false(check(&rows));
    assert_invalid(&rows.fault, "spec.containers[2].name");
    rows.containers[2].name = (char *)"";
    assert_false(check(&rows));
    assert_invalid(&rows.fault, "spec.containers[2].name");
}

static void test_one_primary(void **state)
{
    (void)state;
    struct rows rows;
    make(&rows, 3);
    set_primary(&rows, 0, false);
    assert_false(check(&rows));
    assert_invalid(&rows.fault, "spec.containers");
    set_primary(&rows, 1, true);
    assert_true(check(&rows));
    assert_int_equal(cwsd_spec_primary(&rows.spec), 1);
    set_primary(&rows, 2, true);
    assert_false(check(&rows));
    assert_invalid(&rows.fault, "spec.containers");
}

/* It need not be said of one that is alone, but clients are told. */
static void test_an_only_container(void **state)
{
    (void)state;
    struct rows rows;
    make(&rows, 1);
    rows.containers[0]._primary_case = 0;
    assert_true(check(&rows));
    rows.containers[0].name = (char *)"";
    assert_true(check(&rows));
    assert_int_equal(cwsd_spec_complete(&rows.spec), CWS_OK);
    assert_string_equal(rows.containers[0].name, "main");
    assert_true(rows.containers[0].primary);
    assert_int_equal(rows.containers[0]._primary_case,
                     COREWEAVE__SANDBOX__V1__CONTAINER___PRIMARY_PRIMARY);
    cws_free(rows.containers[0].name);
    make(&rows, 1);
    assert_int_equal(cwsd_spec_complete(&rows.spec), CWS_OK);
    assert_string_equal(rows.containers[0].name, "c0");
    make(&rows, 1);
    rows.containers[0].name = (char *)"";
    cws_alloc_fail_at(1);
    assert_int_equal(cwsd_spec_complete(&rows.spec), CWS_NO_MEMORY);
}

static const struct CMUnitTest tests[] = {
    CWSD_TEST(test_how_many),    CWSD_TEST(test_bad_names),
    CWSD_TEST(test_good_names),  CWSD_TEST(test_names_of_several),
    CWSD_TEST(test_one_primary), CWSD_TEST(test_an_only_container),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
