#include "io/proxy.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"

/* A piece of a longer text. */
struct span {
    const char *at;
    size_t len;
};

static bool span_is(struct span span, const char *text)
{
    return strlen(text) == span.len && strncasecmp(span.at, text, span.len) == 0;
}

static struct span span_skip(struct span span, size_t n)
{
    return (struct span){span.at + n, span.len - n};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The value of the first variable that is set and not empty; its name goes to *out_name. */
static const char *first_env(const char *const *names, size_t count, const char **out_name)
{
    for (size_t i = 0; i < count; i++) {
        const char *value = getenv(names[i]);
        if (value && *value) {
            *out_name = names[i];
            return value;
        }
    }
    return NULL;
}

/* --- no_proxy --- */

struct address {
    int family; /* AF_UNSPEC: not an address */
    uint8_t bytes[sizeof(struct in6_addr)];
};

static struct address parse_address(struct span span)
{
    struct address address = {.family = AF_UNSPEC};
    char text[INET6_ADDRSTRLEN];
    if (span.len > 2 && span.at[0] == '[' && span.at[span.len - 1] == ']')
        span = (struct span){span.at + 1, span.len - 2};
    if (span.len >= sizeof(text))
        return address;
    memcpy(text, span.at, span.len);
    text[span.len] = '\0';
    if (inet_pton(AF_INET, text, address.bytes) == 1)
        address.family = AF_INET;
    else if (inet_pton(AF_INET6, text, address.bytes) == 1)
        address.family = AF_INET6;
    return address;
}

static bool same_prefix(const struct address *a, const struct address *b, size_t bits)
{
    size_t whole = bits / 8;
    uint8_t mask = (uint8_t)(0xff00u >> (bits % 8));
    if (memcmp(a->bytes, b->bytes, whole) != 0)
        return false;
    return mask == 0 || ((a->bytes[whole] ^ b->bytes[whole]) & mask) == 0;
}

/* `entry` is an address, or a block "address/bits". What is neither covers nothing: the variable is
 * shared with other programs, which may know more forms. */
static bool block_covers(struct span entry, const struct address *host)
{
    const char *slash = memchr(entry.at, '/', entry.len);
    struct span base = {entry.at, slash ? (size_t)(slash - entry.at) : entry.len};
    struct address address = parse_address(base);
    size_t most = address.family == AF_INET ? 32 : 128, bits = most;
    if (address.family == AF_UNSPEC || address.family != host->family)
        return false;
    if (slash) {
        struct span digits = span_skip(entry, base.len + 1);
        if (digits.len == 0 || digits.len > 3)
            return false;
        bits = 0;
        for (size_t i = 0; i < digits.len; i++) {
            if (digits.at[i] < '0' || digits.at[i] > '9')
                return false;
            bits = bits * 10 + (size_t)(digits.at[i] - '0');
        }
    }
    return bits <= most && same_prefix(&address, host, bits);
}

static bool domain_covers(struct span entry, struct span host)
{
    if (entry.len > 1 && entry.at[0] == '*' && entry.at[1] == '.')
        entry = span_skip(entry, 1);
    if (entry.len > 0 && entry.at[0] == '.')
        entry = span_skip(entry, 1);
    if (entry.len == 0 || entry.len > host.len)
        return false;
    struct span tail = span_skip(host, host.len - entry.len);
    return strncasecmp(tail.at, entry.at, entry.len) == 0 &&
           (tail.at == host.at || tail.at[-1] == '.');
}

static bool covers(const char *list, const char *host_text)
{
    struct span host = {host_text, strlen(host_text)};
    struct address address = parse_address((struct span){host.at, strcspn(host.at, "%")});
    if (host.len > 1 && host.at[host.len - 1] == '.')
        host.len--; /* "example.com." is the same name */
    for (const char *at = list;; at++) {
        struct span entry = {at, strcspn(at, ",")};
        at += entry.len;
        while (entry.len > 0 && is_blank(entry.at[0]))
            entry = span_skip(entry, 1);
        while (entry.len > 0 && is_blank(entry.at[entry.len - 1]))
            entry.len--;
        if (span_is(entry, "*"))
            return true;
        if (address.family == AF_UNSPEC ? domain_covers(entry, host)
                                        : block_covers(entry, &address))
            return true;
        if (*at == '\0')
            return false;
    }
}

/* --- the proxy's URL --- */

/* The parts of "http://user:password@host:port/". */
struct url {
    struct span scheme, user_info, host, port; /* at == NULL: not there */
};

static struct url url_split(const char *text)
{
    struct url url = {0};
    const char *colon = strstr(text, "://");
    if (colon) {
        url.scheme = (struct span){text, (size_t)(colon - text)};
        text = colon + 3;
    }
    struct span authority = {text, strcspn(text, "/?#")};
    for (size_t i = authority.len; i-- > 0;) {
        if (authority.at[i] != '@')
            continue;
        url.user_info = (struct span){authority.at, i};
        authority = span_skip(authority, i + 1);
        break;
    }
    const char *end = authority.len > 0 && authority.at[0] == '['
                          ? memchr(authority.at, ']', authority.len)
                          : NULL;
    size_t host_len = end ? (size_t)(end + 1 - authority.at) : 0;
    while (host_len < authority.len && authority.at[host_len] != ':')
        host_len++;
    url.host = (struct span){authority.at, host_len};
    if (host_len < authority.len)
        url.port = span_skip(authority, host_len + 1);
    return url;
}

static bool is_host(struct span host)
{
    if (host.len == 0 || host.len > 253)
        return false;
    if (host.at[0] == '[')
        return parse_address(host).family == AF_INET6;
    for (size_t i = 0; i < host.len; i++)
        if ((unsigned char)host.at[i] <= ' ' || host.at[i] == 0x7f || host.at[i] == '[')
            return false;
    return true;
}

/* 1 to 65535, or 0 when it is not a port. */
static unsigned parse_port(struct span port)
{
    unsigned number = 0;
    if (port.len > 5)
        return 0;
    for (size_t i = 0; i < port.len; i++) {
        if (port.at[i] < '0' || port.at[i] > '9')
            return 0;
        number = number * 10 + (unsigned)(port.at[i] - '0');
    }
    return number <= UINT16_MAX ? number : 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %xx in place; false: a bad escape, or one for NUL. */
static bool percent_decode(char *text)
{
    char *out = text;
    for (const char *at = text; *at; at++, out++) {
        *out = *at;
        if (*at != '%')
            continue;
        int high = hex_digit(at[1]);
        int low = high >= 0 ? hex_digit(at[2]) : -1;
        if (low < 0 || (high == 0 && low == 0))
            return false;
        *out = (char)(high * 16 + low);
        at += 2;
    }
    *out = '\0';
    return true;
}

/* "user:password" from the URL's form of it; *out_bad: it has a bad escape. NULL then, or
 * without memory. */
static char *decode_auth(struct span user_info, bool *out_bad)
{
    bool has_colon = memchr(user_info.at, ':', user_info.len) != NULL;
    char *auth = cws_malloc(user_info.len + 2);
    if (!auth)
        return NULL;
    memcpy(auth, user_info.at, user_info.len);
    memcpy(auth + user_info.len, has_colon ? "" : ":", has_colon ? 1 : 2);
    if (percent_decode(auth))
        return auth;
    *out_bad = true;
    cws_free(auth);
    return NULL;
}

/* Shows the value without what may be a secret. */
static enum cws_status invalid(struct cws_error *err, const char *name, const struct url *url,
                               const char *rule)
{
    const char *at = strrchr(url->host.at, '@'); /* a password with an unescaped slash */
    bool has_user = url->user_info.at || at;
    return cws_error_set(err, CWS_INVALID, "cannot use %s=%.*s%s%s%.100s: %s", name,
                         (int)url->scheme.len, url->scheme.at ? url->scheme.at : "",
                         url->scheme.at ? "://" : "", has_user ? "***@" : "",
                         at ? at + 1 : url->host.at, rule);
}

static enum cws_status parse_proxy(const char *name, const char *value, struct cws_proxy *out_proxy,
                                   struct cws_error *err)
{
    struct url url = url_split(value);
    if (url.scheme.at && !span_is(url.scheme, "http"))
        return invalid(err, name, &url, "only http:// proxies are spoken to");
    if (!is_host(url.host))
        return invalid(err, name, &url, "no host name or address in it");
    unsigned port = url.port.at ? parse_port(url.port) : 80;
    if (port == 0)
        return invalid(err, name, &url, "a port is a number from 1 to 65535");

    bool bad_escape = false;
    size_t size = url.host.len + sizeof(":65535");
    char *auth = url.user_info.at ? decode_auth(url.user_info, &bad_escape) : NULL;
    if (bad_escape)
        return invalid(err, name, &url, "a bad %-escape in the user or password");
    char *address = cws_malloc(size);
    if (!address || (url.user_info.at && !auth)) {
        cws_free(address);
        cws_free(auth);
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for %s", name);
    }
    snprintf(address, size, "%.*s:%u", (int)url.host.len, url.host.at, port);
    *out_proxy = (struct cws_proxy){address, auth};
    return CWS_OK;
}

enum cws_status cws_proxy_for(const char *host, struct cws_proxy *out_proxy, struct cws_error *err)
{
    static const char *const proxies[] = {"grpc_proxy", "https_proxy", "http_proxy"};
    static const char *const exceptions[] = {"no_grpc_proxy", "no_proxy"};
    const char *name = NULL;
    *out_proxy = (struct cws_proxy){0};
    const char *value = first_env(proxies, CWS_ARRAY_LEN(proxies), &name);
    if (!value)
        return CWS_OK;
    const char *exception_name;
    const char *list = first_env(exceptions, CWS_ARRAY_LEN(exceptions), &exception_name);
    if (list && covers(list, host))
        return CWS_OK;
    return parse_proxy(name, value, out_proxy, err);
}

void cws_proxy_done(struct cws_proxy *proxy)
{
    cws_free(proxy->address);
    cws_free(proxy->auth);
    *proxy = (struct cws_proxy){0};
}
