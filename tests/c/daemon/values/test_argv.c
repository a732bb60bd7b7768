/* cwsandboxd/argv: the limits of command lines and environments, to the byte. More refusals:
 * test_spec.c. */
#include "support/unit.h"

#include "support/daemon_help.h"
#include "values/argv.h"
#include "values/bounds.h"

typedef Coreweave__Sandbox__V1__ExecStreamInit__EnvEntry entry_message;

/* The longest argument there may be and one byte more; `longest + 1` is just fine. */
static char *longest(void)
{
    char *text = cws_malloc(CWSD_MAX_ARG_BYTES + 2);
    memset(text, 'a', CWSD_MAX_ARG_BYTES + 1);
    text[CWSD_MAX_ARG_BYTES + 1] = '\0';
    return text;
}

static void assert_names(const struct cwsd_fault *fault, const char *field, const char *value,
                         const char *rule)
{
    assert_invalid(fault, field);
    if (!strstr(fault->message, value) || !strstr(fault->message, rule))
        fail_msg("\"%s\" does not name \"%s\" and \"%s\"", fault->message, value, rule);
}

static void test_the_argument_too_long_is_named(void **state)
{
    (void)state;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    char *text = longest();
    char *args[] = {(char *)"", text + 1, text};
    assert_true(cwsd_argv_check("command", text + 1, args, 2, &fault));
    assert_false(cwsd_fault_is_set(&fault));
    assert_false(cwsd_argv_check("command", "cat", args, 3, &fault));
    assert_names(&fault, "command", "argument 3 has 131072 bytes", "at most 131071");
    assert_false(cwsd_argv_check("spec.command", text, args, 0, &fault));
    assert_names(&fault, "spec.command", "argument 0 has 131072 bytes", "at most 131071");
    cws_free(text);
}

static void test_a_program_is_needed(void **state)
{
    (void)state;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    char *args[] = {(char *)"word"};
    assert_false(cwsd_argv_check("command", "", args, 1, &fault));
    assert_names(&fault, "command", "", "must name a program");
    assert_true(cwsd_argv_check("command", " ", NULL, 0, &fault)); /* a name like others */
}

/* Each argument is within its limit; it is their sum, with NUL and pointer of each, that counts. */
static void test_the_sum_of_the_arguments(void **state)
{
    (void)state;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    char *text = longest();
    char *args[16];
    for (size_t i = 0; i < 16; i++)
        args[i] = text + 1;
    /* 15 of 128 KiB, this and "p" with two NULs, 17 pointers: 2 MiB but for 16 KiB */
    args[15] = text + 3 + 17 * 8 + 16 * 1024;
    assert_true(cwsd_argv_check("command", "p", args, 16, &fault));
    assert_false(cwsd_argv_check("command", "pp", args, 16, &fault));
    assert_names(&fault, "command", "has 2080769 bytes", "at most 2080768");
    cws_free(text);
}

static void test_many_short_arguments(void **state)
{
    (void)state;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    enum { MOST = (2080768 - 10) / 9 }; /* beside "p": a NUL and a pointer each */
    char **args = test_calloc(MOST + 1, sizeof(*args));
    for (size_t i = 0; i < MOST + 1; i++)
        args[i] = (char *)"";
    assert_true(cwsd_argv_check("command", "p", args, MOST, &fault));
    assert_false(cwsd_argv_check("command", "p", args, MOST + 1, &fault));
    assert_names(&fault, "command", "has 2080774 bytes in all, with 8 for each word",
                 "at most 2080768");
    test_free(args);
}

/* An environment of two variables with these names and values. */
static bool check(const char *name, const char *value, const char *other_name,
                  const char *other_value, struct cwsd_fault *fault)
{
    entry_message messages[2] = {COREWEAVE__SANDBOX__V1__EXEC_STREAM_INIT__ENV_ENTRY__INIT,
                                 COREWEAVE__SANDBOX__V1__EXEC_STREAM_INIT__ENV_ENTRY__INIT};
    void *entries[] = {&messages[0], &messages[1]};
    struct cwsd_pairs pairs = {entries, 2};
    messages[0].key = (char *)name;
    messages[0].value = (char *)value;
    messages[1].key = (char *)other_name;
    messages[1].value = (char *)other_value;
    return cwsd_argv_check_environment("env", &pairs, fault);
}

static void test_variables(void **state)
{
    (void)state;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    assert_true(check("B", "", "A", "a=b\n", &fault));
    assert_true(check("A", "1", "a", "2", &fault));
    assert_true(check(" ", "", "1-\xc3\xa4", "", &fault));
    assert_false(cwsd_fault_is_set(&fault));
    assert_false(check("A", "1", "", "2", &fault));
    assert_names(&fault, "env", "name", "must not be empty");
    assert_false(check("A", "1", "B=C", "2", &fault));
    assert_names(&fault, "env", "\"B=C\"", "must not contain '='");
    assert_false(check("A", "1", "A", "2", &fault));
    assert_names(&fault, "env", "A", "given twice");
    assert_false(check("", "", "", "", &fault));
    assert_names(&fault, "env", "", "given twice");
    struct cwsd_pairs nothing = {NULL, 0};
    assert_true(cwsd_argv_check_environment("env", &nothing, &fault));
}

static void test_the_longest_variable(void **state)
{
    (void)state;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    char *text = longest();
    assert_true(check("A", "", "LONG", text + 1 + strlen("LONG="), &fault));
    assert_false(check("A", "", "LONG", text + strlen("LONG="), &fault));
    assert_names(&fault, "env", "variable LONG has 131072 bytes", "at most 131071");
    assert_true(check("A", "", text + 2, "", &fault)); /* a name and its '=' */
    assert_false(check("A", "", text + 1, "", &fault));
    assert_names(&fault, "env", "variable aaaa", "at most 131071"); /* the name is cut */
    cws_free(text);
}

static void test_the_sum_of_the_environment(void **state)
{
    (void)state;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    enum { COUNT = 16 };
    entry_message messages[COUNT];
    void *entries[COUNT];
    char names[COUNT][2];
    char *text = longest();
    for (size_t i = 0; i < COUNT; i++) {
        coreweave__sandbox__v1__exec_stream_init__env_entry__init(&messages[i]);
        names[i][0] = (char)('a' + i);
        names[i][1] = '\0';
        messages[i].key = names[i];
        messages[i].value = text + 3 + 8; /* 128 KiB with "a=", the NUL and a pointer */
        entries[i] = &messages[i];
    }
    messages[COUNT - 1].value += 16 * 1024;
    struct cwsd_pairs pairs = {entries, COUNT};
    assert_true(cwsd_argv_check_environment("env", &pairs, &fault));
    entry_message one_more = COREWEAVE__SANDBOX__V1__EXEC_STREAM_INIT__ENV_ENTRY__INIT;
    void *more[COUNT + 1] = {&one_more};
    memcpy(more + 1, entries, sizeof(entries));
    one_more.key = (char *)"q";
    pairs = (struct cwsd_pairs){more, COUNT + 1};
    assert_false(cwsd_argv_check_environment("env", &pairs, &fault));
    assert_names(&fault, "env", "has 2080779 bytes", "at most 2080768");
    cws_free(text);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_the_argument_too_long_is_named),
    UNIT_TEST(test_a_program_is_needed),
    UNIT_TEST(test_the_sum_of_the_arguments),
    UNIT_TEST(test_many_short_arguments),
    UNIT_TEST(test_variables),
    UNIT_TEST(test_the_longest_variable),
    UNIT_TEST(test_the_sum_of_the_environment),
};

UNIT_MAIN(tests)
