/* store/resources: found by each key, changed, deleted, pruned. */
#include "support/memory_database.h"

#include "store/resources.h"
#include "support/failing.h"

#define KIND CWSD_RESOURCE_TEMPLATE

static bool try_add(const char *id, const char *name, const char *request_id,
                    struct cwsd_fault *fault)
{
    cwsd_pb_template template = COREWEAVE__SANDBOX__V1__SANDBOX_TEMPLATE__INIT;
    struct cwsd_resource resource = {.kind = KIND,
                                     .id = id,
                                     .name = name,
                                     .request_id = request_id,
                                     .digest = {{1, 2}},
                                     .message = &template};
    template.display_name = (char *)name;
    *fault = (struct cwsd_fault){.code = CWS_GRPC_OK};
    return cwsd_resource_add(database, &resource, fault);
}

static void add(const char *id, const char *name, const char *request_id)
{
    struct cwsd_fault fault;
    if (!try_add(id, name, request_id, &fault))
        fail_msg("%s", fault.message);
}

static bool finds(enum cwsd_resource_kind kind, enum cwsd_resource_key by, const char *key,
                  const char *id)
{
    struct cwsd_resource found;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    if (!cwsd_resource_find(database, kind, by, key, &found, &fault))
        fail_msg("%s", fault.message);
    bool there = found.message && strcmp(found.id, id) == 0;
    assert_true(there || !found.message);
    cwsd_resource_done(&found);
    return there;
}

static void by_each_key(void **state)
{
    (void)state;
    struct cwsd_fault fault;
    add("a", "first", "one");
    add("b", "", "");
    add("c", "", ""); /* no name and no request are nobody's alone */
    assert_true(finds(KIND, CWSD_BY_ID, "a", "a"));
    assert_true(finds(KIND, CWSD_BY_NAME, "first", "a"));
    assert_true(finds(KIND, CWSD_BY_REQUEST, "one", "a"));
    assert_false(finds(KIND, CWSD_BY_NAME, "", "b"));
    assert_false(finds(KIND, CWSD_BY_REQUEST, "", "b"));
    assert_false(finds(CWSD_RESOURCE_VOLUME, CWSD_BY_ID, "a", "a"));
    assert_false(try_add("a", "x", "x", &fault));
    assert_false(try_add("x", "first", "x", &fault));
    assert_false(try_add("x", "x", "one", &fault));
    assert_false(finds(KIND, CWSD_BY_ID, "x", "x"));
}

static void deleted_and_pruned(void **state)
{
    (void)state;
    struct cwsd_resource found;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    size_t count;
    const char *const ids[] = {"a", "b", "c"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(ids); i++) {
        add(ids[i], "name", "");
        assert_true(cwsd_resource_find(database, KIND, CWSD_BY_NAME, "name", &found, &fault));
        found.deleted = true;
        assert_true(cwsd_resource_save(database, &found, &fault));
        cwsd_resource_done(&found);
        assert_false(finds(KIND, CWSD_BY_NAME, "name", ids[i])); /* free again */
        assert_true(finds(KIND, CWSD_BY_ID, ids[i], ids[i]));
    }
    add("d", "name", "");
    assert_true(cwsd_resource_count(database, KIND, &count, &fault));
    assert_int_equal(count, 1);
    assert_true(cwsd_resource_prune(database, KIND, 2, &fault));
    assert_false(finds(KIND, CWSD_BY_ID, "a", "a"));
    assert_true(finds(KIND, CWSD_BY_ID, "b", "b"));
    assert_true(cwsd_resource_find(database, KIND, CWSD_BY_ID, "d", &found, &fault));
    assert_true(cwsd_resource_remove(database, &found, &fault));
    cwsd_resource_done(&found);
    assert_false(finds(KIND, CWSD_BY_ID, "d", "d"));
}

static void out_of_memory(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        struct cwsd_fault fault;
        struct cwsd_resource found;
        cws_alloc_fail_at(n);
        bool done = try_add("a", "name", "one", &fault) &&
                    cwsd_resource_find(database, KIND, CWSD_BY_ID, "a", &found, &fault);
        bool more = failing_was_reached(n);
        assert_true(done || fault.code == CWS_GRPC_RESOURCE_EXHAUSTED);
        if (done)
            cwsd_resource_done(&found);
        if (!more)
            break;
        if (finds(KIND, CWSD_BY_ID, "a", "a")) {
            assert_true(cwsd_resource_find(database, KIND, CWSD_BY_ID, "a", &found, &fault));
            assert_true(cwsd_resource_remove(database, &found, &fault));
            cwsd_resource_done(&found);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {DATABASE_TEST(by_each_key),
                                       DATABASE_TEST(deleted_and_pruned),
                                       DATABASE_TEST(out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
