/* Heads of HTTP/1 requests: found at the same place however they arrive, and no token by chance. */
#include "fuzz.h"
#include "values/http_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t len = cwsd_http_head_len(data, size);
    REQUIRE(len <= size);
    (void)cwsd_http_head_is_plausible(data, size);
    if (len == 0)
        return 0;
    REQUIRE(cwsd_http_head_len(data, len) == len);
    REQUIRE(cwsd_http_head_len(data, len - 1) == 0);
    REQUIRE(!cwsd_http_head_has_token(data, len, "7f3a9c0de4b15268a1c3e5f70921b4d6"));
    (void)cwsd_http_head_has_token(data, len, "token");
    return 0;
}
