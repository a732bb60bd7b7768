#include "sandboxes/archives_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "config/private.h"
#include "values/bounds.h"
#include "values/text.h"

/* What an archive may have beyond the bytes of its volume: names, modes and attributes. */
#define EXTRA_BYTES(files) ((uint64_t)(files) * (4 * CWSD_KIB) + CWSD_MIB)

/* How often it is tried to write a record for which there is no room. */
#define RETRY_NS CWS_NS_PER_S

/* When there may be room for another archive: a small volume takes less. */
#define RETRY_AFTER_S 1

/* An archive in the making. */
struct job {
    struct cws_list node;
    struct cwsd_archives *archives;
    struct cwsd_snapshot snapshot;
    int volume_fd;
    int file_fd; /* -1: not begun */
    uid_t user;
    bool waits;                   /* for the end of its sandbox */
    bool settled;                 /* only the record is to be written yet */
    struct cws_timer retry;       /* of that */
    struct cwsd_archive *archive; /* while it runs */
};

static int64_t wall_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * (int64_t)CWS_NS_PER_S + now.tv_nsec;
}

void cwsd_archives_name(const char *id, bool finished, char out[CWSD_ARCHIVE_NAME_SIZE])
{
    snprintf(out, CWSD_ARCHIVE_NAME_SIZE, "%s%s.tar", finished ? "" : ".", id);
}

/* ---- making --------------------------------------------------------------------------------- */

static void next_jobs(struct cwsd_archives *archives);

static void remove_file(struct cwsd_archives *archives, const char *id, bool finished)
{
    char name[CWSD_ARCHIVE_NAME_SIZE];
    cwsd_archives_name(id, finished, name);
    unlinkat(archives->folder_fd, name, 0);
}

/* What the making needs: the process, the file, the volume. */
static void end_work(struct job *job)
{
    if (job->archive)
        cwsd_archive_cancel(job->archive);
    job->archive = NULL;
    if (job->file_fd >= 0) {
        close(job->file_fd);
        remove_file(job->archives, job->snapshot.id, false);
        job->archives->running--;
    }
    job->file_fd = -1;
    if (job->volume_fd >= 0)
        close(job->volume_fd);
    job->volume_fd = -1;
}

static void free_job(struct job *job)
{
    end_work(job);
    cws_timer_cancel(job->archives->loop, &job->retry);
    cws_list_remove(&job->node);
    cws_free(job);
}

/* If it cannot be written there is no snapshot, since the next start would not know of it. That it
 * has failed is written as soon as there is room. */
static void write_record(struct job *job)
{
    struct cwsd_archives *archives = job->archives;
    struct cwsd_snapshot *snapshot = &job->snapshot;
    const uint64_t again_ns = cws_clock_now_ns() + RETRY_NS;
    struct cws_error err;
    if (cwsd_snapshots_update(&archives->records, snapshot, &err) == CWS_OK) {
        free_job(job);
        return;
    }
    if (snapshot->state == CWSD_SNAPSHOT_STATE(READY)) {
        remove_file(archives, snapshot->id, true);
        snapshot->state = CWSD_SNAPSHOT_STATE(FAILED);
        snapshot->size = 0;
        snprintf(snapshot->reason, sizeof(snapshot->reason), "its record: %.180s", err.text);
    }
    if (cws_timer_set(archives->loop, &job->retry, again_ns) != CWS_OK)
        free_job(job); /* the next start finds it in CREATING */
}

static void on_retry(struct cws_timer *timer)
{
    write_record(cws_container_of(timer, struct job, retry));
}

/* Its file goes before the record is written: it may have taken all the room there was. */
static void settle(struct job *job, const struct cwsa_outcome *outcome)
{
    struct cwsd_archives *archives = job->archives;
    struct cwsd_snapshot *snapshot = &job->snapshot;
    snapshot->completed_ns = snapshot->updated_ns = wall_clock_ns();
    job->settled = true;
    end_work(job);
    if (outcome->failed) {
        snapshot->state = CWSD_SNAPSHOT_STATE(FAILED);
        snprintf(snapshot->reason, sizeof(snapshot->reason), "%s", outcome->text);
        remove_file(archives, snapshot->id, true);
    } else {
        snapshot->state = CWSD_SNAPSHOT_STATE(READY);
        snapshot->size = outcome->size;
        memcpy(snapshot->digest, outcome->digest, sizeof(snapshot->digest));
    }
    write_record(job);
    next_jobs(archives);
}

static void on_saved(void *ctx, const struct cwsa_outcome *outcome)
{
    struct job *job = ctx;
    job->archive = NULL;
    settle(job, outcome);
}

/* How large its archive can become. Beyond it something is wrong. */
static uint64_t limit_of(int volume_fd)
{
    struct statfs status;
    if (fstatfs(volume_fd, &status) < 0)
        return 0;
    return (uint64_t)status.f_blocks * (uint64_t)status.f_bsize + EXTRA_BYTES(status.f_files);
}

static enum cws_status start_job(struct job *job, struct cws_error *err)
{
    struct cwsd_archives *archives = job->archives;
    char name[CWSD_ARCHIVE_NAME_SIZE], temporary[CWSD_ARCHIVE_NAME_SIZE];
    cwsd_archives_name(job->snapshot.id, true, name);
    cwsd_archives_name(job->snapshot.id, false, temporary);
    job->file_fd =
        openat(archives->folder_fd, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (job->file_fd < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "making a file for the archive");
    archives->running++;
    const struct cwsd_archive_options options = {.program = archives->program,
                                                 .volume_fd = job->volume_fd,
                                                 .user = job->user,
                                                 .file_fd = job->file_fd,
                                                 .patience_ms = CWSD_ARCHIVE_STALL_MS,
                                                 .saves = true,
                                                 .folder_fd = archives->folder_fd,
                                                 .temporary = temporary,
                                                 .name = name,
                                                 .limit = limit_of(job->volume_fd)};
    return cwsd_archive_start(archives->loop, &options, on_saved, job, &job->archive, err);
}

static bool runs_for(const struct cwsd_archives *archives, const char *sandbox_id)
{
    for (const struct cws_list *node = archives->jobs.next; node != &archives->jobs;
         node = node->next) {
        const struct job *job = cws_list_entry(node, struct job, node);
        if (job->file_fd >= 0 && strcmp(job->snapshot.sandbox_id, sandbox_id) == 0)
            return true;
    }
    return false;
}

/* One at a time for each sandbox: a volume may take as long as its sandbox likes, and the next one
 * belongs to somebody else. */
static struct job *find_startable(struct cwsd_archives *archives)
{
    if (archives->running >= CWSD_MAX_ARCHIVES_AT_ONCE)
        return NULL;
    for (struct cws_list *node = archives->jobs.next; node != &archives->jobs; node = node->next) {
        struct job *job = cws_list_entry(node, struct job, node);
        if (!job->waits && !job->settled && job->file_fd < 0 &&
            !runs_for(archives, job->snapshot.sandbox_id))
            return job;
    }
    return NULL;
}

static void next_jobs(struct cwsd_archives *archives)
{
    struct job *job = find_startable(archives);
    struct cwsa_outcome outcome = {.failed = 1};
    struct cws_error err;
    if (!job)
        return;
    if (start_job(job, &err) == CWS_OK) {
        next_jobs(archives);
        return;
    }
    snprintf(outcome.text, sizeof(outcome.text), "%.160s", err.text);
    settle(job, &outcome); /* goes on with the next */
}

bool cwsd_archives_find_repeated(struct cwsd_archives *archives, const struct cwsd_save *save,
                                 struct cwsd_snapshot *out, struct cwsd_fault *fault)
{
    struct cws_error err;
    bool found;
    if (!save->request_id[0])
        return false;
    if (cwsd_snapshots_find_request(&archives->records, save->trigger, save->request_id,
                                    save->position, out, &found, &err) != CWS_OK)
        return cwsd_database_fault(archives->records.database, &err, fault);
    if (!found || cwsd_digest_equal(out->request, save->request))
        return found;
    cwsd_fault_set(fault, CWS_GRPC_ALREADY_EXISTS, CWSD_REASON_REQUEST_ID_CONFLICT,
                   "request_id: \"%s\" was used before for another request; it made %s",
                   cwsd_text_short(save->request_id).text, out->id);
    cwsd_fault_note(fault, "request_id", save->request_id);
    return false;
}

/* `sandbox_id` NULL: of all sandboxes. */
static size_t count_jobs(const struct cwsd_archives *archives, const char *sandbox_id)
{
    size_t count = 0;
    for (const struct cws_list *node = archives->jobs.next; node != &archives->jobs;
         node = node->next) {
        const struct job *job = cws_list_entry(node, struct job, node);
        count += !sandbox_id || strcmp(job->snapshot.sandbox_id, sandbox_id) == 0;
    }
    return count;
}

/* One sandbox cannot fill the queue. What is made when it ends is not counted: there is one for
 * each volume, once. */
bool cwsd_archives_have_turn(struct cwsd_archives *archives, const char *sandbox_id,
                             struct cwsd_fault *fault)
{
    const size_t own = count_jobs(archives, sandbox_id);
    if (own < CWSD_MAX_ARCHIVES_OF_ONE)
        return true;
    cwsd_fault_set(fault, CWS_GRPC_RESOURCE_EXHAUSTED, CWSD_REASON_FSS_INFLIGHT_LIMIT,
                   "%zu snapshots of sandbox %s are being made; at most %d are at a time: try "
                   "again when one is done",
                   own, sandbox_id, CWSD_MAX_ARCHIVES_OF_ONE);
    cwsd_fault_note(fault, "sandbox_id", sandbox_id);
    cwsd_fault_retry(fault, RETRY_AFTER_S);
    return false;
}

bool cwsd_archives_have_room(struct cwsd_archives *archives, size_t count, struct cwsd_fault *fault)
{
    struct cws_error err;
    size_t stored;
    if (count_jobs(archives, NULL) + count >
        CWSD_MAX_ARCHIVES_AT_ONCE + CWSD_MAX_WAITING_ARCHIVES) {
        cwsd_fault_set(fault, CWS_GRPC_UNAVAILABLE, CWSD_REASON_FSS_INFLIGHT_LIMIT,
                       "%zu snapshots are being made; try again when some are done",
                       count_jobs(archives, NULL));
        cwsd_fault_retry(fault, RETRY_AFTER_S);
        return false;
    }
    if (cwsd_snapshots_count(&archives->records, &stored, &err) != CWS_OK)
        return cwsd_database_fault(archives->records.database, &err, fault);
    if (stored + count <= CWSD_MAX_SNAPSHOTS)
        return true;
    return cwsd_fault_set(fault, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_FSS_QUOTA_EXCEEDED,
                          "there are %zu snapshots; at most %d are kept: delete some", stored,
                          CWSD_MAX_SNAPSHOTS);
}

static struct job *new_job(struct cwsd_archives *archives, const struct cwsd_save *save)
{
    struct job *job = cws_calloc(1, sizeof(*job));
    if (!job)
        return NULL;
    struct cwsd_snapshot *snapshot = &job->snapshot;
    cws_list_init(&job->node);
    cws_timer_init(&job->retry, on_retry);
    job->archives = archives;
    job->file_fd = -1;
    job->user = cwsd_box_user(save->box);
    job->waits = save->trigger == CWSD_SNAPSHOT_TRIGGER(ON_DELETE);
    job->volume_fd = fcntl(cwsd_box_volume(save->box, save->volume), F_DUPFD_CLOEXEC, 0);
    if (job->volume_fd < 0) {
        cws_free(job);
        return NULL;
    }
    cwsd_snapshot_init(snapshot, wall_clock_ns());
    snapshot->trigger = save->trigger;
    snapshot->request = save->request;
    snapshot->position = save->position;
    snprintf(snapshot->sandbox_id, sizeof(snapshot->sandbox_id), "%s", save->sandbox_id);
    snprintf(snapshot->volume, sizeof(snapshot->volume), "%s", save->volume);
    snprintf(snapshot->request_id, sizeof(snapshot->request_id), "%s", save->request_id);
    return job;
}

bool cwsd_archives_save(struct cwsd_archives *archives, const struct cwsd_save *save,
                        struct cwsd_snapshot *out, struct cwsd_fault *fault)
{
    struct cws_error err;
    struct job *job = new_job(archives, save);
    if (!job)
        return cwsd_fault_set(fault, CWS_GRPC_UNAVAILABLE, CWSD_REASON_FSS_CREATE_FAILED,
                              "the volume %s cannot be held: no memory or no descriptor is left",
                              save->volume);
    if (cwsd_snapshots_add(&archives->records, &job->snapshot, &err) != CWS_OK) {
        free_job(job);
        return cwsd_database_fault(archives->records.database, &err, fault);
    }
    *out = job->snapshot;
    cws_list_push_back(&archives->jobs, &job->node);
    next_jobs(archives);
    return true;
}

void cwsd_archives_begin(struct cwsd_archives *archives, const char *sandbox_id)
{
    for (struct cws_list *node = archives->jobs.next; node != &archives->jobs; node = node->next) {
        struct job *job = cws_list_entry(node, struct job, node);
        if (strcmp(job->snapshot.sandbox_id, sandbox_id) == 0)
            job->waits = false;
    }
    next_jobs(archives);
}

/* ---- looking up and removing ---------------------------------------------------------------- */

struct cwsd_snapshots *cwsd_archives_records(struct cwsd_archives *archives)
{
    return &archives->records;
}

bool cwsd_archives_find(struct cwsd_archives *archives, const char *id, struct cwsd_snapshot *out,
                        struct cwsd_fault *fault)
{
    struct cws_error err;
    bool found;
    if (!id[0])
        return cwsd_fault_set_invalid(fault, "file_system_snapshot_id", "must not be empty");
    if (cwsd_snapshots_find(&archives->records, id, out, &found, &err) != CWS_OK)
        return cwsd_database_fault(archives->records.database, &err, fault);
    if (found)
        return true;
    cwsd_fault_set(fault, CWS_GRPC_NOT_FOUND, CWSD_REASON_FSS_NOT_FOUND,
                   "there is no file system snapshot \"%s\"", cwsd_text_short(id).text);
    cwsd_fault_note(fault, "file_system_snapshot_id", id);
    return false;
}

bool cwsd_archives_remove(struct cwsd_archives *archives, const char *id, struct cwsd_snapshot *out,
                          struct cwsd_fault *fault)
{
    struct cws_error err;
    if (!cwsd_archives_find(archives, id, out, fault))
        return false;
    if (cwsd_snapshots_remove(&archives->records, id, &err) != CWS_OK)
        return cwsd_database_fault(archives->records.database, &err, fault);
    for (struct cws_list *node = archives->jobs.next; node != &archives->jobs; node = node->next) {
        struct job *job = cws_list_entry(node, struct job, node);
        if (strcmp(job->snapshot.id, id) == 0) {
            free_job(job);
            break;
        }
    }
    remove_file(archives, id, true);
    next_jobs(archives);
    return true;
}

/* ---- the beginning and the end --------------------------------------------------------------- */

/* False for a file that is not an archive, finished or in the making: it is somebody else's. */
static bool parse_name(const char *file, char id[CWSD_SNAPSHOT_ID_SIZE], bool *out_finished)
{
    char name[CWSD_ARCHIVE_NAME_SIZE];
    *out_finished = file[0] != '.';
    snprintf(id, CWSD_SNAPSHOT_ID_SIZE, "%.*s", CWSD_SNAPSHOT_ID_SIZE - 1, file + !*out_finished);
    cwsd_archives_name(id, *out_finished, name);
    return strncmp(id, "fss-", 4) == 0 && strspn(id + 4, "0123456789abcdef") == 16 &&
           strcmp(file, name) == 0;
}

/* Whether a file is what is left of a snapshot that is not READY. */
static enum cws_status is_leftover(struct cwsd_archives *archives, const char *file, bool *out_is,
                                   struct cws_error *err)
{
    struct cwsd_snapshot snapshot;
    char id[CWSD_SNAPSHOT_ID_SIZE];
    bool finished, found;
    *out_is = parse_name(file, id, &finished);
    if (!*out_is || !finished)
        return CWS_OK;
    if (cwsd_snapshots_find(&archives->records, id, &snapshot, &found, err) != CWS_OK)
        return err->status;
    *out_is = !found || snapshot.state != CWSD_SNAPSHOT_STATE(READY);
    return CWS_OK;
}

static enum cws_status remove_leftovers(struct cwsd_archives *archives, struct cws_error *err)
{
    struct dirent *entry;
    enum cws_status status = CWS_OK;
    int fd = openat(archives->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        if (fd >= 0)
            close(fd);
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "reading the folder of the snapshots");
    }
    while (status == CWS_OK && (entry = readdir(folder)) != NULL) {
        bool removed;
        status = is_leftover(archives, entry->d_name, &removed, err);
        if (status == CWS_OK && removed)
            unlinkat(archives->folder_fd, entry->d_name, 0);
    }
    closedir(folder);
    return status;
}

static char *find_program(const char *given)
{
    char path[PATH_MAX] = "";
    if (given)
        return cws_strdup(given);
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - sizeof("cwsandbox-archive"));
    while (len > 0 && path[len - 1] != '/')
        len--;
    snprintf(path + (len > 0 ? len : 0), sizeof("cwsandbox-archive"), "cwsandbox-archive");
    return cws_strdup(path);
}

static void release(struct cwsd_archives *archives)
{
    cwsd_snapshots_done(&archives->records);
    if (archives->folder_fd >= 0)
        close(archives->folder_fd);
    cws_free(archives->program);
    cws_free(archives);
}

enum cws_status cwsd_archives_open(const struct cwsd_archives_options *options,
                                   struct cwsd_archives **out_archives, struct cws_error *err)
{
    struct cwsd_archives *archives = cws_calloc(1, sizeof(*archives));
    if (!archives)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory");
    archives->loop = options->loop;
    archives->folder_fd = -1;
    cws_list_init(&archives->jobs);
    enum cws_status status = cwsd_snapshots_init(&archives->records, options->database, err);
    archives->program = find_program(options->program);
    if (status == CWS_OK && !archives->program)
        status = cws_error_set(err, CWS_NO_MEMORY, "out of memory");
    if (status == CWS_OK)
        status = cwsd_private_open(options->folder, &archives->folder_fd, err);
    if (status == CWS_OK)
        status = cwsd_snapshots_fail_unfinished(
            &archives->records, "the daemon ended while it was being made", wall_clock_ns(), err);
    if (status == CWS_OK)
        status = remove_leftovers(archives, err);
    if (status == CWS_OK)
        *out_archives = archives;
    else
        release(archives);
    return status;
}

void cwsd_archives_close(struct cwsd_archives *archives)
{
    if (!archives)
        return;
    while (!cws_list_is_empty(&archives->jobs))
        free_job(cws_list_entry(archives->jobs.next, struct job, node));
    release(archives);
}
