/*
 * For the tests of snapshots: their records in memory, their archives in a folder of the test's
 * own, and runs of cwsandbox-archive and a box, which the test plays itself.
 */
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include "base/list.h"
#include "host/archive.h"
#include "sandboxes/archives.h"
#include "support/descriptors.h"
#include "support/memory_database.h"
#include "support/own_folder.h"
#include "support/peer.h"

/* In place of host/archive.c: a run that ends when the test says so. */
struct cwsd_archive {
    struct cws_list node;
    struct cwsd_archive_options options;
    char temporary[40], name[40];
    void (*done)(void *ctx, const struct cwsa_outcome *outcome);
    void *ctx;
};

static struct cws_list runs; /* by age */
static unsigned cancelled_runs;
static const char *run_refusal; /* of the next ones; NULL: none */

enum cws_status cwsd_archive_start(struct cws_loop *loop,
                                   const struct cwsd_archive_options *options,
                                   void (*done)(void *ctx, const struct cwsa_outcome *outcome),
                                   void *ctx, struct cwsd_archive **out_archive,
                                   struct cws_error *err)
{
    (void)loop;
    if (run_refusal)
        return cws_error_set(err, CWS_SYSTEM, "%s", run_refusal);
    struct cwsd_archive *run = cws_calloc(1, sizeof(*run));
    if (!run)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for an archive");
    assert_true(fcntl(options->volume_fd, F_GETFD) >= 0);
    assert_true(fcntl(options->file_fd, F_GETFD) >= 0);
    run->options = *options;
    snprintf(run->temporary, sizeof(run->temporary), "%s",
             options->saves ? options->temporary : "");
    snprintf(run->name, sizeof(run->name), "%s", options->saves ? options->name : "");
    run->done = done;
    run->ctx = ctx;
    cws_list_push_back(&runs, &run->node);
    *out_archive = run;
    return CWS_OK;
}

static void free_run(struct cwsd_archive *run)
{
    cws_list_remove(&run->node);
    cws_free(run);
}

void cwsd_archive_cancel(struct cwsd_archive *archive)
{
    cancelled_runs++;
    free_run(archive);
}

static inline size_t count_runs(void)
{
    size_t count = 0;
    for (const struct cws_list *node = runs.next; node != &runs; node = node->next)
        count++;
    return count;
}

static inline struct cwsd_archive *first_run(void)
{
    assert_false(cws_list_is_empty(&runs));
    return cws_list_entry(runs.next, struct cwsd_archive, node);
}

/* What it says of an archive of this size. */
static inline struct cwsa_outcome outcome_of(uint64_t size)
{
    struct cwsa_outcome outcome = {.size = size};
    memset(outcome.digest, (int)size, sizeof(outcome.digest));
    return outcome;
}

static inline void end_run(struct cwsd_archive *run, const struct cwsa_outcome *outcome)
{
    void (*done)(void *ctx, const struct cwsa_outcome *outcome) = run->done;
    void *ctx = run->ctx;
    if (run->options.saves && !outcome->failed)
        assert_int_equal(
            renameat(run->options.folder_fd, run->temporary, run->options.folder_fd, run->name), 0);
    free_run(run);
    done(ctx, outcome);
}

static inline void run_succeeds(struct cwsd_archive *run, uint64_t size)
{
    const struct cwsa_outcome outcome = outcome_of(size);
    end_run(run, &outcome);
}

static inline void run_fails(struct cwsd_archive *run, const char *why)
{
    struct cwsa_outcome outcome = {.failed = 1, .error = EIO};
    snprintf(outcome.text, sizeof(outcome.text), "%s", why);
    end_run(run, &outcome);
}

/* ---- the box -------------------------------------------------------------------------------- */

#define BOX_USER 4711

static int volume_fd = -1; /* of every volume whose name does not begin with "no" */

/* In place of box/volume.c. */
int cwsd_box_volume(const struct cwsd_box *box, const char *name)
{
    assert_non_null(box);
    return strncmp(name, "no", 2) == 0 ? -1 : volume_fd;
}

uid_t cwsd_box_user(const struct cwsd_box *box)
{
    assert_non_null(box);
    return BOX_USER;
}

static inline struct cwsd_box *some_box(void)
{
    static int box;
    return (struct cwsd_box *)&box; /* nobody looks into it */
}

/* ---- the world ------------------------------------------------------------------------------ */

struct archives_world {
    struct cws_loop *loop;
    struct cwsd_archives *archives;
    struct cwsd_fault fault;
    char folder[80]; /* of the archives */
};

static struct archives_world world;

static inline enum cws_status try_open_archives(struct cws_error *err)
{
    const struct cwsd_archives_options options = {.loop = world.loop,
                                                  .database = database,
                                                  .folder = world.folder,
                                                  .program = "/nowhere/cwsandbox-archive"};
    world.archives = NULL;
    return cwsd_archives_open(&options, &world.archives, err);
}

static inline void open_archives(void)
{
    struct cws_error err;
    if (try_open_archives(&err) != CWS_OK)
        fail_msg("%s", err.text);
}

/* As if the daemon ended and started again. */
static inline void reopen_archives(void)
{
    cwsd_archives_close(world.archives);
    open_archives();
}

static inline int archives_set_up(void **state)
{
    struct cws_error err;
    if (own_folder_make(state))
        return -1;
    memset(&world, 0, sizeof(world));
    cws_list_init(&runs);
    cancelled_runs = 0;
    run_refusal = NULL;
    snprintf(world.folder, sizeof(world.folder), "%s/snapshots", own_folder);
    volume_fd = open(own_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    world.loop = loop_open();
    if (volume_fd < 0 || cwsd_database_open(NULL, &cwsd_schema, &database, &err) != CWS_OK)
        return -1;
    open_archives();
    return 0;
}

static inline int archives_tear_down(void **state)
{
    cws_alloc_fail_at(0);
    cwsd_archives_close(world.archives);
    cwsd_database_close(database);
    loop_close(world.loop);
    close(volume_fd);
    assert_int_equal(count_runs(), 0);
    return own_folder_remove(state);
}

#define ARCHIVES_TEST(f) cmocka_unit_test_setup_teardown(f, archives_set_up, archives_tear_down)

static inline bool has_file(const char *prefix, const char *id)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/%s%s.tar", world.folder, prefix, id);
    return access(path, F_OK) == 0;
}

static inline void put_file(const char *name)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/%s", world.folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static inline struct cwsd_save save_of(const char *sandbox_id, const char *volume)
{
    return (struct cwsd_save){.trigger = CWSD_SNAPSHOT_TRIGGER(MANUAL),
                              .sandbox_id = sandbox_id,
                              .box = some_box(),
                              .volume = volume,
                              .request_id = ""};
}

static inline struct cwsd_snapshot save(const char *sandbox_id, const char *volume)
{
    const struct cwsd_save wanted = save_of(sandbox_id, volume);
    struct cwsd_snapshot made;
    if (!cwsd_archives_save(world.archives, &wanted, &made, &world.fault))
        fail_msg("%s", world.fault.message);
    return made;
}

static inline struct cwsd_snapshot find_snapshot(const char *id)
{
    struct cwsd_snapshot found;
    memset(&world.fault, 0, sizeof(world.fault));
    if (!cwsd_archives_find(world.archives, id, &found, &world.fault))
        fail_msg("%s", world.fault.message);
    return found;
}

static inline bool remove_snapshot(const char *id)
{
    struct cwsd_snapshot last;
    memset(&world.fault, 0, sizeof(world.fault));
    return cwsd_archives_remove(world.archives, id, &last, &world.fault);
}

/* One that is READY, of an archive of this size. */
static inline struct cwsd_snapshot make_snapshot(uint64_t size)
{
    struct cwsd_snapshot made = save("sb-maker", "data");
    run_succeeds(first_run(), size);
    return find_snapshot(made.id);
}

static inline void expect_fault(enum cws_grpc_code code, const char *reason, const char *text)
{
    if (world.fault.code != code || !strstr(world.fault.message, text))
        fail_msg("%d, \"%s\" instead of \"%s\"", world.fault.code, world.fault.message, text);
    assert_string_equal(world.fault.reason, reason);
}
