/* For the tests of file operations in boxes: one operation, and the recorder of its events. */
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "box/file_op.h"
#include "support/box_hosts.h"
#include "values/bounds.h"

#define MEGABYTE (1024u * 1024)
#define LARGEST  (64u * MEGABYTE)

struct op_world {
    struct box_world *world;
    struct cwsd_file_op *op;
    bool hold; /* no memory is given */
    bool free_on_need, free_at_end;
    size_t piece; /* 0: as much as is needed */
    unsigned needs;
    bool done, failed;
    struct cws_buf content;
    size_t len;
    struct cwsd_file_op_failure failure;
};

static inline void op_give(struct op_world *run, size_t len)
{
    uint8_t *memory;
    size_t more = run->piece && run->piece < len ? run->piece : len;
    assert_int_equal(cws_buf_reserve(&run->content, more, &memory), CWS_OK);
    cws_buf_commit(&run->content, more);
    cwsd_file_op_give(run->op, memory, more);
}

static inline void op_on_need(void *ctx, size_t len)
{
    struct op_world *run = ctx;
    assert_false(run->done || run->failed);
    assert_true(len > 0);
    run->needs++;
    if (run->free_on_need) {
        cwsd_file_op_free(run->op);
        run->op = NULL;
    } else if (!run->hold) {
        op_give(run, len);
    }
}

static inline void op_end(struct op_world *run)
{
    if (!run->free_at_end)
        return;
    cwsd_file_op_free(run->op);
    run->op = NULL;
}

static inline void op_on_done(void *ctx, size_t len)
{
    struct op_world *run = ctx;
    assert_false(run->done || run->failed);
    run->done = true;
    run->len = len;
    op_end(run);
}

static inline void op_on_failed(void *ctx, const struct cwsd_file_op_failure *failure)
{
    struct op_world *run = ctx;
    assert_false(run->done || run->failed);
    run->failed = true;
    run->failure = *failure;
    op_end(run);
}

static const struct cwsd_file_op_events op_events = {op_on_need, op_on_done, op_on_failed};

static inline void op_init(struct op_world *run, struct box_world *world)
{
    *run = (struct op_world){.world = world};
    cws_buf_init(&run->content, 2 * (size_t)LARGEST);
}

static inline void read_begin(struct op_world *run, const char *path, size_t max)
{
    struct cws_error err;
    if (cwsd_file_op_read(run->world->box, path, max, &op_events, run, &run->op, &err) != CWS_OK)
        fail_msg("%s", err.text);
    assert_false(run->needs || run->done || run->failed);
}

/* A read that gets no memory for its content: it stops in the middle. */
static inline void read_held(struct op_world *run, struct box_world *world, const char *path,
                             size_t max)
{
    op_init(run, world);
    run->hold = true;
    read_begin(run, path, max);
}

static inline void write_begin(struct op_world *run, const char *path, const void *content,
                               size_t len)
{
    struct cws_error err;
    if (cwsd_file_op_write(run->world->box, path, content, len, &op_events, run, &run->op, &err) !=
        CWS_OK)
        fail_msg("%s", err.text);
    assert_false(run->done || run->failed);
}

static inline void op_wait(struct op_world *run)
{
    RUN_UNTIL(run->world, run->done || run->failed);
}

static inline void op_close(struct op_world *run)
{
    if (run->op)
        cwsd_file_op_free(run->op);
    cws_buf_done(&run->content);
}

static inline void expect_written(struct box_world *world, const char *path, const void *content,
                                  size_t len)
{
    struct op_world run;
    op_init(&run, world);
    write_begin(&run, path, content, len);
    op_wait(&run);
    if (run.failed)
        fail_msg("writing %s: %d %s", path, run.failure.number, run.failure.err.text);
    op_close(&run);
}

static inline void expect_read_in_pieces(struct box_world *world, const char *path,
                                         const void *content, size_t len, size_t piece)
{
    struct op_world run;
    op_init(&run, world);
    run.piece = piece;
    read_begin(&run, path, LARGEST);
    op_wait(&run);
    if (run.failed)
        fail_msg("reading %s: %d %s", path, run.failure.number, run.failure.err.text);
    assert_int_equal(run.len, len);
    assert_true(run.len == 0 || memcmp(cws_buf_bytes(&run.content), content, len) == 0);
    op_close(&run);
}

static inline void expect_read(struct box_world *world, const char *path, const void *content,
                               size_t len)
{
    expect_read_in_pieces(world, path, content, len, 0);
}

/* The failure of a whole operation. */
static inline struct cwsd_file_op_failure failure_of(struct box_world *world, const char *path,
                                                     bool writes, size_t size)
{
    struct op_world run;
    op_init(&run, world);
    if (writes)
        write_begin(&run, path, "content", size);
    else
        read_begin(&run, path, size);
    op_wait(&run);
    if (!run.failed)
        fail_msg("%s did not fail", path);
    op_close(&run);
    return run.failure;
}

/* A folder that only this test uses, where sandboxes share the host's files, too. */
static inline const char *folder_of(struct box_world *world)
{
    static char folder[128];
    char script[160];
    snprintf(folder, sizeof(folder), "/tmp/%s", unique_name());
    snprintf(script, sizeof(script), "mkdir %s", folder);
    expect_script(world, script, 0, "");
    return folder;
}

static inline void remove_folder(struct box_world *world, const char *folder)
{
    char script[200];
    snprintf(script, sizeof(script), "rm -r %s", folder);
    expect_script(world, script, 0, "");
}

static inline const char *in(const char *folder, const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static inline size_t count_ids(const struct box_world *world)
{
    size_t count = 0;
    for (uint32_t id = 0; id < world->box->slot_count; id++)
        count += world->box->slots[id].occupant != NULL;
    return count;
}

static inline bool is_idle(const struct box_world *world)
{
    return count_ids(world) == 0;
}

/* All names in the folder, once no child of the init is at work any more. */
static inline void expect_names(struct box_world *world, const char *folder, const char *names)
{
    char script[300];
    RUN_UNTIL(world, is_idle(world));
    snprintf(script, sizeof(script), "ls -A %s", folder);
    expect_script(world, script, 0, names);
}

static inline uint8_t *make_content(size_t len)
{
    uint8_t *content = test_malloc(len);
    for (size_t i = 0; i < len; i++)
        content[i] = (uint8_t)(i * 7 + i / 251);
    return content;
}

static inline struct cwsd_host *probe_small(uint64_t written, uint64_t processes)
{
    struct cwsd_host *found = NULL;
    struct cws_error err;
    struct cwsd_host_options options = {.init_path = init_path(),
                                        .limits = {processes, 0, written}};
    if (cwsd_probe_host_from(&options, CWSD_ISOLATION_OVERLAY, &found, &err) != CWS_OK)
        fail_msg("%s", err.text);
    return found;
}

/* ---- where files have no nameless kind ------------------------------------------------------ */

/* From now on, here and in all boxes to come: as on a file system that cannot do it. */
static inline int forbid_nameless_files(void **state)
{
    (void)state;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_TMPFILE & ~O_DIRECTORY, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = CWS_ARRAY_LEN(code), .filter = code};
    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), 0);
    assert_int_equal(openat(AT_FDCWD, "/tmp", O_TMPFILE | O_WRONLY, 0600), -1);
    return probe_hosts(state);
}
