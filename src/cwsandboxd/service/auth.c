#include "service/auth.h"

#include <string.h>
#include <strings.h>

#define BEARER "Bearer "

/* Takes as long whatever is wrong with `given`. */
static bool is_token(const char *given, const char *token)
{
    size_t len = strlen(token), given_len = strlen(given);
    unsigned char differ = given_len != len;
    for (size_t i = 0; i < len; i++)
        differ |= (unsigned char)(token[i] ^ given[given_len ? i % given_len : 0]);
    return differ == 0;
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
