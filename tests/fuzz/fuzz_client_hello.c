/* The first bytes of a connection: a name that can be a host's, or none; and never one that what
 * follows changes. */
#include "../../src/cwsandbox-egress/hello.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[CWSE_NAME_SIZE], again[CWSE_NAME_SIZE];
    if (size > CWSE_MAX_HELLO)
        return 0;
    enum cwse_hello result = cwse_hello_read(data, size, name);
    if (result == CWSE_HELLO_NAMED) {
        REQUIRE(cwse_name_read(name, strlen(name), again));
        REQUIRE(strcmp(name, again) == 0);
    }
    /* What is wrong with the beginning does not get right by more. */
    enum cwse_hello before = cwse_hello_read(data, size / 2, again);
    REQUIRE(before == CWSE_HELLO_PARTIAL || before == result);
    REQUIRE(before != CWSE_HELLO_NAMED || strcmp(name, again) == 0);
    return 0;
}
