/* ports and expose. They change nothing here, so only their form is looked at. */
#include <string.h>

#include "base/alloc.h"
#include "values/compose_private.h"
#include "values/text.h"

#define MAX_PORT 65535

/* A port, or a range such as "80-90". A published one may be 0: any that is free. */
static bool is_range(const char *text, size_t len, unsigned least)
{
    unsigned first = 0;
    for (size_t i = 0; i < 2; i++) {
        size_t digits = 0;
        unsigned port = 0;
        for (; digits < len && text[digits] >= '0' && text[digits] <= '9'; digits++)
            if ((port = port * 10 + (unsigned)(text[digits] - '0')) > MAX_PORT)
                return false;
        if (digits == 0 || port < least || (i == 1 && port < first))
            return false;
        if (digits == len)
            return true;
        if (text[digits] != '-')
            return false;
        first = port;
        text += digits + 1;
        len -= digits + 1;
    }
    return false;
}

/* "127.0.0.1", "[::1]"; whether it is an address of this host is not asked. */
static bool is_address(const char *text, size_t len)
{
    return len > 0 && strspn(text, "0123456789abcdefABCDEF.:[]") >= len;
}

/* What stands before the last colon: PORTS, ADDRESS:PORTS or ADDRESS:. */
static bool is_published(const char *text, size_t len)
{
    size_t at = len;
    while (at > 0 && text[at - 1] != ':')
        at--;
    if (at < len && !is_range(text + at, len - at, 0))
        return false;
    return at == 0 ? len > 0 : is_address(text, at - 1);
}

static bool is_port(const char *text, bool publishes)
{
    size_t len = strcspn(text, "/"), at = len;
    if (text[len] && strcmp(text + len, "/tcp") != 0 && strcmp(text + len, "/udp") != 0 &&
        strcmp(text + len, "/sctp") != 0)
        return false;
    while (publishes && at > 0 && text[at - 1] != ':')
        at--;
    if (!publishes)
        at = 0;
    return is_range(text + at, len - at, 1) && (at == 0 || is_published(text, at - 1));
}

static bool check_text(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                       bool publishes)
{
    char *text = cwsd_compose_text(at, node);
    bool good = text && (is_port(text, publishes) ||
                         cwsd_compose_refuse(at, node->line, "\"%s\" is no port%s",
                                             cwsd_text_short(text).text,
                                             publishes ? ", such as \"8080:80/tcp\"" : ""));
    cws_free(text);
    return good;
}

/* A port with names: {target: 80, published: "8080"}. */
static bool check_map(const struct cwsd_compose_at *at, const struct cwsd_yaml *node)
{
    static const char *const keys[] = {"target",       "published", "host_ip", "protocol",
                                       "app_protocol", "mode",      "name"};
    if (!cwsd_yaml_get(node, "target"))
        return cwsd_compose_refuse(at, node->line, "a port must have a target");
    for (size_t i = 0; i < node->count; i++) {
        const struct cwsd_yaml_item *item = &node->items[i];
        size_t known = 0;
        while (known < CWS_ARRAY_LEN(keys) && strcmp(item->key, keys[known]) != 0)
            known++;
        if (known == CWS_ARRAY_LEN(keys) && strncmp(item->key, "x-", 2) != 0)
            return cwsd_compose_refuse(at, item->key_line, "\"%s\" is no key of a port",
                                       cwsd_text_short(item->key).text);
        if (known == CWS_ARRAY_LEN(keys))
            continue;
        char *text = cwsd_compose_text(at, item->value);
        bool good = text && (known > 1 || is_range(text, strlen(text), known == 0) ||
                             cwsd_compose_refuse(at, item->value->line, "\"%s\" is no port",
                                                 cwsd_text_short(text).text));
        cws_free(text);
        if (!good)
            return false;
    }
    return true;
}

bool cwsd_compose_ports(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                        bool publishes)
{
    if (node->kind != CWSD_YAML_LIST)
        return cwsd_compose_refuse(at, node->line, "must be a list");
    for (size_t i = 0; i < node->count; i++) {
        const struct cwsd_yaml *port = node->items[i].value;
        if (!(publishes && port->kind == CWSD_YAML_MAP ? check_map(at, port)
                                                       : check_text(at, port, publishes)))
            return false;
    }
    return true;
}
