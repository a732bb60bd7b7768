#include "config/egress_way.h"

#include <string.h>

static const char *const names[] = {
    [CWSD_EGRESS_OFF] = "off",
    [CWSD_EGRESS_AUTO] = "auto",
    [CWSD_EGRESS_NFTABLES] = "nftables",
    [CWSD_EGRESS_SLIRP4NETNS] = "slirp4netns",
};

enum cws_status cwsd_egress_way_parse(const char *text, enum cwsd_egress_way *out_way,
                                      struct cws_error *err)
{
    for (size_t i = 0; i < CWS_ARRAY_LEN(names); i++) {
        if (strcmp(text, names[i]) != 0)
            continue;
        *out_way = (enum cwsd_egress_way)i;
        return CWS_OK;
    }
    return cws_error_set(err, CWS_INVALID,
                         "--egress: \"%s\" is none of off, auto, nftables and slirp4netns", text);
}

const char *cwsd_egress_way_name(enum cwsd_egress_way way)
{
    return names[way];
}
