#include "values/grant.h"

#include <stdio.h>
#include <string.h>

#define SCHEME      "cwsandbox:"
#define PERMISSIONS "?permissions="

bool cwsd_grant_from_request(const cwsd_pb_connect_request *request, struct cwsd_grant *out_grant,
                             struct cwsd_fault *fault)
{
    memset(out_grant, 0, sizeof(*out_grant));
    size_t len = strlen(request->sandbox_id);
    if (len >= sizeof(out_grant->sandbox_id))
        return cwsd_fault_set_invalid(fault, "sandbox_id", "is too long to be a sandbox's");
    memcpy(out_grant->sandbox_id, request->sandbox_id, len + 1);
    if (request->n_requested_permissions == 0)
        return cwsd_fault_set_invalid(fault, "requested_permissions", "must not be empty");
    for (size_t i = 0; i < request->n_requested_permissions; i++) {
        int wanted = (int)request->requested_permissions[i];
        if (wanted < CWSD_PERMISSION_EXEC || wanted >= CWSD_PERMISSION_END)
            return cwsd_fault_set_invalid(fault, "requested_permissions",
                                          "%d is no permission that this daemon knows", wanted);
        out_grant->permissions |= 1u << wanted;
    }
    return true;
}

void cwsd_grant_uri(const struct cwsd_grant *grant, char out_uri[CWSD_GRANT_URI_SIZE])
{
    char digits[CWSD_PERMISSION_END], *end = digits;
    for (int permission = 0; permission < CWSD_PERMISSION_END; permission++)
        if (grant->permissions >> permission & 1)
            *end++ = (char)('0' + permission);
    snprintf(out_uri, CWSD_GRANT_URI_SIZE, SCHEME "%s" PERMISSIONS "%.*s", grant->sandbox_id,
             (int)(end - digits), digits);
}

bool cwsd_grant_parse(const char *uri, struct cwsd_grant *out_grant)
{
    memset(out_grant, 0, sizeof(*out_grant));
    if (strncmp(uri, SCHEME, strlen(SCHEME)) != 0)
        return false;
    const char *id = uri + strlen(SCHEME), *query = strstr(id, PERMISSIONS);
    size_t len = query ? (size_t)(query - id) : 0;
    if (len == 0 || len >= sizeof(out_grant->sandbox_id))
        return false;
    memcpy(out_grant->sandbox_id, id, len);
    for (const char *at = query + strlen(PERMISSIONS); *at; at++) {
        if (*at < '0' + CWSD_PERMISSION_EXEC || *at >= '0' + CWSD_PERMISSION_END)
            return false;
        out_grant->permissions |= 1u << (*at - '0');
    }
    return true;
}
