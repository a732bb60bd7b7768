#include "config/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "config/private.h"
#include "config/whole_file.h"

#define RANDOM_BYTES   32
#define SHORTEST_TOKEN 16

/* CWS_CLOSED: there is a file by now. */
static enum cws_status make(const char *path, char *out_token, struct cws_error *err)
{
    uint8_t random[RANDOM_BYTES];
    char line[2 * RANDOM_BYTES + 2];
    if (getrandom(random, sizeof(random), 0) != sizeof(random))
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "no random bytes for a token");
    for (size_t i = 0; i < RANDOM_BYTES; i++)
        snprintf(out_token + 2 * i, 3, "%02x", random[i]);
    snprintf(line, sizeof(line), "%s\n", out_token);
    int error = cwsd_whole_file_make(AT_FDCWD, path, 0600, line, strlen(line));
    if (error == EEXIST)
        return CWS_CLOSED;
    if (error)
        return cws_error_set_errno(err, CWS_SYSTEM, error, "cannot make the token file %s", path);
    return CWS_OK;
}

static enum cws_status check_text(const char *token, const char *path, struct cws_error *err)
{
    size_t len = strlen(token);
    if (len < SHORTEST_TOKEN)
        return cws_error_set(err, CWS_INVALID,
                             "the token in %s has %zu characters; it needs at least %d", path, len,
                             SHORTEST_TOKEN);
    for (size_t i = 0; i < len; i++)
        if (token[i] <= ' ' || token[i] > '~')
            return cws_error_set(
                err, CWS_INVALID,
                "the token in %s must be printable ASCII without blanks, on one line", path);
    return CWS_OK;
}

static enum cws_status read_token(int fd, const char *path, char *out_token, struct cws_error *err)
{
    enum cws_status status = cwsd_private_check(fd, S_IFREG, path, err);
    if (status != CWS_OK) {
        cws_error_wrap(err, "the token file");
        return status;
    }
    ssize_t len = read(fd, out_token, CWSD_TOKEN_SIZE);
    if (len < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "cannot read the token file %s", path);
    if (len > 0 && out_token[len - 1] == '\n')
        len--;
    if (len == CWSD_TOKEN_SIZE)
        return cws_error_set(err, CWS_INVALID, "the token in %s has more than %d characters", path,
                             CWSD_TOKEN_SIZE - 1);
    out_token[len] = '\0';
    if (strlen(out_token) != (size_t)len)
        return cws_error_set(err, CWS_INVALID, "the token in %s must not contain NUL", path);
    return check_text(out_token, path, err);
}

enum cws_status cwsd_token_load(const char *path, char out_token[CWSD_TOKEN_SIZE], bool *out_made,
                                struct cws_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *out_made = false;
    if (fd < 0 && errno == ENOENT) {
        enum cws_status made = make(path, out_token, err);
        *out_made = made == CWS_OK;
        if (made != CWS_CLOSED)
            return made;
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    }
    if (fd < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "cannot open the token file %s", path);
    enum cws_status status = read_token(fd, path, out_token, err);
    close(fd);
    return status;
}
