#include "host/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "values/bounds.h"
#include "values/text.h"

#define LINGER_NS (5 * CWS_NS_PER_MS)

struct cwsd_archive {
    struct cwsd_child child;
    int outcome_fd;         /* reads the outcome */
    struct cws_timer timer; /* limits it, and then the lingering of its child */
    bool late;
    bool ended;
    void (*done)(void *ctx, const struct cwsa_outcome *outcome); /* NULL: cancelled */
    void *ctx;
};

static void fail(struct cwsa_outcome *outcome, int error, const char *text)
{
    outcome->failed = 1;
    outcome->error = error;
    snprintf(outcome->text, sizeof(outcome->text), "%s", text);
}

/* What it has said, which cannot be trusted to be well-formed. */
static void read_outcome(const struct cwsd_archive *archive, struct cwsa_outcome *outcome)
{
    ssize_t got = read(archive->outcome_fd, outcome, sizeof(*outcome));
    if (archive->late) {
        fail(outcome, ETIMEDOUT, "it took too long");
    } else if (got != sizeof(*outcome)) {
        memset(outcome, 0, sizeof(*outcome));
        fail(outcome, EIO, "cwsandbox-archive was killed");
    } else {
        outcome->text[sizeof(outcome->text) - 1] = '\0';
        cwsd_text_clean(outcome->text);
    }
}

/* If it was killed, its child may still be exiting. */
static void finish(struct cwsd_archive *archive)
{
    struct cws_loop *loop = archive->child.watch.loop;
    const uint64_t again_ns = cws_clock_now_ns() + LINGER_NS;
    struct cwsa_outcome outcome = {0};
    if (!cwsd_child_reap_rest(&archive->child) &&
        cws_timer_set(loop, &archive->timer, again_ns) == CWS_OK)
        return;
    void (*done)(void *ctx, const struct cwsa_outcome *outcome) = archive->done;
    void *ctx = archive->ctx;
    read_outcome(archive, &outcome);
    close(archive->outcome_fd);
    cws_timer_cancel(loop, &archive->timer);
    cws_free(archive);
    cws_loop_release(loop);
    if (done)
        done(ctx, &outcome);
}

static void on_end(struct cwsd_child *child, int wait_status)
{
    struct cwsd_archive *archive = cws_container_of(child, struct cwsd_archive, child);
    (void)wait_status;
    archive->ended = true;
    finish(archive);
}

static void on_timer(struct cws_timer *timer)
{
    struct cwsd_archive *archive = cws_container_of(timer, struct cwsd_archive, timer);
    if (archive->ended) {
        finish(archive);
    } else {
        archive->late = true;
        cwsd_child_kill_all(&archive->child);
    }
}

/* ---- the beginning -------------------------------------------------------------------------- */

static enum cws_status spawn(struct cws_loop *loop, struct cwsd_archive *archive,
                             const struct cwsd_archive_options *options, int outcome_fd,
                             struct cws_error *err)
{
    char parent[16], user[16], patience[16], limit[24];
    char *argv[] = {(char *)options->program,
                    (char *)(options->saves ? "save" : "restore"),
                    parent,
                    user,
                    options->saves ? patience : NULL,
                    options->saves ? limit : NULL,
                    (char *)options->temporary,
                    (char *)options->name,
                    NULL};
    snprintf(parent, sizeof(parent), "%d", (int)getpid());
    snprintf(user, sizeof(user), "%u", (unsigned)options->user);
    snprintf(patience, sizeof(patience), "%u", options->patience_ms);
    snprintf(limit, sizeof(limit), "%llu", (unsigned long long)options->limit);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "descriptors for an archive");
    const struct cwsd_spawn_options spawning = {
        .argv = argv,
        .stdin_fd = options->volume_fd,
        .stdout_fd = options->file_fd,
        .stderr_fd = null,
        .socket_fd = outcome_fd,
        .program_fd = options->saves ? options->folder_fd : -1,
    };
    enum cws_status status = cwsd_child_spawn(loop, &archive->child, &spawning, on_end, err);
    close(null);
    return status;
}

enum cws_status cwsd_archive_start(struct cws_loop *loop,
                                   const struct cwsd_archive_options *options,
                                   void (*done)(void *ctx, const struct cwsa_outcome *outcome),
                                   void *ctx, struct cwsd_archive **out_archive,
                                   struct cws_error *err)
{
    const uint64_t due_ns = cws_clock_now_ns() + CWSD_ARCHIVE_PATIENCE_S * CWS_NS_PER_S;
    int ends[2];
    struct cwsd_archive *archive = cws_calloc(1, sizeof(*archive));
    if (!archive)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for an archive");
    archive->done = done;
    archive->ctx = ctx;
    cws_timer_init(&archive->timer, on_timer);
    enum cws_status status = CWS_OK;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
        status = cws_error_set_errno(err, CWS_SYSTEM, errno, "descriptors for an archive");
    } else {
        archive->outcome_fd = ends[0];
        status = cws_timer_set(loop, &archive->timer, due_ns);
        if (status == CWS_OK)
            status = spawn(loop, archive, options, ends[1], err);
        else
            cws_error_set(err, status, "out of memory for an archive");
        close(ends[1]);
        if (status != CWS_OK) {
            cws_timer_cancel(loop, &archive->timer);
            close(ends[0]);
        }
    }
    if (status != CWS_OK) {
        cws_free(archive);
        return status;
    }
    cws_loop_hold(loop); /* it is not left behind when the daemon ends */
    *out_archive = archive;
    return CWS_OK;
}

void cwsd_archive_cancel(struct cwsd_archive *archive)
{
    archive->done = NULL;
    cwsd_child_kill_all(&archive->child);
}
