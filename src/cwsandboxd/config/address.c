#include "config/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "values/text.h"

#define UNIX_PREFIX "unix://"

static enum cws_status parse_unix(const char *path, struct cwsd_address *out, struct cws_error *err)
{
    if (path[0] != '/' || path[strlen(path) - 1] == '/')
        return cws_error_set(err, CWS_INVALID,
                             "\"%s%s\": after unix:// an absolute path of a socket must follow",
                             UNIX_PREFIX, cwsd_text_short(path).text);
    if (strlen(path) >= sizeof(out->path))
        return cws_error_set(err, CWS_INVALID,
                             "a socket's path has at most %zu bytes, this one has %zu: %s",
                             sizeof(out->path) - 1, strlen(path), path);
    out->is_unix = true;
    out->is_loopback = true;
    memcpy(out->path, path, strlen(path) + 1);
    return CWS_OK;
}

/* Splits "host:port" / "[host]:port" into out->host and the port's text; NULL if it is neither. */
static const char *split(const char *text, struct cwsd_address *out)
{
    const char *host = text, *end = strrchr(text, ':'), *port;
    if (!end)
        return NULL;
    port = end + 1;
    if (text[0] == '[') {
        host++;
        if (end == text || *--end != ']')
            return NULL;
    }
    size_t len = (size_t)(end - host);
    if (end < host || len >= sizeof(out->host))
        return NULL;
    memcpy(out->host, host, len);
    out->host[len] = '\0';
    return port;
}

static bool parse_port(const char *text, uint16_t *out)
{
    unsigned value = 0;
    size_t len = strlen(text);
    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)text[i]))
            return false;
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    *out = (uint16_t)value;
    return value <= UINT16_MAX;
}

static bool parse_host(const char *text, struct cwsd_address *out)
{
    struct in_addr four;
    struct in6_addr six;
    bool bracketed = text[0] == '[';
    if (!bracketed && inet_pton(AF_INET, out->host, &four) == 1) {
        out->is_loopback = ntohl(four.s_addr) >> 24 == 127;
        out->is_any = four.s_addr == htonl(INADDR_ANY);
        return true;
    }
    if (bracketed && inet_pton(AF_INET6, out->host, &six) == 1) {
        out->is_loopback = IN6_IS_ADDR_LOOPBACK(&six);
        out->is_any = IN6_IS_ADDR_UNSPECIFIED(&six);
        return true;
    }
    return false;
}

enum cws_status cwsd_address_parse(const char *text, struct cwsd_address *out_address,
                                   struct cws_error *err)
{
    memset(out_address, 0, sizeof(*out_address));
    if (strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
        return parse_unix(text + strlen(UNIX_PREFIX), out_address, err);
    const char *port = split(text, out_address);
    if (!port || !parse_host(text, out_address))
        return cws_error_set(
            err, CWS_INVALID,
            "\"%s\" is neither unix:///path nor an IP address with a port, such as "
            "127.0.0.1:0 or [::1]:4711 (names are not looked up)",
            cwsd_text_short(text).text);
    if (!parse_port(port, &out_address->port))
        return cws_error_set(err, CWS_INVALID, "\"%s\": the port must be a number from 0 to 65535",
                             cwsd_text_short(text).text);
    return CWS_OK;
}

void cwsd_address_url(const struct cwsd_address *address, bool tls,
                      char out_url[CWSD_ADDRESS_URL_SIZE])
{
    bool six = strchr(address->host, ':') != NULL;
    if (address->is_unix)
        snprintf(out_url, CWSD_ADDRESS_URL_SIZE, UNIX_PREFIX "%s", address->path);
    else
        snprintf(out_url, CWSD_ADDRESS_URL_SIZE, "%s://%s%s%s:%u", tls ? "https" : "http",
                 six ? "[" : "", address->host, six ? "]" : "", address->port);
}
