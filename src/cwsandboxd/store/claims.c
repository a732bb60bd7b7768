#include "store/claims.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "box/box.h"
#include "config/whole_file.h"
#include "store/digest.h"
#include "store/resources.h"
#include "values/bounds.h"
#include "values/text.h"

#define FOLDER_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define DATA_MODE    0700
#define DIGEST_SIZE  33
#define CLAIM_BYTES  (2 * CWSD_MAX_NAME_BYTES + sizeof("/\n"))

/* ---- the directory of all ------------------------------------------------------------------- */

static enum cws_status check_dir(int dir, const char *path, struct cws_error *err)
{
    struct stat info;
    if (fstat(dir, &info) < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "cannot look at %s", path);
    if (info.st_uid != geteuid() || (info.st_mode & 077))
        return cws_error_set(err, CWS_INVALID,
                             "%s must be this user's and for nobody else (mode 0700, not 0%o)",
                             path, (unsigned)(info.st_mode & 07777));
    return CWS_OK;
}

enum cws_status cwsd_claims_open(struct cwsd_claims *claims, const char *path,
                                 const struct cwsd_host *host, struct cwsd_database *database,
                                 struct cws_error *err)
{
    *claims = (struct cwsd_claims){.database = database};
    claims->dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (claims->dir < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "cannot look at %s", path);
    enum cws_status status = check_dir(claims->dir, path, err);
    if (status == CWS_OK &&
        (status = cwsd_folder_try(host, claims->dir, &claims->owner, err)) != CWS_OK)
        cws_error_wrap(err, "sandboxes cannot have directories of %s", path);
    if (status != CWS_OK)
        cwsd_claims_close(claims);
    return status;
}

void cwsd_claims_close(struct cwsd_claims *claims)
{
    if (claims->dir >= 0)
        close(claims->dir);
    claims->dir = -1;
}

bool cwsd_claims_capacity(const struct cwsd_claims *claims, char *text, size_t size)
{
    struct statvfs info;
    if (fstatvfs(claims->dir, &info) < 0)
        return false;
    unsigned long long bytes = (unsigned long long)info.f_blocks * info.f_frsize;
    snprintf(text, size, "%lluKi", bytes >> 10);
    return true;
}

/* ---- that of a claim ------------------------------------------------------------------------ */

/* A directory in a directory; made if it is missing, and then the owner's. Returns -1 with errno.
 * `owner` 0: whoever makes it. */
static int open_part(int dir, const char *name, mode_t mode, uid_t owner)
{
    bool made = mkdirat(dir, name, mode) == 0;
    if (!made && errno != EEXIST)
        return -1;
    int fd = openat(dir, name, FOLDER_FLAGS);
    if (fd >= 0 && made && owner && fchownat(fd, "", owner, owner, AT_EMPTY_PATH) < 0) {
        int error = errno;
        unlinkat(dir, name, AT_REMOVEDIR); /* not left behind with the wrong owner */
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* Sandboxes may have made anything in `data` on the way. */
static int open_sub_path(int data, const char *path, uid_t owner)
{
    char part[CWSD_MAX_PART_BYTES + 1];
    int fd = fcntl(data, F_DUPFD_CLOEXEC, 0);
    while (fd >= 0 && *path) {
        size_t len = strcspn(path, "/");
        snprintf(part, sizeof(part), "%.*s", (int)len, path);
        int next = open_part(fd, part, DATA_MODE, owner);
        int error = errno;
        close(fd);
        errno = error;
        fd = next;
        path += path[len] == '/' ? len + 1 : len;
    }
    return fd;
}

/* The file that says whose the directory is: the claim's own, if there is none yet. */
static int open_name(int folder, const char *text, size_t len)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(folder, "claim", flags);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    int error = cwsd_whole_file_make(folder, "claim", 0600, text, len);
    if (error == 0 || error == EEXIST)
        return openat(folder, "claim", flags);
    errno = error;
    return -1;
}

/* Whether the directory is that of the claim. Digests may be the same for two claims whose names
 * were made for that. */
static bool is_of_claim(int folder, const cwsd_pb_claim *claim)
{
    char wanted[CLAIM_BYTES], is[CLAIM_BYTES];
    int len = snprintf(wanted, sizeof(wanted), "%s/%s\n", claim->namespace_, claim->claim_name);
    int fd = open_name(folder, wanted, (size_t)len);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, is, sizeof(is));
    close(fd);
    errno = EEXIST;
    return got == len && memcmp(is, wanted, (size_t)len) == 0;
}

/* The names of claims are the clients' texts, and none for files. */
static void make_name(char name[DIGEST_SIZE], const cwsd_pb_claim *claim)
{
    cwsd_pb_claim key = COREWEAVE__SANDBOX__V1__PVC_VOLUME_SOURCE__INIT;
    key.namespace_ = claim->namespace_;
    key.claim_name = claim->claim_name;
    struct cwsd_digest digest = cwsd_digest_of(&key.base);
    snprintf(name, DIGEST_SIZE, "%016llx%016llx", (unsigned long long)digest.half[0],
             (unsigned long long)digest.half[1]);
}

static int open_claim(const struct cwsd_claims *claims, const cwsd_pb_claim *claim)
{
    char name[DIGEST_SIZE];
    make_name(name, claim);
    int data = -1, fd = -1;
    int folder = open_part(claims->dir, name, 0700, 0);
    if (folder >= 0 && is_of_claim(folder, claim))
        data = open_part(folder, "data", DATA_MODE, claims->owner);
    if (data >= 0)
        fd = open_sub_path(data, claim->sub_path, claims->owner);
    int error = errno;
    if (data >= 0)
        close(data);
    if (folder >= 0)
        close(folder);
    errno = error;
    return fd;
}

int cwsd_claims_folder(const struct cwsd_claims *claims, const cwsd_pb_claim *claim,
                       struct cwsd_fault *fault)
{
    int fd = open_claim(claims, claim);
    if (fd < 0)
        cwsd_fault_set(fault, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_VOLUME_BACKEND,
                       "the directory of the claim \"%s\"%s%s cannot be opened: %s",
                       cwsd_text_short(claim->claim_name).text,
                       claim->sub_path[0] ? ", sub_path " : "",
                       cwsd_text_short(claim->sub_path).text, strerror(errno));
    return fd;
}

int cwsd_claims_attach(const struct cwsd_claims *claims, const char *volume_id, bool *out_read_only,
                       struct cwsd_fault *fault)
{
    struct cwsd_resource found;
    int fd = -1;
    if (!cwsd_resource_find(claims->database, CWSD_RESOURCE_VOLUME, CWSD_BY_ID, volume_id, &found,
                            fault))
        return -1;
    const cwsd_pb_registered *volume = found.message;
    if (volume) {
        *out_read_only = volume->spec->read_only;
        fd = cwsd_claims_folder(claims, volume->spec->pvc, fault);
    } else {
        cwsd_fault_set(fault, CWS_GRPC_NOT_FOUND, CWSD_REASON_VOLUME_NOT_FOUND,
                       "there is no volume \"%s\"", cwsd_text_short(volume_id).text);
    }
    if (fd < 0)
        cwsd_fault_note(fault, "volume_id", volume_id);
    cwsd_resource_done(&found);
    return fd;
}
