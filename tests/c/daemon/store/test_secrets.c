/* store/secrets: what is taken out of a store's file, and what is not. */
#include "support/own_folder.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "store/secrets.h"

static const char hidden[] = "s3cr3t-value";

static const char *path_of(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof(path), "%s/%s", own_folder, name);
    return path;
}

static void write_store(const char *name, const char *text, mode_t mode)
{
    const char *path = path_of(name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

struct asked {
    const char *store, *path, *field, *variable;
};

static bool resolve(const char *dir, const struct asked *asked, struct cwsd_string_list *list,
                    struct cwsd_fault *fault)
{
    cwsd_pb_container container;
    Coreweave__Sandbox__V1__SecretMapping mapping, *mappings[] = {&mapping};
    Coreweave__Sandbox__V1__SecretStoreReference store, *stores[] = {&store};
    coreweave__sandbox__v1__container__init(&container);
    coreweave__sandbox__v1__secret_mapping__init(&mapping);
    coreweave__sandbox__v1__secret_store_reference__init(&store);
    container.secret_stores = stores;
    container.n_secret_stores = 1;
    store.store_name = (char *)asked->store;
    store.secrets = mappings;
    store.n_secrets = 1;
    mapping.path = (char *)asked->path;
    mapping.field = (char *)(asked->field ? asked->field : "");
    mapping.env_var = (char *)(asked->variable ? asked->variable : "");
    *list = (struct cwsd_string_list){0};
    *fault = (struct cwsd_fault){.code = CWS_GRPC_OK};
    assert_int_equal(cwsd_string_list_reserve(list, 1), CWS_OK);
    return cwsd_secrets_resolve(dir, &container, list, fault);
}

static void assert_resolved(const struct asked *asked, const char *expected)
{
    struct cwsd_string_list list;
    struct cwsd_fault fault;
    if (!resolve(own_folder, asked, &list, &fault))
        fail_msg("%s", fault.message);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0], expected);
    cwsd_string_list_done(&list);
}

static void assert_refused(const char *dir, const struct asked *asked, const char *reason,
                           const char *text)
{
    struct cwsd_string_list list;
    struct cwsd_fault fault;
    assert_false(resolve(dir, asked, &list, &fault));
    assert_int_equal(list.count, 0);
    cwsd_string_list_done(&list);
    assert_int_equal(fault.code, CWS_GRPC_FAILED_PRECONDITION);
    assert_string_equal(fault.reason, reason);
    if (!strstr(fault.message, text))
        fail_msg("%s", fault.message);
    assert_null(strstr(fault.message, hidden));
}

static void values_and_fields(void **state)
{
    (void)state;
    write_store("team.json", "{\"key\": \"s3cr3t-value\", \"db\": {\"user\": \"u\\n1\"}}", 0600);
    assert_resolved(&(struct asked){"team", "key", NULL, NULL}, "key=s3cr3t-value");
    assert_resolved(&(struct asked){"team", "key", NULL, "API_KEY"}, "API_KEY=s3cr3t-value");
    assert_resolved(&(struct asked){"team", "db", "user", "USER"}, "USER=u\n1");
}

static void what_is_not_there(void **state)
{
    (void)state;
    write_store("team.json", "{\"key\": \"s3cr3t-value\", \"n\": 3, \"db\": {\"user\": \"u\"}}",
                0600);
    const char *store = CWSD_REASON_NO_SECRET_STORE;
    const char *secret = CWSD_REASON_PRECONDITION_FAILED;
    assert_refused(own_folder, &(struct asked){"other", "key", 0, 0}, store, "is not here");
    assert_refused(NULL, &(struct asked){"team", "key", 0, 0}, store, "is not here");
    assert_refused(own_folder, &(struct asked){"team", "none", 0, 0}, secret, "does not exist");
    assert_refused(own_folder, &(struct asked){"team", "db", "none", 0}, secret, "in that field");
    assert_refused(own_folder, &(struct asked){"team", "key", "f", 0}, secret, "in that field");
    assert_refused(own_folder, &(struct asked){"team", "db", 0, 0}, secret,
                   "name one of its fields");
    assert_refused(own_folder, &(struct asked){"team", "n", 0, 0}, secret, "is no text");
}

static void files_that_are_no_stores(void **state)
{
    (void)state;
    const char *reason = CWSD_REASON_NO_SECRET_STORE;
    write_store("closed.json", "{\"key\": \"s3cr3t-value\"}", 0600);
    assert_int_equal(chmod(own_folder, 0770), 0);
    assert_refused(own_folder, &(struct asked){"closed", "key", 0, 0}, reason, "(mode 0700)");
    assert_int_equal(chmod(own_folder, 0700), 0);
    assert_resolved(&(struct asked){"closed", "key", NULL, NULL}, "key=s3cr3t-value");
    write_store("open.json", "{\"key\": \"s3cr3t-value\"}", 0640);
    assert_refused(own_folder, &(struct asked){"open", "key", 0, 0}, reason, "(mode 0600)");
    write_store("broken.json", "{\"key\": \"s3cr3t-value\"", 0600);
    assert_refused(own_folder, &(struct asked){"broken", "key", 0, 0}, reason, "no JSON object");
    write_store("twice.json", "{\"key\": \"s3cr3t-value\", \"key\": \"\"}", 0600);
    assert_refused(own_folder, &(struct asked){"twice", "key", 0, 0}, reason, "no JSON object");
    write_store("list.json", "[\"s3cr3t-value\"]", 0600);
    assert_refused(own_folder, &(struct asked){"list", "key", 0, 0}, reason, "no JSON object");
    assert_int_equal(mkdir(path_of("dir.json"), 0700), 0);
    assert_refused(own_folder, &(struct asked){"dir", "key", 0, 0}, reason, "no regular file");
    assert_int_equal(mkfifo(path_of("pipe.json"), 0600), 0);
    assert_refused(own_folder, &(struct asked){"pipe", "key", 0, 0}, reason, "no regular file");
    write_store("team.json", "{\"key\": \"s3cr3t-value\"}", 0600);
    assert_int_equal(symlink("team.json", path_of("link.json")), 0);
    assert_refused(own_folder, &(struct asked){"link", "key", 0, 0}, reason, "is not here");
}

static void too_large(void **state)
{
    (void)state;
    size_t size = CWSD_MAX_SECRET_BYTES + 64;
    char *text = test_malloc(size);
    snprintf(text, size, "{\"key\": \"%0*d\"}", (int)CWSD_MAX_SECRET_BYTES + 1, 0);
    write_store("long.json", text, 0600);
    test_free(text);
    assert_refused(own_folder, &(struct asked){"long", "key", 0, 0},
                   CWSD_REASON_PRECONDITION_FAILED, "too long");
    write_store("huge.json", "{}", 0600);
    assert_int_equal(truncate(path_of("huge.json"), CWSD_MAX_SECRET_STORE_BYTES + 1), 0);
    assert_refused(own_folder, &(struct asked){"huge", "key", 0, 0}, CWSD_REASON_NO_SECRET_STORE,
                   "too large");
}

static void a_directory_for_nobody_else(void **state)
{
    (void)state;
    struct cws_error err;
    assert_int_equal(cwsd_secrets_check(own_folder, &err), CWS_OK);
    assert_int_equal(chmod(own_folder, 0750), 0);
    assert_int_equal(cwsd_secrets_check(own_folder, &err), CWS_INVALID);
    assert_int_equal(chmod(own_folder, 0700), 0);
    write_store("file", "", 0600);
    assert_int_equal(cwsd_secrets_check(path_of("file"), &err), CWS_INVALID);
    assert_int_equal(cwsd_secrets_check(path_of("nothing"), &err), CWS_SYSTEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(values_and_fields),           FOLDER_TEST(what_is_not_there),
        FOLDER_TEST(files_that_are_no_stores),    FOLDER_TEST(too_large),
        FOLDER_TEST(a_directory_for_nobody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
