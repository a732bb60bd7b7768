/* cwsandboxd/pairs: maps of every message are sorted in place, and keys given twice are found. */
#include "support/unit.h"

#include "support/daemon_help.h"
#include "values/pairs.h"

enum { MOST = 300 };

typedef Coreweave__Sandbox__V1__ExecStreamInit__EnvEntry entry_message;

struct map {
    entry_message messages[MOST];
    entry_message *entries[MOST];
    char keys[MOST][8];
    struct cwsd_pairs pairs;
};

static void make(struct map *map, const char *const *keys, size_t count)
{
    static const char *const values[] = {"0", "1", "2", "3", "4", "5", "6", "7"};
    for (size_t i = 0; i < count; i++) {
        coreweave__sandbox__v1__exec_stream_init__env_entry__init(&map->messages[i]);
        map->messages[i].key = (char *)keys[i];
        map->messages[i].value = (char *)values[i % CWS_ARRAY_LEN(values)];
        map->entries[i] = &map->messages[i];
    }
    map->pairs = (struct cwsd_pairs){(void **)map->entries, count};
}

static void test_sorted_by_bytes(void **state)
{
    (void)state;
    static const char *const keys[] = {"b", "\xc3\xa4", "", "aa", "B", "a"};
    static const char *const sorted[] = {"", "B", "a", "aa", "b", "\xc3\xa4"};
    static const char *const values[] = {"2", "4", "5", "3", "0", "1"}; /* go with their keys */
    struct map map;
    make(&map, keys, CWS_ARRAY_LEN(keys));
    assert_null(cwsd_pairs_sort(&map.pairs));
    for (size_t i = 0; i < CWS_ARRAY_LEN(keys); i++) {
        assert_string_equal(cwsd_pairs_key(&map.pairs, i), sorted[i]);
        assert_string_equal(cwsd_pairs_value(&map.pairs, i), values[i]);
    }
}

static void test_a_key_given_twice(void **state)
{
    (void)state;
    static const struct {
        const char *keys[4];
        size_t count;
        const char *twice; /* NULL: none */
    } rows[] = {
        {{NULL}, 0, NULL},
        {{"a"}, 1, NULL},
        {{"a", "A", "aa", "a "}, 4, NULL},
        {{"a", "a"}, 2, "a"},
        {{"", ""}, 2, ""},
        {{"b", "c", "a", "b"}, 4, "b"},
        {{"z", "y", "x", "z"}, 4, "z"},
        {{"a", "a", "a", "a"}, 4, "a"},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        struct map map;
        make(&map, rows[i].keys, rows[i].count);
        const char *twice = cwsd_pairs_sort(&map.pairs);
        if (!twice != !rows[i].twice)
            fail_msg("row %zu: %s", i, twice ? twice : "nothing");
        if (twice)
            assert_string_equal(twice, rows[i].twice);
    }
}

static void test_many(void **state)
{
    (void)state;
    struct map *map = cws_calloc(1, sizeof(*map));
    const char *keys[MOST];
    for (size_t i = 0; i < MOST; i++) {
        snprintf(map->keys[i], sizeof(map->keys[i]), "k%03zu", i * 7 % MOST);
        keys[i] = map->keys[i];
    }
    make(map, keys, MOST);
    assert_null(cwsd_pairs_sort(&map->pairs));
    for (size_t i = 1; i < MOST; i++)
        assert_true(strcmp(cwsd_pairs_key(&map->pairs, i - 1), cwsd_pairs_key(&map->pairs, i)) < 0);
    map->messages[0].key = map->keys[MOST - 1];
    assert_string_equal(cwsd_pairs_sort(&map->pairs), map->keys[MOST - 1]);
    cws_free(map);
}

/* Every map of the service has entries of this shape; a request without the field has none. */
static void test_maps_of_messages(void **state)
{
    (void)state;
    Coreweave__Sandbox__V1__SandboxSpec__AnnotationsEntry annotation =
        COREWEAVE__SANDBOX__V1__SANDBOX_SPEC__ANNOTATIONS_ENTRY__INIT;
    Coreweave__Sandbox__V1__SandboxSpec__AnnotationsEntry *annotations[] = {&annotation};
    Coreweave__Sandbox__V1__Container__EnvironmentVariablesEntry variable =
        COREWEAVE__SANDBOX__V1__CONTAINER__ENVIRONMENT_VARIABLES_ENTRY__INIT;
    Coreweave__Sandbox__V1__Container__EnvironmentVariablesEntry *variables[] = {&variable};
    cwsd_pb_container container, *containers[1];
    cwsd_pb_spec spec;
    plain_spec(&spec, &container, containers);
    assert_int_equal(CWSD_PAIRS(&spec, annotations).count, 0);
    assert_null(cwsd_pairs_sort(&CWSD_PAIRS(&spec, annotations)));
    annotation.key = variable.value = (char *)"left";
    variable.key = (char *)"right"; /* an annotation's value is not given: "" */
    spec.annotations = annotations;
    container.environment_variables = variables;
    spec.n_annotations = container.n_environment_variables = 1;
    cwsd_pb_spec *copy = copy_of(&spec);
    struct cwsd_pairs pairs = CWSD_PAIRS(copy, annotations);
    assert_int_equal(pairs.count, 1);
    assert_string_equal(cwsd_pairs_key(&pairs, 0), "left");
    assert_string_equal(cwsd_pairs_value(&pairs, 0), "");
    pairs = CWSD_PAIRS(copy->containers[0], environment_variables);
    assert_int_equal(pairs.count, 1);
    assert_string_equal(cwsd_pairs_key(&pairs, 0), "right");
    assert_string_equal(cwsd_pairs_value(&pairs, 0), "left");
    cwsd_wire_free(copy);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_sorted_by_bytes),
    UNIT_TEST(test_a_key_given_twice),
    UNIT_TEST(test_many),
    UNIT_TEST(test_maps_of_messages),
};

UNIT_MAIN(tests)
