/*
 * Walks a directory tree and writes it as a tar archive (pax). The tree may be changed meanwhile,
 * by somebody hostile: nothing is opened but what was just seen to be there, no link is followed,
 * and a file has the size that it had when it was opened.
 */
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "parts.h"

#define PIECE      (1 << 18)
#define MAX_DEPTH  500 /* one descriptor each */
#define MAX_PATH   16384
#define MAX_XATTRS 65536 /* bytes of names, and of each value; the kernel's limit */
/* Zeros that take no memory, for the holes of files. */
#define ZEROS ((size_t)1 << 30)

struct packer {
    struct archive *out;
    struct archive_entry_linkresolver *links;
    struct complaint *complaint;
    char *piece;
    const char *zeros;
    char path[MAX_PATH]; /* of what is being looked at; "" for the root */
    size_t path_len;
    unsigned depth;
};

static bool give_up(struct packer *packer, int error, const char *what)
{
    complaint_set(packer->complaint, error, "%.100s: %s", packer->path_len ? packer->path : ".",
                  what);
    return false;
}

static bool check(struct packer *packer, la_ssize_t rc)
{
    if (rc >= ARCHIVE_WARN)
        return true;
    return give_up(packer, archive_errno(packer->out), archive_error_string(packer->out));
}

/* ---- content -------------------------------------------------------------------------------- */

static bool write_bytes(struct packer *packer, const char *bytes, size_t len)
{
    while (len > 0) {
        la_ssize_t written = archive_write_data(packer->out, bytes, len);
        if (written <= 0)
            return check(packer, written ? written : ARCHIVE_FATAL);
        bytes += written;
        len -= (size_t)written;
    }
    return true;
}

/* What the archive is told of a hole it does not store. */
static bool write_hole(struct packer *packer, int64_t len)
{
    for (size_t part; len > 0; len -= (int64_t)part) {
        part = len < (int64_t)ZEROS ? (size_t)len : ZEROS;
        if (!write_bytes(packer, packer->zeros, part))
            return false;
    }
    return true;
}

/* If the file has become shorter, the rest of it is zeros. */
static bool write_data(struct packer *packer, int fd, int64_t offset, int64_t len)
{
    while (len > 0) {
        ssize_t got = pread(fd, packer->piece, len < PIECE ? (size_t)len : PIECE, offset);
        if (got < 0)
            return give_up(packer, errno, strerror(errno));
        if (got == 0)
            return write_hole(packer, len);
        if (!write_bytes(packer, packer->piece, (size_t)got))
            return false;
        offset += got;
        len -= got;
    }
    return true;
}

static bool write_content(struct packer *packer, int fd, struct archive_entry *entry)
{
    int64_t at = 0, offset, len;
    if (archive_entry_sparse_reset(entry) == 0)
        return write_data(packer, fd, 0, archive_entry_size(entry));
    while (archive_entry_sparse_next(entry, &offset, &len) == ARCHIVE_OK) {
        if (!write_hole(packer, offset - at) || !write_data(packer, fd, offset, len))
            return false;
        at = offset + len;
    }
    return write_hole(packer, archive_entry_size(entry) - at);
}

/* Tells the archive where there are data, if there are holes. */
static void find_holes(int fd, struct archive_entry *entry)
{
    const off_t size = archive_entry_size(entry);
    off_t start = lseek(fd, 0, SEEK_DATA);
    if (start < 0 && errno == ENXIO && size > 0)
        archive_entry_sparse_add_entry(entry, 0, 0); /* nothing but a hole */
    while (start >= 0 && start < size) {
        off_t end = lseek(fd, start, SEEK_HOLE);
        if (end < 0 || (start == 0 && end >= size))
            return;
        end = end < size ? end : size;
        archive_entry_sparse_add_entry(entry, start, end - start);
        start = lseek(fd, end, SEEK_DATA);
    }
}

/* Those that programs set. Others are the kernel's, and say who may do what on this host. */
static void add_xattrs(int fd, struct archive_entry *entry)
{
    static char names[MAX_XATTRS], value[MAX_XATTRS];
    ssize_t len = flistxattr(fd, names, sizeof(names));
    for (ssize_t at = 0; at < len; at += (ssize_t)strlen(names + at) + 1) {
        const char *name = names + at;
        ssize_t size =
            strncmp(name, "user.", 5) == 0 ? fgetxattr(fd, name, value, sizeof(value)) : -1;
        if (size >= 0)
            archive_entry_xattr_add_entry(entry, name, value, (size_t)size);
    }
}

/* ---- entries -------------------------------------------------------------------------------- */

/* With `fd` -1 there is no content. */
static bool write_entry(struct packer *packer, struct archive_entry *entry, int fd)
{
    struct archive_entry *linked = NULL;
    archive_entry_linkify(packer->links, &entry, &linked);
    bool done = check(packer, archive_write_header(packer->out, entry));
    if (done && fd >= 0 && archive_entry_size(entry) > 0)
        done = write_content(packer, fd, entry);
    return done && check(packer, archive_write_finish_entry(packer->out));
}

static struct archive_entry *new_entry(const struct packer *packer, const struct stat *status)
{
    struct archive_entry *entry = archive_entry_new();
    if (!entry)
        return NULL;
    archive_entry_copy_stat(entry, status);
    archive_entry_unset_atime(entry);
    archive_entry_unset_ctime(entry);
    archive_entry_set_uid(entry, 0);
    archive_entry_set_gid(entry, 0);
    archive_entry_copy_pathname(entry, packer->path_len ? packer->path : ".");
    if (!S_ISREG(status->st_mode))
        archive_entry_set_size(entry, 0);
    return entry;
}

static bool pack_folder(struct packer *packer, int fd);

/* A file or directory that was opened; closes it. */
static bool pack_opened(struct packer *packer, int fd)
{
    struct stat status;
    struct archive_entry *entry = NULL;
    bool done = fstat(fd, &status) == 0;
    bool file = done && S_ISREG(status.st_mode), folder = done && S_ISDIR(status.st_mode);
    if (done && (file || folder)) { /* else it has become something else meanwhile */
        entry = new_entry(packer, &status);
        if (!entry) {
            close(fd);
            return give_up(packer, ENOMEM, "out of memory");
        }
        add_xattrs(fd, entry);
        if (file)
            find_holes(fd, entry);
        done = write_entry(packer, entry, file ? fd : -1);
        archive_entry_free(entry);
    }
    if (done && folder)
        return pack_folder(packer, fd);
    close(fd);
    return done;
}

/* A symbolic link, a FIFO, or the mark of a removed file. Sockets and whatever else is there cannot
 * be kept. */
static bool pack_special(struct packer *packer, int folder, const char *name,
                         const struct stat *status)
{
    static char target[MAX_PATH]; /* not on the stack of each folder above */
    bool mark = S_ISCHR(status->st_mode) && status->st_rdev == 0;
    if (S_ISLNK(status->st_mode)) {
        ssize_t len = readlinkat(folder, name, target, sizeof(target) - 1);
        if (len < 0)
            return true;
        target[len] = '\0';
    } else if (!S_ISFIFO(status->st_mode) && !mark) {
        return true;
    }
    struct archive_entry *entry = new_entry(packer, status);
    if (!entry)
        return give_up(packer, ENOMEM, "out of memory");
    if (S_ISLNK(status->st_mode))
        archive_entry_copy_symlink(entry, target);
    bool done = write_entry(packer, entry, -1);
    archive_entry_free(entry);
    return done;
}

static bool pack_name(struct packer *packer, int folder, const char *name)
{
    struct stat status;
    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return true; /* it is gone */
    if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
        return pack_special(packer, folder, name, &status);
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ELOOP || errno == ENXIO))
        return true; /* or something else is there */
    return fd < 0 ? give_up(packer, errno, strerror(errno)) : pack_opened(packer, fd);
}

/* Closes the directory. */
static bool pack_folder(struct packer *packer, int fd)
{
    const size_t len = packer->path_len;
    struct dirent *entry;
    bool done = ++packer->depth <= MAX_DEPTH;
    DIR *folder = done ? fdopendir(fd) : NULL;
    if (!folder) {
        close(fd);
        return give_up(packer, EMLINK,
                       done ? "out of memory" : "directories are nested too deeply");
    }
    while (done && (entry = readdir(folder)) != NULL) {
        size_t more = strlen(entry->d_name);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (len + more + 2 > sizeof(packer->path))
            done = give_up(packer, ENAMETOOLONG, "paths become too long");
        if (!done)
            break;
        packer->path_len = len + (len > 0) + more;
        if (len)
            packer->path[len] = '/';
        memcpy(packer->path + packer->path_len - more, entry->d_name, more + 1);
        done = pack_name(packer, dirfd(folder), entry->d_name);
        packer->path_len = len;
        packer->path[len] = '\0';
    }
    closedir(folder);
    packer->depth--;
    return done;
}

/* ---- the archive ---------------------------------------------------------------------------- */

static bool open_archive(struct packer *packer)
{
    struct archive *out = packer->out = archive_write_new();
    packer->links = archive_entry_linkresolver_new();
    packer->piece = malloc(PIECE);
    void *zeros = mmap(NULL, ZEROS, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!out || !packer->links || !packer->piece || zeros == MAP_FAILED)
        return give_up(packer, ENOMEM, "out of memory");
    packer->zeros = zeros;
    archive_entry_linkresolver_set_strategy(packer->links, ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE);
    /* Names are bytes, in whatever encoding. */
    return check(packer, archive_write_set_format_pax(out)) &&
           check(packer, archive_write_set_options(out, "hdrcharset=BINARY")) &&
           check(packer, archive_write_set_bytes_per_block(out, 0)) && /* output gathers */
           check(packer, archive_write_open(out, packer->complaint, NULL, output_write, NULL));
}

bool pack(struct complaint *complaint)
{
    static struct packer packer;
    packer.complaint = complaint;
    if (!open_archive(&packer))
        return false;
    int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return give_up(&packer, errno, strerror(errno));
    return pack_opened(&packer, fd) && check(&packer, archive_write_close(packer.out)) &&
           output_end(complaint);
}
