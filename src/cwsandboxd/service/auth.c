#include "service/auth.h"

#include <string.h>
#include <strings.h>

#include "values/text.h"

#define BEARER "Bearer "

static bool is_token(const char *given, const char *token)
{
    return cwsd_text_is_secret(given, strlen(given), token);
}

bool cwsd_auth_check(const struct cws_server_call *call, const char *token,
                     struct cwsd_fault *fault)
{
    static const char *const key_headers[] = {"x-wandb-api-key", "x-api-key"};
    const char *authorization = cws_server_call_header(call, "authorization");
    if (authorization && strncasecmp(authorization, BEARER, strlen(BEARER)) == 0 &&
        is_token(authorization + strlen(BEARER), token))
        return true;
    for (size_t i = 0; i < CWS_ARRAY_LEN(key_headers); i++) {
        const char *key = cws_server_call_header(call, key_headers[i]);
        if (key && is_token(key, token))
            return true;
    }
    return cwsd_fault_set(
        fault, CWS_GRPC_UNAUTHENTICATED, CWSD_REASON_UNAUTHENTICATED,
        "this daemon wants the token in its --token-file: set CWSANDBOX_API_KEY to it (the header "
        "is authorization: Bearer TOKEN)");
}
