/* host/archive: one run of cwsandbox-archive on a directory of this test's. */
#include "support/daemon_help.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "host/archive.h"
#include "support/peer.h"

#define PATIENCE_MS 20000
#define SHORT_MS    100

struct world {
    struct cws_loop *loop;
    char folder[40]; /* in memory, where files can be as large as in a volume */
    int folder_fd, volume_fd, file_fd;
    struct cwsd_archive *archive;
    unsigned ended;
    struct cwsa_outcome outcome;
};

static const char *program(const char *name)
{
    static char path[4096];
    const char *folder = getenv("CWS_TEST_BIN");
    if (folder) {
        snprintf(path, sizeof(path), "%s/%s", folder, name);
        return path;
    }
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 64);
    assert_true(len > 0);
    path[len] = '\0';
    for (int level = 0; level < 4; level++) /* tests/daemon/FLOOR/PROGRAM */
        *strrchr(path, '/') = '\0';
    strcat(path, "/bin/");
    return strcat(path, name);
}

static int open_directory(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void put(int at, const char *name, const char *text, mode_t mode)
{
    int fd = openat(at, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static int set_up(void **state)
{
    struct world *w = test_calloc(1, sizeof(*w));
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    snprintf(w->folder, sizeof(w->folder), "/dev/shm/cws-archive-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    w->folder_fd = open_directory(AT_FDCWD, w->folder);
    assert_int_equal(mkdirat(w->folder_fd, "volume", 0700), 0);
    w->volume_fd = open_directory(w->folder_fd, "volume");
    w->file_fd = openat(w->folder_fd, ".new", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(w->file_fd >= 0);
    w->loop = loop_open();
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    char command[64];
    loop_close(w->loop);
    close(w->file_fd);
    close(w->volume_fd);
    close(w->folder_fd);
    snprintf(command, sizeof(command), "rm -rf %s", w->folder);
    test_free(w);
    cws_alloc_fail_at(0);
    return system(command);
}

#define ARCHIVE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static void on_done(void *ctx, const struct cwsa_outcome *outcome)
{
    struct world *w = ctx;
    w->archive = NULL;
    w->outcome = *outcome;
    w->ended++;
}

static struct cwsd_archive_options saving(const struct world *w)
{
    return (struct cwsd_archive_options){.program = program("cwsandbox-archive"),
                                         .volume_fd = w->volume_fd,
                                         .file_fd = w->file_fd,
                                         .patience_ms = PATIENCE_MS,
                                         .saves = true,
                                         .folder_fd = w->folder_fd,
                                         .temporary = ".new",
                                         .name = "new",
                                         .limit = 1 << 30};
}

static void run(struct world *w, const struct cwsd_archive_options *options)
{
    struct cws_error err;
    w->ended = 0;
    if (cwsd_archive_start(w->loop, options, on_done, w, &w->archive, &err) != CWS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(w->ended, 0);
    PUMP_UNTIL(w->loop, w->ended);
    assert_int_equal(w->ended, 1);
}

static void assert_failed(const struct world *w, int error, const char *text)
{
    assert_true(w->outcome.failed);
    if (!strstr(w->outcome.text, text) || w->outcome.error != error)
        fail_msg("errno %d: \"%s\"", w->outcome.error, w->outcome.text);
}

static bool is_there(const struct world *w, const char *name)
{
    return faccessat(w->folder_fd, name, F_OK, 0) == 0;
}

static void test_saved_and_restored(void **state)
{
    struct world *w = *state;
    struct cwsd_archive_options options = saving(w);
    char text[8] = "";
    put(w->volume_fd, "kept", "content", 0600);
    run(w, &options);
    if (w->outcome.failed)
        fail_msg("%s", w->outcome.text);
    assert_true(is_there(w, "new") && !is_there(w, ".new"));
    const struct cwsa_outcome saved = w->outcome;
    assert_int_equal(lseek(w->file_fd, 0, SEEK_END), saved.size);
    assert_int_equal(lseek(w->file_fd, 0, SEEK_SET), 0);
    assert_int_equal(mkdirat(w->folder_fd, "other", 0700), 0);
    int other = open_directory(w->folder_fd, "other");
    run(w, &(struct cwsd_archive_options){
               .program = options.program, .volume_fd = other, .file_fd = w->file_fd});
    assert_false(w->outcome.failed);
    assert_int_equal(w->outcome.size, saved.size);
    assert_memory_equal(w->outcome.digest, saved.digest, sizeof(saved.digest));
    int fd = openat(other, "kept", O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, text, sizeof(text)), 7);
    assert_string_equal(text, "content");
    close(fd);
    close(other);
}

/* The program's own limit is higher, and may not be set then. Sanitizers map terabytes. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LOW_MEMORY ((rlim_t)1 << 46)
#else
#define LOW_MEMORY ((rlim_t)3 << 30)
#endif

static void test_with_less_memory_than_it_may_take(void **state)
{
    struct world *w = *state;
    const struct cwsd_archive_options options = saving(w);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    const struct rlimit low = {LOW_MEMORY, LOW_MEMORY};
    assert_int_equal(setrlimit(RLIMIT_AS, &low), 0);
    put(w->volume_fd, "kept", "content", 0600);
    run(w, &options);
    (void)setrlimit(RLIMIT_AS, &before); /* only root may */
    if (w->outcome.failed)
        fail_msg("%s", w->outcome.text);
    assert_true(is_there(w, "new"));
}

/* Reading its holes would take years. */
static void make_endless(const struct world *w)
{
    put(w->volume_fd, "endless", "", 0600);
    int fd = openat(w->volume_fd, "endless", O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, (off_t)1 << 61), 0);
    close(fd);
}

static void test_without_progress(void **state)
{
    struct world *w = *state;
    struct cwsd_archive_options options = saving(w);
    options.patience_ms = SHORT_MS;
    make_endless(w);
    run(w, &options);
    assert_failed(w, ETIMEDOUT, "no progress: less than 1024 KiB of the archive in 100 ms");
    assert_false(is_there(w, "new"));
}

/* Also when the last bytes of it are the first that are written. */
static void test_too_large(void **state)
{
    struct world *w = *state;
    struct cwsd_archive_options options = saving(w);
    options.limit = 100;
    put(w->volume_fd, "file", "content", 0600);
    run(w, &options);
    assert_failed(w, EFBIG, "writing the archive");
    assert_false(is_there(w, "new"));
}

/* Nothing is called; the loop waits for what it has to end. */
static void test_cancelled(void **state)
{
    struct world *w = *state;
    struct cwsd_archive_options options = saving(w);
    struct cws_error err;
    make_endless(w);
    assert_int_equal(cwsd_archive_start(w->loop, &options, on_done, w, &w->archive, &err), CWS_OK);
    cwsd_archive_cancel(w->archive);
    loop_close(w->loop);
    w->loop = loop_open();
    assert_int_equal(w->ended, 0);
    assert_false(is_there(w, "new"));
}

/* Whatever the program says, or does not say. */
static void test_outcomes_that_are_none(void **state)
{
    struct world *w = *state;
    static const char *const scripts[] = {"exit 0", "printf short >&3", "kill -9 $$"};
    char path[64];
    snprintf(path, sizeof(path), "%s/program", w->folder);
    struct cwsd_archive_options options = saving(w);
    options.program = path;
    for (size_t i = 0; i < CWS_ARRAY_LEN(scripts); i++) {
        char text[200];
        snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", scripts[i]);
        put(w->folder_fd, "program", text, 0700);
        run(w, &options);
        assert_failed(w, EIO, "cwsandbox-archive was killed");
    }
}

/* Its text ends, and has no control characters for somebody's terminal. */
static void test_a_forged_text(void **state)
{
    struct world *w = *state;
    char path[64];
    struct cwsa_outcome forged = {.failed = 1, .error = EPERM};
    memset(forged.text, 'x', sizeof(forged.text));
    memcpy(forged.text, "\033[2J", 4);
    int fd = openat(w->folder_fd, "forged", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, &forged, sizeof(forged)), (ssize_t)sizeof(forged));
    close(fd);
    snprintf(path, sizeof(path), "%s/program", w->folder);
    put(w->folder_fd, "program", "#!/bin/sh\ncat \"${0%/*}/forged\" >&3\n", 0700);
    struct cwsd_archive_options options = saving(w);
    options.program = path;
    run(w, &options);
    assert_true(w->outcome.failed);
    assert_null(memchr(w->outcome.text, '\033', sizeof(w->outcome.text)));
    assert_int_equal(strlen(w->outcome.text), sizeof(w->outcome.text) - 1);
}

static void test_that_cannot_start(void **state)
{
    struct world *w = *state;
    struct cwsd_archive_options options = saving(w);
    struct cws_error err;
    options.program = "/nowhere/cwsandbox-archive";
    assert_int_equal(cwsd_archive_start(w->loop, &options, on_done, w, &w->archive, &err),
                     CWS_SYSTEM);
    options = saving(w);
    options.volume_fd = -1;
    assert_int_equal(cwsd_archive_start(w->loop, &options, on_done, w, &w->archive, &err),
                     CWS_SYSTEM);
    assert_int_equal(w->ended, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARCHIVE_TEST(test_saved_and_restored), ARCHIVE_TEST(test_with_less_memory_than_it_may_take),
        ARCHIVE_TEST(test_without_progress),   ARCHIVE_TEST(test_too_large),
        ARCHIVE_TEST(test_cancelled),          ARCHIVE_TEST(test_outcomes_that_are_none),
        ARCHIVE_TEST(test_a_forged_text),      ARCHIVE_TEST(test_that_cannot_start)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
