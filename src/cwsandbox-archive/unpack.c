/* Unpacks an archive in the directory that is this process's root. Whatever the archive says, there
 * is nothing else in reach. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "parts.h"

#define PIECE (1 << 18)

#define HOW \
    (ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_XATTR | \
     ARCHIVE_EXTRACT_UNLINK | ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_SECURE_NODOTDOT | \
     ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS)

static bool check(struct archive *archive, int rc, const char *path, struct complaint *complaint)
{
    const char *why = archive_error_string(archive);
    int error = archive_errno(archive); /* negative if it is none of the system's */
    if (rc >= ARCHIVE_WARN) /* what is passed over, such as an attribute that this kernel lacks */
        return true;
    complaint_set(complaint, error, "%.60s: %.40s%s%s", path, why ? why : "unknown",
                  error > 0 ? ": " : "", error > 0 ? strerror(error) : "");
    return false;
}

static bool copy_content(struct archive *in, struct archive *disk, const char *path,
                         struct complaint *complaint)
{
    const void *bytes;
    size_t len;
    la_int64_t offset;
    for (;;) {
        int rc = archive_read_data_block(in, &bytes, &len, &offset);
        if (rc == ARCHIVE_EOF)
            return true;
        if (!check(in, rc, path, complaint))
            return false;
        /* A write that failed, on a full disk for one, is but a warning to libarchive. */
        if (archive_write_data_block(disk, bytes, len, offset) != ARCHIVE_OK)
            return check(disk, ARCHIVE_FAILED, path, complaint);
    }
}

static bool copy_entry(struct archive *in, struct archive *disk, struct archive_entry *entry,
                       struct complaint *complaint, struct timespec *root_time)
{
    const char *path = archive_entry_pathname(entry);
    if (!path) {
        complaint_set(complaint, EINVAL, "an entry of the archive has no name");
        return false;
    }
    if (strcmp(path, "./") == 0) /* as directories are called in archives */
        *root_time = (struct timespec){archive_entry_mtime(entry), archive_entry_mtime_nsec(entry)};
    return check(disk, archive_write_header(disk, entry), path, complaint) &&
           (archive_entry_size(entry) == 0 || copy_content(in, disk, path, complaint)) &&
           check(disk, archive_write_finish_entry(disk), path, complaint);
}

bool unpack(struct complaint *complaint)
{
    struct archive *in = archive_read_new();
    struct archive *disk = archive_write_disk_new();
    struct archive_entry *entry;
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
    int rc = ARCHIVE_FATAL;
    bool done = in && disk;
    if (!done)
        complaint_set(complaint, ENOMEM, "out of memory");
    done = done && check(in, archive_read_support_format_tar(in), "the archive", complaint) &&
           check(disk, archive_write_disk_set_options(disk, HOW), "the volume", complaint) &&
           check(in, archive_read_open_fd(in, 0, PIECE), "the archive", complaint);
    while (done && (rc = archive_read_next_header(in, &entry)) != ARCHIVE_EOF)
        done = check(in, rc, "the archive", complaint) &&
               copy_entry(in, disk, entry, complaint, &times[1]);
    /* The modes and times of directories come last. The root's time is not libarchive's to set, as
     * it did not make it. */
    done = done && check(disk, archive_write_close(disk), "the volume", complaint);
    if (done)
        utimensat(AT_FDCWD, ".", times, 0);
    return done;
}
