/*
 * cwsandbox-archive: saves a scratch volume of a sandbox to a file, or fills a volume from one.
 * outcome.h says how it is called.
 */
/* SHA-256 by itself: EVP brings all of libcrypto into a static program. */
#define OPENSSL_API_COMPAT 10101
#include "outcome.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "parts.h"

#define PIECE     (1 << 18)
#define AT_A_TIME (1 << 24) /* bytes that the disk is told to write */

/* What both processes do with the archive. */
struct transfer {
    bool saves;
    uid_t user;
    int64_t patience_ns; /* see outcome.h */
    int64_t waited_ns;   /* for the child, since the last step */
    uint64_t step_start; /* outcome.size at the last step */
    uint64_t limit;
    const char *temporary, *name;
    struct complaint *complaint; /* shared */
    int notes;                   /* from the child that saves: there is more in the file */
    pid_t child;
    SHA256_CTX digest;
    uint8_t *piece;
    struct cwsa_outcome outcome;
};

void complaint_set(struct complaint *complaint, int error, const char *fmt, ...)
{
    va_list args;
    if (complaint->text[0])
        return;
    complaint->error = error;
    va_start(args, fmt);
    vsnprintf(complaint->text, sizeof(complaint->text), fmt, args);
    va_end(args);
}

static bool fail(struct transfer *transfer, int error, const char *what)
{
    complaint_set(transfer->complaint, error, "%s: %s", what, strerror(error));
    return false;
}

/* ---- the child ------------------------------------------------------------------------------ */

/* Of all files, which is the archive alone. A limit that is lower already stays. */
static void limit_size(uint64_t most)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && most < limit.rlim_max) {
        limit = (struct rlimit){most, most};
        setrlimit(RLIMIT_FSIZE, &limit);
    }
}

/* The archive is descriptor 1 of the child that saves, which sends its notes to 0; it is 0 of the
 * one that restores. */
static bool arrange(const struct transfer *transfer, int notes)
{
    if (transfer->saves) {
        limit_size(transfer->limit);
        return dup2(notes, 0) == 0;
    }
    return dup2(CWSA_FILE, 0) == 0 && close(CWSA_FILE) == 0;
}

__attribute__((noreturn)) static void run_child(const struct transfer *transfer, int notes,
                                                pid_t parent)
{
    int root = fcntl(CWSA_VOLUME, F_DUPFD_CLOEXEC, 3);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || !arrange(transfer, notes))
        _exit(1);
    bool done = confine(transfer->user, parent, root, transfer->complaint) &&
                (transfer->saves ? pack(transfer->complaint) : unpack(transfer->complaint));
    _exit(done ? 0 : 1);
}

static bool start_child(struct transfer *transfer)
{
    int ends[2];
    const pid_t self = getpid();
    if (pipe2(ends, O_CLOEXEC) < 0)
        return fail(transfer, errno, "a pipe");
    transfer->child = fork();
    if (transfer->child == 0)
        run_child(transfer, ends[1], self);
    int error = errno;
    close(ends[1]);
    transfer->notes = ends[0];
    return transfer->child > 0 || fail(transfer, error, "a process");
}

static bool end_child(struct transfer *transfer, bool kill_it)
{
    int status;
    close(transfer->notes);
    if (kill_it)
        kill(transfer->child, SIGKILL);
    while (waitpid(transfer->child, &status, 0) < 0)
        if (errno != EINTR)
            return fail(transfer, errno, "waitpid");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    if (WIFSIGNALED(status))
        complaint_set(transfer->complaint, EIO, "the process that did it was killed by signal %d",
                      WTERMSIG(status));
    complaint_set(transfer->complaint, EIO, "the process that did it gave no reason");
    return false;
}

/* ---- the archive's bytes -------------------------------------------------------------------- */

/* The disk begins while there is more to come, so that little is left for fsync to wait for. */
static void begin_writing(uint64_t before, uint64_t size)
{
    if (before / AT_A_TIME != size / AT_A_TIME)
        sync_file_range(CWSA_FILE, (off_t)(before / AT_A_TIME * AT_A_TIME), AT_A_TIME,
                        SYNC_FILE_RANGE_WRITE);
}

/* What there is of the file beyond what was read before. */
static bool digest_more(struct transfer *transfer)
{
    ssize_t got;
    for (;;) {
        uint64_t at = transfer->outcome.size;
        got = pread(CWSA_FILE, transfer->piece, PIECE, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        SHA256_Update(&transfer->digest, transfer->piece, (size_t)got);
        transfer->outcome.size += (uint64_t)got;
        if (transfer->saves)
            begin_writing(at, transfer->outcome.size);
    }
    return got == 0 || fail(transfer, errno, "reading the archive");
}

static int64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Waits until the child has written more, or has ended. A sandbox can hold it up, but not for ever:
 * others wait for their turn. */
static bool await_note(struct transfer *transfer)
{
    struct pollfd notes = {.fd = transfer->notes, .events = POLLIN};
    if (transfer->outcome.size - transfer->step_start >= CWSA_STEP) {
        transfer->step_start = transfer->outcome.size;
        transfer->waited_ns = 0;
    }
    const int64_t start = clock_ns(), left = transfer->patience_ns - transfer->waited_ns;
    int found = left <= 0 ? 0 : poll(&notes, 1, (int)(left / 1000000) + 1);
    transfer->waited_ns += clock_ns() - start;
    if (found == 0)
        complaint_set(transfer->complaint, ETIMEDOUT,
                      "no progress: less than %d KiB of the archive in %lld ms, after %llu bytes",
                      CWSA_STEP / 1024, (long long)(transfer->patience_ns / 1000000),
                      (unsigned long long)transfer->outcome.size);
    return found > 0 || (found < 0 && (errno == EINTR || fail(transfer, errno, "poll")));
}

/* While the child writes the file or reads it. */
static bool digest_all(struct transfer *transfer)
{
    char notes[4096];
    ssize_t got = 0;
    bool done = true;
    do {
        if (transfer->saves && !await_note(transfer))
            return false;
        if (transfer->saves)
            got = read(transfer->notes, notes, sizeof(notes));
        if (got >= 0)
            done = digest_more(transfer);
    } while (done && (got > 0 || (got < 0 && errno == EINTR)));
    return done && (got == 0 || fail(transfer, errno, "a pipe"));
}

/* Whole, under its name, and on the disk. */
static bool make_durable(struct transfer *transfer)
{
    return (fsync(CWSA_FILE) == 0 &&
            renameat(CWSA_FOLDER, transfer->temporary, CWSA_FOLDER, transfer->name) == 0 &&
            fsync(CWSA_FOLDER) == 0) ||
           fail(transfer, errno, "writing the archive");
}

static bool run(struct transfer *transfer)
{
    transfer->piece = malloc(PIECE);
    if (!transfer->piece)
        return fail(transfer, ENOMEM, "a piece of the archive");
    SHA256_Init(&transfer->digest);
    if (!start_child(transfer))
        return false;
    bool digested = digest_all(transfer);
    bool done = end_child(transfer, !digested) && digested;
    SHA256_Final(transfer->outcome.digest, &transfer->digest);
    return done && (!transfer->saves || make_durable(transfer));
}

/* ---- the beginning -------------------------------------------------------------------------- */

static bool parse(struct transfer *transfer, int argc, char **argv, pid_t *out_parent)
{
    if (argc < 4)
        return false;
    transfer->saves = strcmp(argv[1], "save") == 0;
    *out_parent = (pid_t)strtol(argv[2], NULL, 10);
    transfer->user = (uid_t)strtoul(argv[3], NULL, 10);
    transfer->limit = UINT64_MAX;
    if (!transfer->saves)
        return strcmp(argv[1], "restore") == 0 && argc == 4;
    if (argc != 8)
        return false;
    transfer->patience_ns = strtoll(argv[4], NULL, 10) * 1000000;
    transfer->limit = strtoull(argv[5], NULL, 10);
    transfer->temporary = argv[6];
    transfer->name = argv[7];
    return true;
}

int main(int argc, char **argv)
{
    struct transfer transfer = {0};
    pid_t parent;
    if (!parse(&transfer, argc, argv, &parent)) {
        fprintf(stderr, "cwsandbox-archive: cwsandboxd starts this program\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit of files' size is an error like a full disk */
    void *shared = mmap(NULL, sizeof(*transfer.complaint), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    transfer.complaint = shared;
    if (!run(&transfer)) {
        transfer.outcome.failed = 1;
        transfer.outcome.error = transfer.complaint->error;
        snprintf(transfer.outcome.text, sizeof(transfer.outcome.text), "%.*s",
                 (int)sizeof(transfer.complaint->text), transfer.complaint->text);
    }
    const ssize_t size = sizeof(transfer.outcome);
    return write(CWSA_OUTCOME, &transfer.outcome, sizeof(transfer.outcome)) == size ? 0 : 1;
}
