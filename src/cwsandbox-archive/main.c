/*
 * cwsandbox-archive: saves a scratch volume of a sandbox to a file, or fills a volume from one.
 * outcome.h says how it is called.
 */
#include "outcome.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parts.h"

#define PIECE     (1 << 18)
#define AT_A_TIME (1 << 24) /* bytes that the disk is told to write */

/* What the two processes do with the pipe between them. */
struct transfer {
    bool saves;
    uid_t user;
    uint64_t limit;
    const char *temporary, *name;
    struct complaint *complaint; /* shared */
    int pipe;                    /* our end */
    pid_t child;
    EVP_MD_CTX *digest;
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

__attribute__((noreturn)) static void run_child(const struct transfer *transfer, int pipe,
                                                pid_t parent)
{
    int root = fcntl(CWSA_VOLUME, F_DUPFD_CLOEXEC, 3);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || dup2(pipe, transfer->saves ? 1 : 0) < 0)
        _exit(1);
    close(transfer->saves ? 0 : 1); /* the volume's root directory, or the archive */
    bool done = confine(transfer->user, root, transfer->complaint) &&
                (transfer->saves ? pack(transfer->complaint) : unpack(transfer->complaint));
    _exit(done ? 0 : 1);
}

static bool start_child(struct transfer *transfer)
{
    int ends[2];
    const pid_t self = getpid();
    if (pipe2(ends, O_CLOEXEC) < 0)
        return fail(transfer, errno, "a pipe");
    int ours = transfer->saves ? ends[0] : ends[1], theirs = transfer->saves ? ends[1] : ends[0];
    fcntl(ours, F_SETPIPE_SZ, PIECE); /* a smaller one does, too */
    transfer->child = fork();
    if (transfer->child == 0)
        run_child(transfer, theirs, self);
    int error = errno;
    close(theirs);
    transfer->pipe = ours;
    return transfer->child > 0 || fail(transfer, error, "a process");
}

static bool end_child(struct transfer *transfer, bool kill_it)
{
    int status;
    close(transfer->pipe);
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

static ssize_t read_piece(int fd, uint8_t *piece)
{
    ssize_t got;
    do
        got = read(fd, piece, PIECE);
    while (got < 0 && errno == EINTR);
    return got;
}

static bool write_piece(int fd, const uint8_t *piece, size_t len)
{
    while (len > 0) {
        ssize_t written = write(fd, piece, len);
        if (written < 0 && errno != EINTR)
            return false;
        if (written > 0) {
            piece += written;
            len -= (size_t)written;
        }
    }
    return true;
}

/* The disk begins while there is more to come, so that little is left for fsync to wait for. */
static void begin_writing(uint64_t before, uint64_t size)
{
    if (before / AT_A_TIME != size / AT_A_TIME)
        sync_file_range(CWSA_FILE, (off64_t)(before / AT_A_TIME * AT_A_TIME), AT_A_TIME,
                        SYNC_FILE_RANGE_WRITE);
}

/* From one descriptor to the other, to the end of it. */
static bool pass_on(struct transfer *transfer, int from, int to)
{
    bool wanted = true; /* whoever unpacks does not care for what follows the archive's end */
    ssize_t got;
    while ((got = read_piece(from, transfer->piece)) > 0) {
        transfer->outcome.size += (uint64_t)got;
        if (transfer->outcome.size > transfer->limit)
            return fail(transfer, EFBIG, "the archive");
        EVP_DigestUpdate(transfer->digest, transfer->piece, (size_t)got);
        if (!wanted || write_piece(to, transfer->piece, (size_t)got)) {
            if (transfer->saves)
                begin_writing(transfer->outcome.size - (uint64_t)got, transfer->outcome.size);
            continue;
        }
        if (transfer->saves || errno != EPIPE)
            return fail(transfer, errno, transfer->saves ? "writing the archive" : "the pipe");
        wanted = false;
    }
    return got == 0 || fail(transfer, errno, transfer->saves ? "the pipe" : "reading the archive");
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
    transfer->digest = EVP_MD_CTX_new();
    transfer->piece = malloc(PIECE);
    if (!transfer->digest || !transfer->piece ||
        !EVP_DigestInit_ex(transfer->digest, EVP_sha256(), NULL))
        return fail(transfer, ENOMEM, "the digest");
    if (!start_child(transfer))
        return false;
    bool passed = transfer->saves ? pass_on(transfer, transfer->pipe, CWSA_FILE)
                                  : pass_on(transfer, CWSA_FILE, transfer->pipe);
    bool done = end_child(transfer, !passed) && passed;
    EVP_DigestFinal_ex(transfer->digest, transfer->outcome.digest, NULL);
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
    if (argc != 7)
        return false;
    transfer->limit = strtoull(argv[4], NULL, 10);
    transfer->temporary = argv[5];
    transfer->name = argv[6];
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
