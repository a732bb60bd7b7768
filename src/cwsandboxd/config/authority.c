#include "config/authority.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/private.h"
#include "config/whole_file.h"
#include "io/tls.h"

#define NAME      "cwsandboxd endpoints"
#define KEY_MODE  0600
#define CERT_MODE 0644

/* Room for the directory's path and a file's name. */
struct file_path {
    char text[4096];
};

static enum cws_status make_path(const char *dir, const char *name, struct file_path *out_path,
                                 struct cws_error *err)
{
    int len = snprintf(out_path->text, sizeof(out_path->text), "%s/%s", dir, name);
    if (len >= (int)sizeof(out_path->text))
        return cws_error_set(err, CWS_INVALID, "the path %s is too long", dir);
    return CWS_OK;
}

/* What another daemon has just made stays. */
static enum cws_status write_file(const char *path, mode_t mode, const struct cws_buf *content,
                                  struct cws_error *err)
{
    int error = cwsd_whole_file_make(AT_FDCWD, path, mode, cws_buf_bytes(content), content->len);
    if (error == 0 || error == EEXIST)
        return CWS_OK;
    return cws_error_set_errno(err, CWS_SYSTEM, error, "cannot write %s", path);
}

static enum cws_status make(const char *key_path, struct cws_error *err)
{
    struct cws_tls_ca *ca = NULL;
    struct cws_buf pem;
    cws_buf_init(&pem, CWS_TLS_PEM_MAX);
    enum cws_status status = cws_tls_ca_new(NAME, &ca, err);
    if (status == CWS_OK)
        status = cws_tls_ca_save(ca, &pem, err);
    if (status == CWS_OK)
        status = write_file(key_path, KEY_MODE, &pem, err);
    cws_tls_ca_free(ca);
    if (pem.data)
        explicit_bzero(pem.data, pem.cap);
    cws_buf_done(&pem);
    return status;
}

/* CWS_CLOSED: there is no such file. */
static enum cws_status load(const char *path, struct cws_tls_ca **out_ca, struct cws_error *err)
{
    char pem[8192];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return CWS_CLOSED;
    if (fd < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "cannot open %s", path);
    enum cws_status status = cwsd_private_check(fd, S_IFREG, path, err);
    ssize_t len = status == CWS_OK ? read(fd, pem, sizeof(pem)) : 0;
    close(fd);
    if (status != CWS_OK)
        return status;
    status = cws_tls_ca_load(pem, len > 0 ? (size_t)len : 0, out_ca, err);
    explicit_bzero(pem, sizeof(pem));
    return status == CWS_OK ? status : cws_error_wrap(err, "%s", path);
}

static bool is_written(const char *path, const struct cws_buf *content)
{
    char found[8192];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    ssize_t len = fd >= 0 ? read(fd, found, sizeof(found)) : -1;
    if (fd >= 0)
        close(fd);
    return len == (ssize_t)content->len && memcmp(found, cws_buf_bytes(content), content->len) == 0;
}

/* The file that is there may be of an authority whose key was removed. */
static enum cws_status write_cert(const struct cwsd_authority *authority, struct cws_error *err)
{
    const char *path = authority->cert_path;
    struct cws_buf pem;
    cws_buf_init(&pem, CWS_TLS_PEM_MAX);
    enum cws_status status = cws_tls_ca_write(authority->ca, &pem, err);
    if (status == CWS_OK && !is_written(path, &pem)) {
        if (unlink(path) < 0 && errno != ENOENT)
            status = cws_error_set_errno(err, CWS_SYSTEM, errno, "cannot write %s", path);
        else
            status = write_file(path, CERT_MODE, &pem, err);
    }
    cws_buf_done(&pem);
    return status;
}

enum cws_status cwsd_authority_open(const char *dir, struct cwsd_authority *out_authority,
                                    struct cws_error *err)
{
    struct file_path key, cert;
    *out_authority = (struct cwsd_authority){0};
    if (make_path(dir, "endpoints-ca.key", &key, err) != CWS_OK ||
        make_path(dir, "endpoints-ca.pem", &cert, err) != CWS_OK)
        return err->status;
    enum cws_status status = load(key.text, &out_authority->ca, err);
    if (status == CWS_CLOSED) {
        status = make(key.text, err);
        if (status == CWS_OK)
            status = load(key.text, &out_authority->ca, err);
    }
    memcpy(out_authority->cert_path, cert.text, sizeof(cert.text));
    if (status == CWS_OK)
        status = write_cert(out_authority, err);
    if (status != CWS_OK)
        cwsd_authority_close(out_authority);
    return status;
}

void cwsd_authority_close(struct cwsd_authority *authority)
{
    cws_tls_ca_free(authority->ca);
    authority->ca = NULL;
}
