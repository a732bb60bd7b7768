/* Base URLs: either a target that makes sense, or an error that says why not. */
#include "base/alloc.h"
#include "fuzz.h"
#include "grpc/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *url = malloc(size + 1);
    REQUIRE(url);
    memcpy(url, data, size);
    url[size] = '\0';
    struct cws_target target;
    struct cws_error err = {0};
    if (cws_target_parse(url, &target, &err) == CWS_OK) {
        REQUIRE(target.authority && target.authority[0]);
        REQUIRE(target.host && target.host[0]);
        REQUIRE(target.unix_path ? target.unix_path[0] == '/' : target.port != 0);
        REQUIRE(!(target.tls && target.unix_path));
        cws_target_done(&target);
    } else {
        REQUIRE(err.text[0]);
    }
    free(url);
    REQUIRE(cws_alloc_live() == 0);
    return 0;
}
