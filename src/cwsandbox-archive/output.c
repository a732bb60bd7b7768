/*
 * The archive's bytes on their way to the file. Headers and small files are gathered; content that
 * comes in large pieces is written from where it lies.
 */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "parts.h"

#define GATHERED (1 << 18)
#define IS_LARGE (1 << 16)
#define FILE_FD  1
#define NOTES_FD 0

static char gathered[GATHERED];
static size_t gathered_len;

static bool write_all(struct iovec *parts, int count)
{
    while (count > 0) {
        ssize_t written = writev(FILE_FD, parts, count);
        if (written < 0 && errno != EINTR)
            return false;
        for (size_t left = written > 0 ? (size_t)written : 0; count > 0;) {
            if (left < parts->iov_len) {
                parts->iov_base = (char *)parts->iov_base + left;
                parts->iov_len -= left;
                break;
            }
            left -= parts->iov_len;
            parts++;
            count--;
        }
    }
    return true;
}

/* What is gathered, and these bytes. */
static bool put(struct complaint *complaint, const void *bytes, size_t len)
{
    struct iovec parts[] = {{gathered, gathered_len}, {(void *)bytes, len}};
    gathered_len = 0;
    if (!write_all(parts, 2)) {
        complaint_set(complaint, errno, "writing the archive: %s", strerror(errno));
        return false;
    }
    /* Whoever reads them is behind by less than a pipe holds, or is gone. */
    return write(NOTES_FD, "", 1) == 1;
}

la_ssize_t output_write(struct archive *archive, void *complaint, const void *bytes, size_t len)
{
    (void)archive;
    if (len < IS_LARGE && gathered_len + len <= sizeof(gathered)) {
        memcpy(gathered + gathered_len, bytes, len);
        gathered_len += len;
        return (la_ssize_t)len;
    }
    return put(complaint, bytes, len) ? (la_ssize_t)len : -1;
}

bool output_end(struct complaint *complaint)
{
    return put(complaint, NULL, 0);
}
