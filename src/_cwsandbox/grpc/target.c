#include "grpc/target.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"

void cws_target_done(struct cws_target *target)
{
    cws_free(target->unix_path);
    cws_free(target->host);
    cws_free(target->authority);
    *target = (struct cws_target){0};
}

static enum cws_status no_memory(struct cws_error *err)
{
    return cws_error_set(err, CWS_NO_MEMORY, "out of memory for a target");
}

/* Digits up to 65535; empty and 0 mean the default. */
static enum cws_status parse_port(const char *url, const char *text, size_t len, uint16_t *port,
                                  struct cws_error *err)
{
    unsigned value = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || value > 65535)
            value = 65536;
        else
            value = value * 10 + (unsigned)(text[i] - '0');
    }
    if (value > 65535)
        return cws_error_set(err, CWS_INVALID,
                             "base URL '%s': port '%.*s' must be a number from 0 to 65535", url,
                             (int)(len < 40 ? len : 40), text);
    if (value)
        *port = (uint16_t)value;
    return CWS_OK;
}

/* Whether the look-up and the :authority field can take it; nothing that could not be a name goes
 * on the wire. */
static bool is_host(const char *host, size_t len, bool literal6)
{
    static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    static const char address6[] = "abcdefABCDEF0123456789:.";
    for (size_t i = 0; i < len; i++) {
        if (literal6 && host[i] == '%')
            return i + 1 < len &&
                   is_host(host + i + 1, len - i - 1, false); /* a zone: an interface's name */
        if (!memchr(literal6 ? address6 : name, host[i],
                    literal6 ? sizeof(address6) - 1 : sizeof(name) - 1))
            return false;
    }
    return true;
}

/* host, host:port, [v6], [v6]:port */
static enum cws_status parse_authority(const char *url, const char *text, size_t len,
                                       struct cws_target *target, struct cws_error *err)
{
    const char *host = text;
    const char *end = text + len;
    size_t host_len;
    const char *rest;
    bool literal6 = len && text[0] == '[';
    if (literal6) {
        const char *close = memchr(text, ']', len);
        if (!close)
            return cws_error_set(err, CWS_INVALID, "base URL '%s': '[' without ']'", url);
        host = text + 1;
        host_len = (size_t)(close - host);
        rest = close + 1;
    } else {
        const char *colon = memchr(text, ':', len);
        rest = colon ? colon : end;
        host_len = (size_t)(rest - host);
        if (colon && memchr(colon + 1, ':', (size_t)(end - colon - 1)))
            return cws_error_set(err, CWS_INVALID,
                                 "base URL '%s': an IPv6 address must stand in brackets", url);
    }
    if (host_len == 0)
        return cws_error_set(err, CWS_INVALID, "base URL '%s' must have a hostname", url);
    if (!is_host(host, host_len, literal6))
        return cws_error_set(err, CWS_INVALID, "base URL '%s': a hostname is made of %s", url,
                             literal6 ? "hexadecimal digits and ':' between brackets"
                                      : "a-z, 0-9, '-', '_' and '.'");
    if (rest < end) {
        if (*rest != ':')
            return cws_error_set(err, CWS_INVALID, "base URL '%s': unexpected text after ']'", url);
        enum cws_status status =
            parse_port(url, rest + 1, (size_t)(end - rest - 1), &target->port, err);
        if (status != CWS_OK)
            return status;
    }
    target->host = cws_strndup(host, host_len);
    target->authority = cws_malloc(host_len + 16);
    if (!target->host || !target->authority)
        return no_memory(err);
    snprintf(target->authority, host_len + 16, literal6 ? "[%s]:%u" : "%s:%u", target->host,
             target->port);
    return CWS_OK;
}

static enum cws_status parse_unix(const char *url, const char *path, struct cws_target *target,
                                  struct cws_error *err)
{
    enum { SUN_PATH_MAX = 107 };
    if (path[0] != '/')
        return cws_error_set(err, CWS_INVALID,
                             "base URL '%s': a Unix socket needs an absolute path (unix:///path)",
                             url);
    if (strlen(path) > SUN_PATH_MAX)
        return cws_error_set(err, CWS_INVALID,
                             "base URL '%s': a Unix socket path has at most %d bytes", url,
                             SUN_PATH_MAX);
    target->unix_path = cws_strdup(path);
    target->host = cws_strdup("localhost");
    target->authority = cws_strdup("localhost");
    return target->unix_path && target->host && target->authority ? CWS_OK : no_memory(err);
}

static enum cws_status parse(const char *url, struct cws_target *target, struct cws_error *err)
{
    static const char unix_scheme[] = "unix://", http[] = "http://", https[] = "https://";
    if (strncasecmp(url, unix_scheme, sizeof(unix_scheme) - 1) == 0)
        return parse_unix(url, url + sizeof(unix_scheme) - 1, target, err);
    const char *rest;
    if (strncasecmp(url, http, sizeof(http) - 1) == 0) {
        rest = url + sizeof(http) - 1;
        target->port = 80;
    } else if (strncasecmp(url, https, sizeof(https) - 1) == 0) {
        rest = url + sizeof(https) - 1;
        target->port = 443;
        target->tls = true;
    } else {
        return cws_error_set(err, CWS_INVALID,
                             "base URL '%s' must use http or https scheme (or unix:///path)", url);
    }
    size_t len = strcspn(rest, "/?#");
    const char *path = rest + len;
    size_t path_len = strcspn(path, "?#");
    if (path_len > 1 || (path_len == 1 && path[0] != '/'))
        return cws_error_set(err, CWS_INVALID,
                             "base URL '%s': the service does not support URL paths", url);
    const char *at = memrchr(rest, '@', len); /* user information is ignored */
    if (at) {
        len -= (size_t)(at + 1 - rest);
        rest = at + 1;
    }
    return parse_authority(url, rest, len, target, err);
}

enum cws_status cws_target_parse(const char *url, struct cws_target *out_target,
                                 struct cws_error *err)
{
    struct cws_target target = {0};
    enum cws_status status = parse(url, &target, err);
    if (status == CWS_OK)
        *out_target = target;
    else
        cws_target_done(&target);
    return status;
}
