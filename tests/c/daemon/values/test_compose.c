/* cwsandboxd/compose: what a Compose file means for a sandbox, and what is refused by name. */
#include <malloc.h>

#include "support/daemon_help.h"

#include "values/bounds.h"
#include "values/compose.h"

struct reading {
    cwsd_pb_spec *spec;
    struct cwsd_plan *plan;
    struct cwsd_fault fault;
    bool good;
};

static bool read_with(struct reading *reading, const char *text, const char *primary,
                      cwsd_pb_requirements *resources)
{
    const struct cwsd_compose_request request = {.text = text,
                                                 .len = strlen(text),
                                                 .primary_service = primary,
                                                 .default_resources = resources};
    reading->plan = NULL;
    reading->fault = (struct cwsd_fault){.code = CWS_GRPC_OK};
    reading->spec = cws_malloc(sizeof(*reading->spec));
    assert_non_null(reading->spec);
    coreweave__sandbox__v1__sandbox_spec__init(reading->spec);
    reading->good = cwsd_compose_read(&request, reading->spec, &reading->plan, &reading->fault);
    assert_int_equal(reading->good, reading->fault.code == CWS_GRPC_OK);
    return reading->good;
}

static bool read_file(struct reading *reading, const char *text)
{
    return read_with(reading, text, "web", NULL);
}

static void done(struct reading *reading)
{
    cwsd_wire_free(reading->spec);
    cwsd_plan_free(reading->plan);
}

/* The words of the only service's command, joined by '|'. */
static const char *command_of(const char *keys)
{
    static char joined[500];
    char text[500];
    struct reading reading;
    snprintf(text, sizeof(text), "services: {web: {image: any, %s}}", keys);
    if (!read_file(&reading, text))
        fail_msg("%s: %s", keys, reading.fault.message);
    const cwsd_pb_container *container = reading.spec->containers[0];
    int len = snprintf(joined, sizeof(joined), "%s", container->command);
    for (size_t i = 0; i < container->n_args; i++)
        len += snprintf(joined + len, sizeof(joined) - (size_t)len, "|%s", container->args[i]);
    done(&reading);
    return joined;
}

static void test_commands(void **state)
{
    (void)state;
    static const struct {
        const char *keys, *words;
    } cases[] = {
        {"command: [a, 'b c', '']", "a|b c|"},
        {"command: a b  c", "a|b|c"},
        {"command: \"a 'b c' d\"", "a|b c|d"},
        {"command: 'sh -c \"x \\\" y\"'", "sh|-c|x \" y"},
        {"command: 'a\\ b'", "a b"},
        {"command: \"a ''\"", "a|"},
        {"command: \"a'b'c\"", "abc"},
        {"command: 'cost $$5'", "cost|$5"},
        {"command: ''", ""},
        {"command: []", ""},
        {"command: null", ""},
        {"entrypoint: [sh, -c], command: [x]", "sh|-c|x"},
        {"command: [x], entrypoint: sh -c", "sh|-c|x"},
        {"entrypoint: sh", "sh"},
        {"command: [1, true]", "1|true"},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++)
        assert_string_equal(command_of(cases[i].keys), cases[i].words);
}

static void test_a_file(void **state)
{
    (void)state;
    static const char text[] =
        "version: '3'\n"
        "x-any: {y: z}\n"
        "services:\n"
        "  db:\n"
        "    image: redis\n"
        "    working_dir: /srv\n"
        "    environment: [A=1, 'B=c=d', C=]\n"
        "    expose: [80, '81']\n"
        "    x-more: 1\n"
        "  web:\n"
        "    image: nginx\n"
        "    environment: {X: 1, Y: 'a$$b'}\n"
        "    ports: ['80:80', {target: 81, published: '0', mode: host, x-a: [b]}, 82, 1-2,\n"
        "      '127.0.0.1::80/udp', '[::1]:0:80', '90-91:80-81/sctp', 0.0.0.0:1-2:3-4]\n"
        "    deploy:\n"
        "      resources:\n"
        "        limits: {cpus: '0.5', memory: 64mb}\n"
        "        reservations: {memory: 1048576}\n";
    struct reading reading;
    if (!read_file(&reading, text))
        fail_msg("%s", reading.fault.message);
    assert_int_equal(reading.spec->n_containers, 2);
    const cwsd_pb_container *db = reading.spec->containers[0], *web = reading.spec->containers[1];
    assert_string_equal(db->name, "db");
    assert_string_equal(db->image, "redis");
    assert_string_equal(db->working_dir, "/srv");
    assert_false(db->primary);
    assert_int_equal(db->n_environment_variables, 3);
    assert_string_equal(db->environment_variables[1]->key, "B");
    assert_string_equal(db->environment_variables[1]->value, "c=d");
    assert_string_equal(db->environment_variables[2]->value, "");
    assert_null(db->resource_requirements);
    assert_string_equal(web->name, "web");
    assert_true(web->primary);
    assert_string_equal(web->environment_variables[1]->value, "a$b");
    assert_string_equal(web->resource_requirements->limits->cpu, "0.5");
    assert_string_equal(web->resource_requirements->limits->memory, "64Mi");
    assert_string_equal(web->resource_requirements->requests->memory, "1048576");
    done(&reading);
}

static const struct {
    const char *keys; /* of the service web, in line 4 */
    enum cws_grpc_code code;
    const char *what;
} refusals[] = {
    {"foo: 1", CWS_GRPC_INVALID_ARGUMENT, "services.web (line 4): \"foo\" is no key"},
    {"build: .", CWS_GRPC_UNIMPLEMENTED, "services.web.build (line 4)"},
    {"volumes: []", CWS_GRPC_UNIMPLEMENTED, "services.web.volumes (line 4)"},
    {"privileged: true", CWS_GRPC_UNIMPLEMENTED, "services.web.privileged"},
    {"deploy: {replicas: 2}", CWS_GRPC_UNIMPLEMENTED, "services.web.deploy.replicas (line 4)"},
    {"deploy: {resources: {limits: {pids: 2}}}", CWS_GRPC_UNIMPLEMENTED,
     "services.web.deploy.pids"},
    {"deploy: {resources: {foo: {}}}", CWS_GRPC_INVALID_ARGUMENT, "resources have no \"foo\""},
    {"deploy: {resources: {limits: {memory: 5X}}}", CWS_GRPC_INVALID_ARGUMENT, "\"5X\""},
    {"deploy: {resources: {limits: {memory: ''}}}", CWS_GRPC_INVALID_ARGUMENT, "\"\""},
    {"deploy: {resources: {limits: {memory: b}}}", CWS_GRPC_INVALID_ARGUMENT, "memory"},
    {"deploy: {resources: {limits: {cpus: 1e3}}}", CWS_GRPC_INVALID_ARGUMENT, "processors"},
    {"command: {a: b}", CWS_GRPC_INVALID_ARGUMENT, "services.web.command (line 4): must be"},
    {"command: [[a]]", CWS_GRPC_INVALID_ARGUMENT, "must be a text"},
    {"command: \"a 'b\"", CWS_GRPC_INVALID_ARGUMENT, "quotation mark is not closed"},
    {"command: $HOME/x", CWS_GRPC_INVALID_ARGUMENT, "variables have no values here"},
    {"command: 'a ${B:-c}'", CWS_GRPC_INVALID_ARGUMENT, "variables have no values here"},
    {"command: 'a$'", CWS_GRPC_INVALID_ARGUMENT, "variables have no values here"},
    {"environment: [A]", CWS_GRPC_INVALID_ARGUMENT, "A has no value"},
    {"environment: {A: }", CWS_GRPC_INVALID_ARGUMENT, "A has no value"},
    {"environment: {A: [x]}", CWS_GRPC_INVALID_ARGUMENT, "must be a text"},
    {"environment: A=b", CWS_GRPC_INVALID_ARGUMENT, "must be a map"},
    {"ports: 80", CWS_GRPC_INVALID_ARGUMENT, "services.web.ports (line 4): must be a list"},
    {"expose: [[80]]", CWS_GRPC_INVALID_ARGUMENT, "must be a text"},
    {"expose: [http]", CWS_GRPC_INVALID_ARGUMENT, "services.web.expose (line 4): \"http\" is no"},
    {"expose: ['80:80']", CWS_GRPC_INVALID_ARGUMENT, "\"80:80\" is no port"},
    {"expose: [{target: 80}]", CWS_GRPC_INVALID_ARGUMENT, "must be a text"},
    {"ports: [web]", CWS_GRPC_INVALID_ARGUMENT, "\"web\" is no port, such as"},
    {"ports: ['']", CWS_GRPC_INVALID_ARGUMENT, "\"\" is no port"},
    {"ports: [0]", CWS_GRPC_INVALID_ARGUMENT, "\"0\" is no port"},
    {"ports: [-1]", CWS_GRPC_INVALID_ARGUMENT, "\"-1\" is no port"},
    {"ports: [65536]", CWS_GRPC_INVALID_ARGUMENT, "\"65536\" is no port"},
    {"ports: [4294967376]", CWS_GRPC_INVALID_ARGUMENT, "is no port"},
    {"ports: ['90-80']", CWS_GRPC_INVALID_ARGUMENT, "\"90-80\" is no port"},
    {"ports: ['80-']", CWS_GRPC_INVALID_ARGUMENT, "is no port"},
    {"ports: ['1-2-3']", CWS_GRPC_INVALID_ARGUMENT, "is no port"},
    {"ports: ['80/http']", CWS_GRPC_INVALID_ARGUMENT, "is no port"},
    {"ports: [':80']", CWS_GRPC_INVALID_ARGUMENT, "is no port"},
    {"ports: ['80:']", CWS_GRPC_INVALID_ARGUMENT, "is no port"},
    {"ports: ['host:80:80']", CWS_GRPC_INVALID_ARGUMENT, "is no port"},
    {"ports: ['70000:80']", CWS_GRPC_INVALID_ARGUMENT, "is no port"},
    {"ports: [':80:80']", CWS_GRPC_INVALID_ARGUMENT, "is no port"},
    {"ports: ['${P}:80']", CWS_GRPC_INVALID_ARGUMENT, "variables have no values"},
    {"ports: [{published: 80}]", CWS_GRPC_INVALID_ARGUMENT, "must have a target"},
    {"ports: [{target: web}]", CWS_GRPC_INVALID_ARGUMENT, "\"web\" is no port"},
    {"ports: [{target: 0}]", CWS_GRPC_INVALID_ARGUMENT, "\"0\" is no port"},
    {"ports: [{target: 80, published: x}]", CWS_GRPC_INVALID_ARGUMENT, "\"x\" is no port"},
    {"ports: [{target: 80, published: '$P'}]", CWS_GRPC_INVALID_ARGUMENT, "variables have no"},
    {"ports: [{target: 80, traget: 1}]", CWS_GRPC_INVALID_ARGUMENT, "\"traget\" is no key of a"},
    {"ports: [{target: [80]}]", CWS_GRPC_INVALID_ARGUMENT, "must be a text"},
    {"environment: {<<: x}", CWS_GRPC_INVALID_ARGUMENT, "line 4: maps are not merged here"},
    {"environment: !reset null", CWS_GRPC_INVALID_ARGUMENT, "no such tag here: !reset"},
    {"ports: !override [80]", CWS_GRPC_INVALID_ARGUMENT, "no such tag here: !override"},
    {"environment: {A: !!binary aGk=}", CWS_GRPC_INVALID_ARGUMENT, "line 4: there is no such tag"},
    {"working_dir: ", CWS_GRPC_INVALID_ARGUMENT, "services.web.working_dir"},
    {"depends_on: [db]", CWS_GRPC_INVALID_ARGUMENT,
     "services.web.depends_on (line 4): \"db\" is no service"},
    {"depends_on: [web]", CWS_GRPC_INVALID_ARGUMENT, "services.web.depends_on: it waits"},
    {"depends_on: web", CWS_GRPC_INVALID_ARGUMENT, "must be a list or a map"},
    {"depends_on: {web: }", CWS_GRPC_INVALID_ARGUMENT, "must be a map with a condition"},
    {"depends_on: {web: {condition: x}}", CWS_GRPC_INVALID_ARGUMENT, "no condition"},
    {"depends_on: {web: {restart: true}}", CWS_GRPC_UNIMPLEMENTED, "depends_on.restart"},
    {"depends_on: {web: {required: false}}", CWS_GRPC_UNIMPLEMENTED, "depends_on.required"},
    {"depends_on: {web: {condition: service_healthy}}", CWS_GRPC_INVALID_ARGUMENT,
     "\"web\" has no healthcheck"},
    {"healthcheck: [x]", CWS_GRPC_INVALID_ARGUMENT, "services.web.healthcheck"},
    {"healthcheck: {test: [x]}", CWS_GRPC_INVALID_ARGUMENT, "must begin with CMD"},
    {"healthcheck: {test: [CMD]}", CWS_GRPC_INVALID_ARGUMENT, "must begin with CMD"},
    {"healthcheck: {test: [CMD-SHELL, a, b]}", CWS_GRPC_INVALID_ARGUMENT, "must begin"},
    {"healthcheck: {interval: 5}", CWS_GRPC_INVALID_ARGUMENT, "must be a time"},
    {"healthcheck: {interval: 0s}", CWS_GRPC_INVALID_ARGUMENT, "interval must be at least 10ms"},
    {"healthcheck: {interval: 9ms}", CWS_GRPC_INVALID_ARGUMENT, "interval must be at least 10ms"},
    {"healthcheck: {timeout: 0s}", CWS_GRPC_INVALID_ARGUMENT, "timeout must be at least 10ms"},
    {"healthcheck: {interval: 25h}", CWS_GRPC_INVALID_ARGUMENT, "must be a time"},
    {"healthcheck: {timeout: -1s}", CWS_GRPC_INVALID_ARGUMENT, "must be a time"},
    {"healthcheck: {timeout: 1x}", CWS_GRPC_INVALID_ARGUMENT, "must be a time"},
    {"healthcheck: {retries: 0}", CWS_GRPC_INVALID_ARGUMENT, "from 1 to 1000"},
    {"healthcheck: {retries: 1x}", CWS_GRPC_INVALID_ARGUMENT, "from 1 to 1000"},
    {"healthcheck: {disable: true}", CWS_GRPC_UNIMPLEMENTED, "healthcheck.disable"},
};

static void test_what_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(refusals); i++) {
        char text[300];
        struct reading reading;
        snprintf(text, sizeof(text), "services:\n  web:\n    image: any\n    %s\n",
                 refusals[i].keys);
        assert_false(read_file(&reading, text));
        assert_int_equal(reading.fault.code, refusals[i].code);
        if (!strstr(reading.fault.message, refusals[i].what))
            fail_msg("%s: %s", refusals[i].keys, reading.fault.message);
        done(&reading);
    }
}

static void test_files_that_are_none(void **state)
{
    (void)state;
    static const struct {
        const char *text, *what;
    } cases[] = {
        {"", "empty"},
        {"[]", "must be a map"},
        {"services: []", "has no services"},
        {"services: {}", "has no services"},
        {"version: '3'", "has no services"},
        {"services: {web: }", "services.web (line 1): must be a map"},
        {"services: {web: {}}", "has no image"},
        {"services: {db: {image: x}}", "primary_service: \"web\" is no service"},
        {"service: {}", "\"service\" is no key of a Compose file"},
        {"services: {web: {image: x}}\nvolumes: {}", "contents: volumes (line 2)"},
        {"services: {web: {<<: {image: x}}}", "line 1: maps are not merged here"},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        struct reading reading;
        assert_false(read_file(&reading, cases[i].text));
        if (!strstr(reading.fault.message, cases[i].what))
            fail_msg("%s: %s", cases[i].text, reading.fault.message);
        done(&reading);
    }
    char many[2000] = "services:\n";
    struct reading reading;
    for (unsigned i = 0; i <= CWSD_MAX_CONTAINERS; i++)
        sprintf(many + strlen(many), "  s%u: {image: x}\n", i);
    assert_false(read_with(&reading, many, "s0", NULL));
    assert_non_null(strstr(reading.fault.message, "17 services; at most 16"));
    done(&reading);
}

static void test_order(void **state)
{
    (void)state;
    static const char text[] =
        "services:\n"
        "  web: {image: x, depends_on: {db: {condition: service_healthy, required: true}, job: "
        "{condition: service_completed_successfully}}}\n"
        "  db: {image: x, depends_on: [cache], healthcheck: {test: [CMD, a, b], interval: 1m30s, "
        "timeout: 500ms, start_period: 1.5s, retries: 7}}\n"
        "  job: {image: x, healthcheck: {test: a b}}\n"
        "  cache: {image: x, healthcheck: {test: [NONE]}}\n";
    struct reading reading;
    if (!read_file(&reading, text))
        fail_msg("%s", reading.fault.message);
    const struct cwsd_plan_row *rows = reading.plan->rows;
    assert_int_equal(rows[0].needs[CWSD_NEED_HEALTHY], 1u << 1);
    assert_int_equal(rows[0].needs[CWSD_NEED_SUCCESS], 1u << 2);
    assert_int_equal(rows[0].needs[CWSD_NEED_STARTED], 0);
    assert_int_equal(rows[1].needs[CWSD_NEED_STARTED], 1u << 3);
    assert_int_equal(rows[1].check_count, 2);
    assert_string_equal(rows[1].check[1], "b");
    assert_int_equal(rows[1].interval_ns / 1000000, 90000);
    assert_int_equal(rows[1].timeout_ns / 1000000, 500);
    assert_int_equal(rows[1].start_period_ns / 1000000, 1500);
    assert_int_equal(rows[1].retries, 7);
    assert_int_equal(rows[2].check_count, 3);
    assert_string_equal(rows[2].check[2], "a b");
    assert_int_equal(rows[2].retries, 3);
    assert_null(rows[3].check);
    done(&reading);
    assert_false(read_file(&reading, "services: {web: {image: x, depends_on: [a]}, a: {image: x, "
                                     "depends_on: [b]}, b: {image: x, depends_on: [a]}}"));
    assert_non_null(strstr(reading.fault.message, "waits for itself"));
    done(&reading);
}

static void test_size(void **state)
{
    (void)state;
    static const char file[] = "services: {web: {image: x}}\n";
    for (size_t over = 0; over <= 1; over++) {
        char *text = test_malloc(CWSD_MAX_COMPOSE_BYTES + 2);
        memset(text, ' ', CWSD_MAX_COMPOSE_BYTES + over);
        memcpy(text, file, sizeof(file) - 1);
        text[sizeof(file) - 1] = '#';
        text[CWSD_MAX_COMPOSE_BYTES + over] = '\0';
        struct reading reading;
        assert_int_equal(read_file(&reading, text), over == 0);
        done(&reading);
        test_free(text);
    }
}

/* Of a file that is nothing but words, each takes as much memory as it has bytes. */
static void test_many_words(void **state)
{
    (void)state;
    static const char head[] = "services: {web: {image: x, command: \"", tail[] = "\"}}";
    const size_t size = CWSD_KIB * 16;
    char *text = test_malloc(size + sizeof(head) + sizeof(tail));
    size_t at = (size_t)sprintf(text, "%s", head);
    for (; at < size; at += 2)
        memcpy(text + at, "w ", 2);
    strcpy(text + at, tail);
    struct reading reading;
    assert_true(read_file(&reading, text));
    const cwsd_pb_container *container = reading.spec->containers[0];
    assert_in_range(container->n_args, size / 3, size / 2);
    for (size_t i = 0; i < container->n_args; i++)
        assert_in_range(malloc_usable_size(container->args[i]), 2, 64);
    done(&reading);
    test_free(text);
}

static void test_from_the_request(void **state)
{
    (void)state;
    static const char text[] =
        "services: {web: {image: x, deploy: {resources: {limits: {cpus: 1}}}}, db: {}}";
    Coreweave__Sandbox__V1__CreateSandboxFromFileRequest__ImageOverridesEntry entry =
        COREWEAVE__SANDBOX__V1__CREATE_SANDBOX_FROM_FILE_REQUEST__IMAGE_OVERRIDES_ENTRY__INIT;
    void *entries[] = {&entry};
    cwsd_pb_requirements defaults = COREWEAVE__SANDBOX__V1__RESOURCE_REQUIREMENTS__INIT;
    cwsd_pb_resources limits = COREWEAVE__SANDBOX__V1__RESOURCES__INIT;
    struct cwsd_compose_request request = {.text = text,
                                           .len = strlen(text),
                                           .primary_service = "web",
                                           .default_resources = &defaults,
                                           .images = {entries, 1}};
    cwsd_pb_spec *spec;
    struct cwsd_plan *plan = NULL;
    struct cwsd_fault fault;
    bool good = false;
    defaults.limits = &limits;
    limits.memory = (char *)"1Gi";
    entry.key = (char *)"db";
    entry.value = (char *)"other";
    for (size_t n = 1; !good; n++) {
        spec = cws_malloc(sizeof(*spec));
        coreweave__sandbox__v1__sandbox_spec__init(spec);
        cws_alloc_fail_at(n);
        good = cwsd_compose_read(&request, spec, &plan, &fault);
        cws_alloc_fail_at(0);
        if (!good) {
            assert_int_equal(fault.code, CWS_GRPC_RESOURCE_EXHAUSTED);
            cwsd_wire_free(spec);
        }
    }
    assert_string_equal(spec->containers[0]->resource_requirements->limits->cpu, "1");
    assert_string_equal(spec->containers[0]->resource_requirements->limits->memory, "");
    cwsd_plan_free(plan);
    assert_string_equal(spec->containers[1]->image, "other");
    assert_string_equal(spec->containers[1]->resource_requirements->limits->memory, "1Gi");
    cwsd_wire_free(spec);
    entry.key = (char *)"web";
    spec = cws_malloc(sizeof(*spec));
    coreweave__sandbox__v1__sandbox_spec__init(spec);
    assert_false(cwsd_compose_read(&request, spec, &plan, &fault)); /* db has none now */
    cwsd_wire_free(spec);
    entry.key = (char *)"cache";
    spec = cws_malloc(sizeof(*spec));
    coreweave__sandbox__v1__sandbox_spec__init(spec);
    assert_false(cwsd_compose_read(&request, spec, &plan, &fault));
    assert_invalid(&fault, "image_overrides");
    cwsd_wire_free(spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CWSD_TEST(test_commands),        CWSD_TEST(test_a_file),
        CWSD_TEST(test_what_is_refused), CWSD_TEST(test_files_that_are_none),
        CWSD_TEST(test_order),           CWSD_TEST(test_size),
        CWSD_TEST(test_many_words),      CWSD_TEST(test_from_the_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
