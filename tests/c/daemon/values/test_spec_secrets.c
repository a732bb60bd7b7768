/* values/spec_secrets: which secrets a container may ask for. */
#include "support/daemon_help.h"

#include "values/bounds.h"
#include "values/fault.h"
#include "values/spec_secrets.h"

#define FIELD "spec.containers[0].secret_stores"
#define MANY  (CWSD_MAX_SECRETS + 1)

typedef Coreweave__Sandbox__V1__SecretMapping mapping_t;
typedef Coreweave__Sandbox__V1__SecretStoreReference reference_t;

struct parts {
    cwsd_pb_container container;
    reference_t stores[2], *store_list[2];
    mapping_t mappings[MANY], *lists[MANY];
    struct cwsd_fault fault;
};

/* Two stores of one secret each. */
static void prepare(struct parts *parts)
{
    coreweave__sandbox__v1__container__init(&parts->container);
    for (size_t i = 0; i < MANY; i++) {
        coreweave__sandbox__v1__secret_mapping__init(&parts->mappings[i]);
        parts->lists[i] = &parts->mappings[i];
    }
    for (size_t i = 0; i < 2; i++) {
        coreweave__sandbox__v1__secret_store_reference__init(&parts->stores[i]);
        parts->store_list[i] = &parts->stores[i];
        parts->stores[i].secrets = &parts->lists[i];
        parts->stores[i].n_secrets = 1;
        parts->stores[i].store_name = (char *)(i ? "other" : "wandb");
        parts->mappings[i].path = (char *)(i ? "B" : "A");
    }
    parts->container.secret_stores = parts->store_list;
    parts->container.n_secret_stores = 2;
}

static bool check(struct parts *parts)
{
    parts->fault = (struct cwsd_fault){.code = CWS_GRPC_OK};
    return cwsd_spec_check_secrets(&parts->container, FIELD, &parts->fault);
}

static void plain_is_accepted(void **state)
{
    (void)state;
    static struct parts parts;
    prepare(&parts);
    assert_true(check(&parts));
    assert_int_equal(cwsd_spec_count_secrets(&parts.container), 2);
    assert_string_equal(cwsd_secret_variable(&parts.mappings[0]), "A");
    parts.mappings[0].env_var = (char *)"KEY";
    assert_string_equal(cwsd_secret_variable(&parts.mappings[0]), "KEY");
}

/* A store's name becomes a file's. */
static void names_of_stores(void **state)
{
    (void)state;
    static struct parts parts;
    static const char *const wrong[] = {"", ".", "..", "../etc", "a/b", ".hidden", "a b", "a\n"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(wrong); i++) {
        prepare(&parts);
        parts.stores[0].store_name = (char *)wrong[i];
        assert_false(check(&parts));
        assert_invalid(&parts.fault, FIELD);
    }
    char name[130];
    memset(name, 'a', sizeof(name));
    name[129] = '\0';
    assert_false(cwsd_secret_store_name_is_valid(name));
    name[128] = '\0';
    assert_true(cwsd_secret_store_name_is_valid(name));
}

static void names_of_secrets_and_variables(void **state)
{
    (void)state;
    static struct parts parts;
    prepare(&parts);
    parts.mappings[0].path = (char *)"";
    assert_false(check(&parts));
    assert_invalid(&parts.fault, FIELD);
    parts.mappings[0].path = (char *)"a=b";
    assert_false(check(&parts));
    assert_invalid(&parts.fault, FIELD);
    parts.mappings[0].env_var = (char *)"A";
    assert_true(check(&parts));
}

static void a_variable_is_asked_for_once(void **state)
{
    (void)state;
    static struct parts parts;
    prepare(&parts);
    parts.mappings[1].env_var = (char *)"A";
    assert_false(check(&parts));
    assert_invalid(&parts.fault, FIELD);
    assert_non_null(strstr(parts.fault.message, "\"A\" is asked for twice"));
}

static void their_number_is_bounded(void **state)
{
    (void)state;
    static struct parts parts;
    static char names[MANY][8];
    prepare(&parts);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof(names[i]), "v%zu", i);
        parts.mappings[i].path = names[i];
    }
    parts.container.n_secret_stores = 1;
    parts.stores[0].n_secrets = CWSD_MAX_SECRETS;
    assert_true(check(&parts));
    parts.stores[0].n_secrets = MANY;
    assert_false(check(&parts));
    assert_invalid(&parts.fault, FIELD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CWSD_TEST(plain_is_accepted),
        CWSD_TEST(names_of_stores),
        CWSD_TEST(names_of_secrets_and_variables),
        CWSD_TEST(a_variable_is_asked_for_once),
        CWSD_TEST(their_number_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
