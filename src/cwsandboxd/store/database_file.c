#include "store/database_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The file's header, as SQLite's file format has it. */
#define HEADER_BYTES 100
#define MAGIC        "SQLite format 3"
#define PAGE_SIZE_AT 16
#define PAGES_AT     28

/* What lies beside a database that has been used. */
static const char *const companions[] = {CWSD_DATABASE_FILE "-wal", "reserve", "snapshots", "logs"};

/* Whether SQLite will first write something from beside it into the file. */
static bool is_unfinished(const char *dir)
{
    static const char *const names[] = {CWSD_DATABASE_FILE "-wal", CWSD_DATABASE_FILE "-journal"};
    char path[PATH_MAX];
    struct stat info;
    for (size_t i = 0; i < CWS_ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        if (stat(path, &info) == 0 && info.st_size > 0)
            return true;
    }
    return false;
}

/* How many bytes it must have; 0: that is not told. */
static uint64_t wanted_bytes(const uint8_t header[HEADER_BYTES])
{
    const uint8_t *size = header + PAGE_SIZE_AT, *count = header + PAGES_AT;
    uint32_t page = (uint32_t)size[0] << 8 | size[1];
    uint32_t pages =
        (uint32_t)count[0] << 24 | (uint32_t)count[1] << 16 | (uint32_t)count[2] << 8 | count[3];
    if (memcmp(header, MAGIC, sizeof(MAGIC)) != 0)
        return 0;
    return (uint64_t)pages * (page == 1 ? 65536 : page);
}

static enum cws_status check_length(const char *dir, int fd, off_t size, struct cws_error *err)
{
    uint8_t header[HEADER_BYTES];
    ssize_t got = pread(fd, header, sizeof(header), 0);
    if (got < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "it cannot be read");
    if (got < HEADER_BYTES)
        return cws_error_set(err, CWS_INVALID, "it has %lld bytes, and no database is that short",
                             (long long)size);
    uint64_t wanted = wanted_bytes(header);
    if ((uint64_t)size >= wanted || is_unfinished(dir))
        return CWS_OK;
    return cws_error_set(err, CWS_INVALID, "it is cut off: it has %lld bytes of %llu",
                         (long long)size, (unsigned long long)wanted);
}

/* Beginning anew would take what is kept beside it for nobody's. */
static enum cws_status check_new(const char *dir, const char *how, struct cws_error *err)
{
    char path[PATH_MAX];
    struct stat info;
    for (size_t i = 0; i < CWS_ARRAY_LEN(companions); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, companions[i]);
        if (lstat(path, &info) == 0)
            return cws_error_set(err, CWS_INVALID,
                                 "it is %s, but %s belongs to one that has been used: put that one "
                                 "back, or name another directory",
                                 how, path);
    }
    return CWS_OK;
}

enum cws_status cwsd_database_file_check(const char *dir, struct cws_error *err)
{
    char path[PATH_MAX];
    struct stat info;
    enum cws_status status;
    snprintf(path, sizeof(path), "%s/" CWSD_DATABASE_FILE, dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return check_new(dir, "missing", err);
    if (fd < 0 || fstat(fd, &info) < 0)
        status = cws_error_set_errno(err, CWS_SYSTEM, errno, "it cannot be looked at");
    else if (!S_ISREG(info.st_mode))
        status = cws_error_set(err, CWS_INVALID, "it is no file");
    else if (info.st_size == 0)
        status = check_new(dir, "empty", err);
    else
        status = check_length(dir, fd, info.st_size, err);
    if (fd >= 0)
        close(fd);
    return status;
}
