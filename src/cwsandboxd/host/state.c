#include "host/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "host/lock.h"

/* Its name says whose the directory is: others may lie below the same base, with a "lock". */
#define OWN_PREFIX "d"
#define LOCK_NAME  "state-lock"

/* ---- removing a tree ------------------------------------------------------------------------ */

static void remove_children(int dir_fd, dev_t device, const char *spared);

/* Removes one name, with what is below it, on this file system only; what cannot be removed
 * stays. */
static void remove_name(int dir_fd, const char *name, dev_t device)
{
    struct stat info;
    if (fstatat(dir_fd, name, &info, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    if (!S_ISDIR(info.st_mode)) {
        unlinkat(dir_fd, name, 0);
        return;
    }
    if (info.st_dev != device)
        return; /* something is mounted there */
    /* overlayfs leaves a closed directory behind; if it stays closed, so does what is in it. */
    if ((info.st_mode & 0700) != 0700 && fchmodat(dir_fd, name, 0700, 0) < 0)
        return;
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        remove_children(fd, device, NULL);
    unlinkat(dir_fd, name, AT_REMOVEDIR);
}

/* Takes the descriptor over. `spared` may be NULL. */
static void remove_children(int dir_fd, dev_t device, const char *spared)
{
    DIR *dir = fdopendir(dir_fd);
    struct dirent *entry;
    if (!dir) {
        close(dir_fd);
        return;
    }
    while ((entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            (!spared || strcmp(entry->d_name, spared) != 0))
            remove_name(dirfd(dir), entry->d_name, device);
    closedir(dir);
}

/* Puts the path of a daemon's lock into `path`. False: the name is too long for a daemon's. */
static bool lock_path(char *path, size_t size, const char *name)
{
    return snprintf(path, size, "%s/" LOCK_NAME, name) < (int)size;
}

/* Removes a daemon's directory. The lock goes last: what a kill leaves of the rest would be
 * nobody's without it. */
static void remove_own(int base_fd, const char *name)
{
    char path[300];
    struct stat base, own;
    int fd = openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    if (!lock_path(path, sizeof(path), name) || fstat(base_fd, &base) < 0 || fstat(fd, &own) < 0 ||
        own.st_dev != base.st_dev) {
        close(fd);
        return;
    }
    remove_children(fd, own.st_dev, LOCK_NAME);
    unlinkat(base_fd, path, 0);
    unlinkat(base_fd, name, AT_REMOVEDIR);
}

/* ---- leftovers ------------------------------------------------------------------------------ */

/* The lock of a daemon's directory, taken; -1 while its daemon lives. */
static int take_lock(int base_fd, const char *name)
{
    char path[300];
    return lock_path(path, sizeof(path), name) ? cwsd_lock_take(base_fd, path, 0) : -1;
}

/* Whether make_own gives such names. */
static bool is_own_name(const char *name)
{
    size_t prefix = strlen(OWN_PREFIX), digits = strspn(name + prefix, "0123456789");
    return strncmp(name, OWN_PREFIX, prefix) == 0 && digits > 0 && name[prefix + digits] == '\0';
}

/* Whether it is a directory that a daemon has made and locked. */
static bool is_daemons(int base_fd, const char *name)
{
    struct stat own, lock;
    char path[300];
    return is_own_name(name) && lock_path(path, sizeof(path), name) &&
           fstatat(base_fd, name, &own, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(own.st_mode) &&
           fstatat(base_fd, path, &lock, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(lock.st_mode);
}

static void remove_leftover(int base_fd, const char *name)
{
    if (is_own_name(name) && unlinkat(base_fd, name, AT_REMOVEDIR) == 0)
        return; /* it was empty: its daemon was killed before it had a lock */
    int lock = is_daemons(base_fd, name) ? take_lock(base_fd, name) : -1;
    if (lock < 0)
        return;
    remove_own(base_fd, name);
    close(lock);
}

static void remove_leftovers(int base_fd)
{
    int fd = openat(base_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(dir)) != NULL)
        remove_leftover(base_fd, entry->d_name);
    closedir(dir);
}

/* ---- the own one ---------------------------------------------------------------------------- */

/* Another user's directory could be changed under the daemon. */
static enum cws_status check_base(const struct stat *info, const char *base, struct cws_error *err)
{
    if (info->st_uid == geteuid() && !(info->st_mode & 022))
        return CWS_OK;
    return cws_error_set(err, CWS_INVALID,
                         "the state directory %s must be this user's and not writable by others "
                         "(it is user %lu's, mode 0%o)",
                         base, (unsigned long)info->st_uid, (unsigned)(info->st_mode & 07777));
}

/* Opens and locks the base. *out_again: it was removed meanwhile by a daemon that ended. */
static enum cws_status lock_base(struct cwsd_state *state, const char *base, bool *out_again,
                                 struct cws_error *err)
{
    struct stat info;
    *out_again = false;
    if (cwsd_dir_make(base, &state->base, err) != CWS_OK ||
        cwsd_dir_check_parent(base, err) != CWS_OK)
        return err->status;
    state->base_fd = open(base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (state->base_fd < 0 && errno == ENOENT) {
        *out_again = true;
        return CWS_OK;
    }
    if (state->base_fd < 0 || flock(state->base_fd, LOCK_EX) < 0 ||
        fstat(state->base_fd, &info) < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "cannot open the state directory %s",
                                   base);
    *out_again = info.st_nlink == 0;
    return check_base(&info, base, err);
}

/* The lowest number that is free; all that are there belong to the living by now. */
static enum cws_status make_own(struct cwsd_state *state, struct cws_error *err)
{
    size_t size = strlen(state->base.path) + 32;
    unsigned number = 0;
    state->path = cws_malloc(size);
    if (!state->path)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory");
    int made;
    do
        snprintf(state->path, size, "%s/" OWN_PREFIX "%u", state->base.path, number++);
    while ((made = mkdir(state->path, 0700)) < 0 && errno == EEXIST);
    if (made == 0)
        state->lock_fd = take_lock(state->base_fd, strrchr(state->path, '/') + 1);
    if (state->lock_fd >= 0)
        return CWS_OK;
    cws_error_set_errno(err, CWS_SYSTEM, errno, "cannot make the state directory %s", state->path);
    if (made == 0)
        remove_own(state->base_fd, strrchr(state->path, '/') + 1);
    return err->status;
}

static void release(struct cwsd_state *state)
{
    if (state->base_fd >= 0)
        close(state->base_fd); /* and its lock with it */
    if (state->lock_fd >= 0)
        close(state->lock_fd);
    cws_free(state->path);
    memset(state, 0, sizeof(*state));
    state->base_fd = state->lock_fd = -1;
}

enum cws_status cwsd_state_open(const char *base, struct cwsd_state *out_state,
                                struct cws_error *err)
{
    enum cws_status status;
    bool again;
    memset(out_state, 0, sizeof(*out_state));
    out_state->base_fd = out_state->lock_fd = -1;
    do {
        status = lock_base(out_state, base, &again, err);
        if (status == CWS_OK && again) {
            cwsd_dir_keep(&out_state->base);
            release(out_state);
        }
    } while (status == CWS_OK && again);
    if (status == CWS_OK) {
        remove_leftovers(out_state->base_fd);
        status = make_own(out_state, err);
    }
    if (status == CWS_OK) {
        flock(out_state->base_fd, LOCK_UN);
    } else {
        cwsd_dir_remove(&out_state->base);
        release(out_state);
    }
    return status;
}

void cwsd_state_close(struct cwsd_state *state)
{
    if (!state->path)
        return;
    flock(state->base_fd, LOCK_EX); /* nobody begins in a directory that is being removed */
    remove_own(state->base_fd, strrchr(state->path, '/') + 1);
    cwsd_dir_remove(&state->base);
    release(state);
}
