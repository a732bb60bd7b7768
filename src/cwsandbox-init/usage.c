/*
 * What the sandbox's processes use. The init looks, and not the daemon: whoever reads an entry of
 * /proc may have to wait for the process, or has to take its memory down when it ends meanwhile.
 * Here only the sandbox that has such processes waits.
 */
#include <linux/fcntl.h>

#include "init.h"

/* So that the init comes back to its socket. A sandbox has 2048 unless the daemon was told
 * otherwise; what there is beyond these is not counted. */
#define MAX_PROCESSES 4096

struct entry { /* as getdents64 gives them */
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[];
};

static bool is_process(const struct entry *entry)
{
    return entry->name[0] >= '1' && entry->name[0] <= '9';
}

static size_t read_file(long proc, const char *pid, const char *name, char *text, size_t cap)
{
    char path[32] = "";
    text_append(path, sizeof(path), pid);
    text_append(path, sizeof(path), name);
    long fd = SYS4(openat, proc, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    long got = SYS3(read, fd, text, cap);
    SYS1(close, fd);
    return got > 0 ? (size_t)got : 0;
}

/* A process that has ended meanwhile adds nothing: its parent has its time. */
static void add_process(long proc, const char *pid, struct cwsi_usage *sum)
{
    char text[1024];
    stat_add(text, read_file(proc, pid, "/stat", text, sizeof(text)), sum);
    stat_add_memory(text, read_file(proc, pid, "/statm", text, sizeof(text)), sum);
}

void usage_measure(struct cwsi_usage *out)
{
    char buffer[2048] __attribute__((aligned(8)));
    unsigned left = MAX_PROCESSES;
    long got;
    *out = (struct cwsi_usage){0};
    long proc = SYS4(openat, AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (proc < 0)
        return;
    while (left > 0 && (got = SYS3(getdents64, proc, buffer, sizeof(buffer))) > 0) {
        const struct entry *entry;
        for (long at = 0; at < got && left > 0; at += entry->size) {
            entry = (const struct entry *)(buffer + at);
            if (!is_process(entry))
                continue;
            add_process(proc, entry->name, out);
            left--;
        }
    }
    SYS1(close, proc);
}
