#include "config/authority.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/private.h"
#include "io/tls.h"

#define NAME     "cwsandboxd endpoints"
#define KEY_MODE 0600

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

/* Makes a file with this content, which nobody sees before it is whole. */
static enum cws_status write_file(const char *path, mode_t mode, const struct cws_buf *content,
                                  struct cws_error *err)
{
    struct file_path temporary;
    enum cws_status status = CWS_OK;
    int len = snprintf(temporary.text, sizeof(temporary.text), "%s-%ld", path, (long)getpid());
    int fd = len < (int)sizeof(temporary.text)
                 ? open(temporary.text, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
                 : -1;
    bool written = fd >= 0 && fchmod(fd, mode) == 0 &&
                   write(fd, cws_buf_bytes(content), content->len) == (ssize_t)content->len;
    if (fd >= 0)
        written = close(fd) == 0 && written;
    /* Not rename: the authority that another daemon has just made stays. */
    if (!written || (link(temporary.text, path) < 0 && errno != EEXIST))
        status = cws_error_set_errno(err, CWS_SYSTEM, errno, "cannot write %s", path);
    unlink(temporary.text);
    return status;
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

static enum cws_status write_cert(const struct cwsd_authority *authority, struct cws_error *err)
{
    struct cws_buf pem;
    cws_buf_init(&pem, CWS_TLS_PEM_MAX);
    enum cws_status status = cws_tls_ca_write(authority->ca, &pem, err);
    /* It may be that of an authority whose key was removed. */
    if (status == CWS_OK && unlink(authority->cert_path) < 0 && errno != ENOENT)
        status =
            cws_error_set_errno(err, CWS_SYSTEM, errno, "cannot write %s", authority->cert_path);
    if (status == CWS_OK)
        status = write_file(authority->cert_path, 0644, &pem, err);
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
