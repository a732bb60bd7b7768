#include "values/http_head.h"

#include <string.h>
#include <strings.h>

#include "values/text.h"

#define HEADER    "X-Sandbox-Share-Token"
#define PARAMETER "share_token="

/* Some bytes of the head. */
struct span {
    const char *at;
    size_t len;
};

/* The part before `separator`, which is taken off *rest together with it; all of it if there is
 * none. */
static struct span cut(struct span *rest, const char *separator)
{
    size_t len = strlen(separator);
    const char *found = memmem(rest->at, rest->len, separator, len);
    struct span part = {rest->at, found ? (size_t)(found - rest->at) : rest->len};
    size_t used = found ? part.len + len : rest->len;
    rest->at += used;
    rest->len -= used;
    return part;
}

static struct span trim(struct span span)
{
    while (span.len && (*span.at == ' ' || *span.at == '\t')) {
        span.at++;
        span.len--;
    }
    while (span.len && (span.at[span.len - 1] == ' ' || span.at[span.len - 1] == '\t'))
        span.len--;
    return span;
}

size_t cwsd_http_head_len(const uint8_t *data, size_t len)
{
    const uint8_t *end = memmem(data, len, "\r\n\r\n", 4);
    return end ? (size_t)(end - data) + 4 : 0;
}

bool cwsd_http_head_is_plausible(const uint8_t *data, size_t len)
{
    size_t name = 0;
    while (name < len && data[name] >= 'A' && data[name] <= 'Z')
        name++;
    return name == len || (name > 0 && data[name] == ' ');
}

static bool is_token(struct span value, const char *token)
{
    return cwsd_text_is_secret(value.at, value.len, token);
}

static bool query_has_token(struct span target, const char *token)
{
    struct span query = cut(&target, "#");
    cut(&query, "?");
    while (query.len) {
        struct span parameter = cut(&query, "&");
        if (parameter.len < strlen(PARAMETER) ||
            memcmp(parameter.at, PARAMETER, strlen(PARAMETER)) != 0)
            continue;
        parameter.at += strlen(PARAMETER);
        parameter.len -= strlen(PARAMETER);
        if (is_token(parameter, token))
            return true;
    }
    return false;
}

bool cwsd_http_head_has_token(const uint8_t *data, size_t len, const char *token)
{
    struct span rest = {(const char *)data, len};
    struct span line = cut(&rest, "\r\n");
    cut(&line, " ");
    bool found = query_has_token(cut(&line, " "), token);
    while (rest.len) {
        struct span value = cut(&rest, "\r\n");
        struct span name = cut(&value, ":");
        if (name.len == strlen(HEADER) && strncasecmp(name.at, HEADER, name.len) == 0)
            found = is_token(trim(value), token) || found;
    }
    return found;
}
