#include "config/pem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "values/bounds.h"

#define MAX_PEM_BYTES CWSD_MIB
#define READ_BYTES    16384
#define BUF_BYTES     (MAX_PEM_BYTES + READ_BYTES) /* the end is seen by a read after it */

static enum cws_status read_file(const char *path, struct cws_buf *into, struct cws_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = -1;
    uint8_t *tail;
    if (fd < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "cannot open %s", path);
    enum cws_status status = CWS_OK;
    while (status == CWS_OK && len != 0) {
        status = cws_buf_reserve(into, READ_BYTES, &tail);
        if (status != CWS_OK) {
            cws_error_set(err, status, "%s: %s", path, cws_status_text(status));
        } else if ((len = read(fd, tail, READ_BYTES)) < 0) {
            status = cws_error_set_errno(err, CWS_SYSTEM, errno, "cannot read %s", path);
        } else {
            cws_buf_commit(into, (size_t)len);
            if (into->len > MAX_PEM_BYTES)
                status = cws_error_set(err, CWS_SYSTEM, "%s has more than 1 MiB", path);
        }
    }
    close(fd);
    return status;
}

enum cws_status cwsd_pem_load_server(const char *cert_path, const char *key_path,
                                     struct cws_tls_config **out_config, struct cws_error *err)
{
    struct cws_buf cert, key;
    cws_buf_init(&cert, BUF_BYTES);
    cws_buf_init(&key, BUF_BYTES);
    enum cws_status status = read_file(cert_path, &cert, err);
    if (status == CWS_OK)
        status = read_file(key_path, &key, err);
    if (status == CWS_OK) {
        const struct cws_tls_options options = {
            .cert_pem = (const char *)cws_buf_bytes(&cert),
            .cert_len = cert.len,
            .key_pem = (const char *)cws_buf_bytes(&key),
            .key_len = key.len,
            .server = true,
        };
        status = cws_tls_config_new(&options, out_config, err);
        if (status != CWS_OK)
            cws_error_wrap(err, "--tls-cert %s, --tls-key %s", cert_path, key_path);
    }
    if (key.data)
        explicit_bzero(key.data, key.cap);
    cws_buf_done(&cert);
    cws_buf_done(&key);
    return status;
}

enum cws_status cwsd_pem_issue_server(struct cws_tls_ca *ca, const char *host,
                                      const struct cws_tls_options *options,
                                      struct cws_tls_config **out_config, struct cws_error *err)
{
    struct cws_tls_options with_cert = *options;
    struct cws_buf cert, key;
    cws_buf_init(&cert, CWS_TLS_PEM_MAX);
    cws_buf_init(&key, CWS_TLS_PEM_MAX);
    enum cws_status status = cws_tls_ca_issue_server(ca, host, &cert, &key, err);
    if (status == CWS_OK) {
        with_cert.cert_pem = (const char *)cws_buf_bytes(&cert);
        with_cert.cert_len = cert.len;
        with_cert.key_pem = (const char *)cws_buf_bytes(&key);
        with_cert.key_len = key.len;
        with_cert.server = true;
        status = cws_tls_config_new(&with_cert, out_config, err);
    }
    if (key.data)
        explicit_bzero(key.data, key.cap);
    cws_buf_done(&cert);
    cws_buf_done(&key);
    return status;
}
