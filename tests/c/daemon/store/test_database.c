/* store/database: steps, refusals, transactions, kills and full disks. */
#include "support/own_folder.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "store/database.h"
#include "store/schema.h"

static const char *const steps[] = {
    "CREATE TABLE things (name TEXT PRIMARY KEY, bytes BLOB)",
    "ALTER TABLE things ADD COLUMN number INTEGER NOT NULL DEFAULT 7",
    "this is no SQL",
};

static struct cwsd_database *open_at(const char *where, size_t step_count)
{
    const struct cwsd_schema schema = {steps, step_count};
    struct cwsd_database *database;
    struct cws_error err;
    if (cwsd_database_open(where, &schema, &database, &err) != CWS_OK)
        fail_msg("%s", err.text);
    return database;
}

static enum cws_status cannot_open(size_t step_count, struct cws_error *err)
{
    const struct cwsd_schema schema = {steps, step_count};
    struct cwsd_database *database = NULL;
    enum cws_status status = cwsd_database_open(own_folder, &schema, &database, err);
    assert_int_not_equal(status, CWS_OK);
    assert_int_equal(err->status, status);
    assert_null(database);
    return status;
}

static enum cws_status try_add(struct cwsd_database *database, const char *name, size_t size,
                               struct cws_error *err)
{
    struct cwsd_statement insert;
    uint8_t *bytes = test_calloc(1, size + 1);
    assert_int_equal(cwsd_statement_init(&insert, database,
                                         "INSERT INTO things (name, bytes) VALUES (?1, ?2)", err),
                     CWS_OK);
    cwsd_statement_set_text(&insert, 1, name);
    cwsd_statement_set_bytes(&insert, 2, bytes, size);
    enum cws_status status = cwsd_statement_run(&insert, err);
    cwsd_statement_done(&insert);
    test_free(bytes);
    return status;
}

static void add(struct cwsd_database *database, const char *name)
{
    struct cws_error err;
    if (try_add(database, name, 3, &err) != CWS_OK)
        fail_msg("%s", err.text);
}

/* The names that there are, each followed by a space. */
static const char *names(struct cwsd_database *database)
{
    static char text[1000];
    struct cwsd_statement select;
    struct cws_error err;
    bool row;
    text[0] = '\0';
    assert_int_equal(
        cwsd_statement_init(&select, database, "SELECT name FROM things ORDER BY name", &err),
        CWS_OK);
    while (cwsd_statement_step(&select, &row, &err) == CWS_OK && row)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ",
                 cwsd_statement_text(&select, 0));
    cwsd_statement_done(&select);
    return text;
}

static const char *file(void)
{
    static char path[100];
    snprintf(path, sizeof(path), "%s/cwsandboxd.db", own_folder);
    return path;
}

/* ---- values --------------------------------------------------------------------------------- */

static void values(void **state)
{
    (void)state;
    struct cwsd_database *database = open_at(NULL, 1);
    struct cwsd_statement statement;
    struct cws_error err;
    bool row;
    size_t len;
    assert_null(cwsd_database_dir(database));
    assert_int_equal(
        cwsd_statement_init(&statement, database, "SELECT ?1, ?2, ?3, ?4, ?5, ?6", &err), CWS_OK);
    for (int turn = 0; turn < 2; turn++) { /* a statement can be used again */
        cwsd_statement_set_int(&statement, 1, INT64_MIN);
        cwsd_statement_set_text(&statement, 2, "é\n");
        cwsd_statement_set_text(&statement, 3, NULL);
        cwsd_statement_set_bytes(&statement, 4, "a\0b", 3);
        cwsd_statement_set_bytes(&statement, 5, NULL, 0);
        cwsd_statement_set_null(&statement, 6);
        assert_int_equal(cwsd_statement_step(&statement, &row, &err), CWS_OK);
        assert_true(row);
        assert_int_equal(cwsd_statement_int(&statement, 0), INT64_MIN);
        assert_string_equal(cwsd_statement_text(&statement, 1), "é\n");
        assert_null(cwsd_statement_text(&statement, 2));
        assert_memory_equal(cwsd_statement_bytes(&statement, 3, &len), "a\0b", 3);
        assert_int_equal(len, 3);
        assert_false(cwsd_statement_is_null(&statement, 4));
        cwsd_statement_bytes(&statement, 4, &len);
        assert_int_equal(len, 0);
        assert_true(cwsd_statement_is_null(&statement, 5));
        assert_int_equal(cwsd_statement_step(&statement, &row, &err), CWS_OK);
        assert_false(row);
    }
    cwsd_statement_set_int(&statement, 7, 0); /* there is no such parameter */
    assert_int_equal(cwsd_statement_step(&statement, &row, &err), CWS_SYSTEM);
    cwsd_statement_done(&statement);
    assert_int_equal(cwsd_statement_init(&statement, database, "SELECT no_such", &err), CWS_SYSTEM);
    assert_non_null(strstr(err.text, "no_such"));
    cwsd_statement_done(&statement);
    cwsd_database_close(database);
}

/* ---- steps ---------------------------------------------------------------------------------- */

static void steps_are_taken_once(void **state)
{
    (void)state;
    struct cws_error err;
    struct cwsd_database *database = open_at(own_folder, 1);
    assert_string_equal(cwsd_database_dir(database), own_folder);
    add(database, "first");
    cwsd_database_close(database);
    database = open_at(own_folder, 1);
    add(database, "second");
    cwsd_database_close(database);
    database = open_at(own_folder, 2); /* a newer daemon */
    assert_string_equal(names(database), "first second ");
    cwsd_database_close(database);
    assert_int_equal(cannot_open(1, &err), CWS_INVALID);
    assert_non_null(strstr(err.text, "newer cwsandboxd"));
    assert_non_null(strstr(err.text, file()));
    cwsd_database_close(open_at(own_folder, 2)); /* and it is as it was */
}

static void a_step_that_fails_changes_nothing(void **state)
{
    (void)state;
    struct cws_error err;
    struct cwsd_database *database = open_at(own_folder, 2);
    add(database, "kept");
    cwsd_database_close(database);
    assert_int_equal(cannot_open(3, &err), CWS_SYSTEM);
    assert_non_null(strstr(err.text, "step 3"));
    database = open_at(own_folder, 2);
    assert_string_equal(names(database), "kept ");
    cwsd_database_close(database);
}

static void the_real_steps(void **state)
{
    (void)state;
    struct cwsd_database *database;
    struct cws_error err;
    for (int turn = 0; turn < 2; turn++) {
        if (cwsd_database_open(own_folder, &cwsd_schema, &database, &err) != CWS_OK)
            fail_msg("%s", err.text);
        cwsd_database_close(database);
    }
}

/* ---- files that cannot be used -------------------------------------------------------------- */

static void write_file(const char *text, off_t at)
{
    int fd = open(file(), O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, text, strlen(text), at), strlen(text));
    close(fd);
}

static off_t size_of_file(void)
{
    struct stat info;
    assert_int_equal(stat(file(), &info), 0);
    return info.st_size;
}

static void another_file(void **state)
{
    (void)state;
    struct cws_error err;
    write_file("Dear diary, today I wrote a file that is no database. It is longer than a header, "
               "so that nobody takes it for an empty one.",
               0);
    off_t size = size_of_file();
    assert_int_equal(cannot_open(1, &err), CWS_INVALID);
    assert_non_null(strstr(err.text, "left as it is"));
    assert_int_equal(size_of_file(), size);
}

static void another_program(void **state)
{
    (void)state;
    struct cws_error err;
    struct cwsd_database *database = open_at(own_folder, 1);
    cwsd_database_close(database);
    write_file("abcd", 68); /* the application's id */
    assert_int_equal(cannot_open(1, &err), CWS_INVALID);
    assert_non_null(strstr(err.text, "not a database of cwsandboxd"));
}

static void damaged(void **state)
{
    (void)state;
    struct cws_error err;
    struct cwsd_database *database = open_at(own_folder, 1);
    char name[20];
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "thing %d", i);
        add(database, name);
    }
    cwsd_database_close(database);
    off_t size = size_of_file();
    for (off_t page = 4096; page < size; page += 4096)
        write_file("this is not what was written here", page);
    assert_int_equal(cannot_open(1, &err), CWS_INVALID);
    assert_non_null(strstr(err.text, "left as it is"));
    assert_int_equal(size_of_file(), size);
    assert_int_equal(truncate(file(), 5000), 0);
    assert_int_equal(cannot_open(1, &err), CWS_INVALID);
    assert_int_equal(size_of_file(), 5000);
}

/* Makes a database of a few pages; `killed`: its log has not been copied into it. */
static off_t make_database(bool killed)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct cwsd_database *database = open_at(own_folder, 1);
        struct cws_error err;
        char name[20];
        for (int i = 0; i < 3; i++) {
            snprintf(name, sizeof(name), "thing %d", i);
            if (try_add(database, name, 9000, &err) != CWS_OK)
                _exit(1);
        }
        if (!killed)
            cwsd_database_close(database);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return size_of_file();
}

enum outcome { WHOLE, REFUSED, WRONG };

/* In a child, which leaves the log as it is. */
static enum outcome try_to_open(void)
{
    const struct cwsd_schema schema = {steps, 1};
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct cwsd_database *database;
        struct cws_error err;
        enum cws_status opened = cwsd_database_open(own_folder, &schema, &database, &err);
        if (opened == CWS_OK)
            _exit(strcmp(names(database), "thing 0 thing 1 thing 2 ") == 0 ? WHOLE : WRONG);
        _exit(opened == CWS_INVALID && strstr(err.text, file()) ? REFUSED : WRONG);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return (enum outcome)WEXITSTATUS(status);
}

/* Whatever the length, it is refused, and neither it nor its log is touched. Only where the log has
 * everything nothing is missing. */
static void cut_off(bool killed)
{
    off_t whole = make_database(killed);
    char log[110], *content = test_calloc(1, (size_t)whole);
    struct stat before = {0}, after = {0};
    int fd = open(file(), O_RDWR);
    assert_int_equal(pread(fd, content, (size_t)whole, 0), whole);
    snprintf(log, sizeof(log), "%s-wal", file());
    assert_int_equal(stat(log, &before), killed ? 0 : -1);
    for (off_t length = 0; length < whole; length += length < 110 ? 10 : 509) {
        assert_int_equal(ftruncate(fd, length), 0);
        assert_int_equal(pwrite(fd, content, (size_t)length, 0), length);
        assert_int_equal(try_to_open(), killed && length >= 100 ? WHOLE : REFUSED);
        assert_int_equal(size_of_file(), length);
        assert_int_equal(stat(log, &after), killed ? 0 : -1);
        assert_int_equal(after.st_size, before.st_size);
    }
    close(fd);
    test_free(content);
}

static void cut_off_after_a_stop(void **state)
{
    (void)state;
    cut_off(false);
}

static void cut_off_after_a_kill(void **state)
{
    (void)state;
    cut_off(true);
}

/* What belongs to a database that is gone must not be taken for nobody's. */
static void missing(void **state)
{
    (void)state;
    static const char *const signs[] = {"reserve", "snapshots", "logs", "cwsandboxd.db-wal"};
    struct cws_error err;
    char path[200];
    for (size_t i = 0; i < CWS_ARRAY_LEN(signs); i++) {
        snprintf(path, sizeof(path), "%s/%s", own_folder, signs[i]);
        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(cannot_open(1, &err), CWS_INVALID);
        assert_non_null(strstr(err.text, path));
        assert_int_equal(access(file(), F_OK), -1);
        write_file("", 0);
        assert_int_equal(cannot_open(1, &err), CWS_INVALID);
        assert_int_equal(size_of_file(), 0);
        assert_int_equal(unlink(file()), 0);
        assert_int_equal(rmdir(path), 0);
    }
    write_file("", 0); /* a daemon that was killed before it began */
    cwsd_database_close(open_at(own_folder, 1));
}

/* ---- transactions --------------------------------------------------------------------------- */

static void whole_or_not_at_all(void **state)
{
    (void)state;
    struct cwsd_database *database = open_at(own_folder, 1);
    struct cws_error err;
    for (int durability = CWSD_KEPT; durability <= CWSD_DURABLE; durability++) {
        assert_int_equal(cwsd_database_begin(database, durability, &err), CWS_OK);
        add(database, "undone");
        cwsd_database_rollback(database);
        assert_string_equal(names(database), durability == CWSD_KEPT ? "" : "kept ");
        assert_int_equal(cwsd_database_begin(database, durability, &err), CWS_OK);
        add(database, durability == CWSD_KEPT ? "kept" : "synced");
        assert_int_equal(cwsd_database_commit(database, &err), CWS_OK);
    }
    assert_int_equal(cwsd_database_commit(database, &err), CWS_SYSTEM); /* there is none */
    assert_int_equal(try_add(database, "kept", 3, &err), CWS_SYSTEM);
    assert_non_null(strstr(err.text, "UNIQUE"));
    add(database, "and on");
    assert_int_equal(cwsd_database_changes(database), 1);
    assert_string_equal(names(database), "and on kept synced ");
    cwsd_database_close(database);
}

static void survives_a_kill(void **state)
{
    (void)state;
    struct cws_error err;
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct cwsd_database *database = open_at(own_folder, 1);
        add(database, "committed");
        if (cwsd_database_begin(database, CWSD_KEPT, &err) != CWS_OK)
            _exit(1);
        add(database, "not committed");
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    struct cwsd_database *database = open_at(own_folder, 1);
    assert_string_equal(names(database), "committed ");
    cwsd_database_close(database);
}

/* What was committed stays, what finds no room is undone and told, and later it goes on. */
static void no_room(void **state)
{
    (void)state;
    struct cwsd_database *database = open_at(own_folder, 1);
    struct cws_error err;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    struct rlimit usual, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &usual), 0);
    add(database, "before");
    signal(SIGXFSZ, SIG_IGN);
    small = (struct rlimit){64 << 10, usual.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum cws_status alone = try_add(database, "large", 1 << 20, &err);
    bool refused = cwsd_database_fault(database, &err, &fault);
    enum cws_status begun = cwsd_database_begin(database, CWSD_DURABLE, &err);
    enum cws_status inside = try_add(database, "in a transaction", 1 << 20, &err);
    enum cws_status end = cwsd_database_commit(database, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &usual), 0);
    assert_int_equal(alone, CWS_SYSTEM);
    assert_false(refused);
    assert_int_equal(fault.code, CWS_GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(begun, CWS_OK);
    assert_int_equal(inside, CWS_OK); /* it waits in memory */
    assert_int_equal(end, CWS_SYSTEM);
    assert_string_equal(names(database), "before ");
    assert_int_equal(try_add(database, "large", 1 << 20, &err), CWS_OK);
    assert_int_equal(try_add(database, "large", 1, &err), CWS_SYSTEM);
    assert_false(cwsd_database_fault(database, &err, &fault));
    assert_int_equal(fault.code, CWS_GRPC_UNAVAILABLE);
    cwsd_database_close(database);
    database = open_at(own_folder, 1);
    assert_string_equal(names(database), "before large ");
    cwsd_database_close(database);
}

/* ---- a file that is elsewhere --------------------------------------------------------------- */

static void assert_takes_no_changes(struct cwsd_database *database)
{
    struct cwsd_statement insert;
    struct cws_error err;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    assert_int_equal(try_add(database, "one more", 3, &err), CWS_SYSTEM);
    assert_non_null(strstr(err.text, file()));
    assert_non_null(strstr(err.text, "was removed or moved"));
    assert_false(cwsd_database_fault(database, &err, &fault));
    assert_int_equal(fault.code, CWS_GRPC_UNAVAILABLE);
    assert_int_equal(cwsd_database_begin(database, CWSD_KEPT, &err), CWS_SYSTEM);
    assert_int_equal(cwsd_database_begin(database, CWSD_DURABLE, &err), CWS_SYSTEM);
    assert_int_equal(cwsd_statement_init(&insert, database,
                                         "INSERT INTO things (name) VALUES ('by hand')", &err),
                     CWS_OK);
    assert_int_equal(cwsd_statement_run_durably(&insert, CWSD_RESERVED_SPACE, &err), CWS_SYSTEM);
    assert_non_null(strstr(err.text, "was removed or moved"));
    cwsd_statement_done(&insert);
}

static void moved(void **state)
{
    (void)state;
    char away[120];
    struct cwsd_database *database = open_at(own_folder, 1);
    snprintf(away, sizeof(away), "%s/away", own_folder);
    add(database, "a");
    assert_int_equal(rename(file(), away), 0);
    assert_takes_no_changes(database);
    assert_string_equal(names(database), "a ");
    assert_int_equal(rename(away, file()), 0);
    add(database, "b");
    assert_string_equal(names(database), "a b ");
    cwsd_database_close(database);
    database = open_at(own_folder, 1);
    assert_string_equal(names(database), "a b ");
    cwsd_database_close(database);
}

/* Another file in its place is not the same. */
static void removed(void **state)
{
    (void)state;
    struct cwsd_database *database = open_at(own_folder, 1);
    add(database, "a");
    assert_int_equal(unlink(file()), 0);
    assert_takes_no_changes(database);
    write_file("another", 0);
    assert_takes_no_changes(database);
    assert_string_equal(names(database), "a ");
    cwsd_database_close(database);
}

static void out_of_memory(void **state)
{
    (void)state;
    const struct cwsd_schema schema = {steps, 1};
    struct cwsd_database *database;
    struct cws_error err;
    for (size_t n = 1; n <= 2; n++) {
        cws_alloc_fail_at(n);
        assert_int_equal(cwsd_database_open(own_folder, &schema, &database, &err), CWS_NO_MEMORY);
    }
    cws_alloc_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(values),
        FOLDER_TEST(steps_are_taken_once),
        FOLDER_TEST(a_step_that_fails_changes_nothing),
        FOLDER_TEST(the_real_steps),
        FOLDER_TEST(another_file),
        FOLDER_TEST(another_program),
        FOLDER_TEST(damaged),
        FOLDER_TEST(cut_off_after_a_stop),
        FOLDER_TEST(cut_off_after_a_kill),
        FOLDER_TEST(missing),
        FOLDER_TEST(whole_or_not_at_all),
        FOLDER_TEST(survives_a_kill),
        FOLDER_TEST(no_room),
        FOLDER_TEST(moved),
        FOLDER_TEST(removed),
        FOLDER_TEST(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
