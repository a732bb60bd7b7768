/* What a sandbox asks: an answer that fits, repeats the question, and can be parsed, or none. */
#include <arpa/nameser.h>

#include "../../src/cwsandbox-egress/question.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct in_addr addresses[8] = {{1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}};
    struct cwse_question question;
    uint8_t out[CWSE_ANSWER_SIZE];
    ns_msg parsed;
    ns_rr record;
    int code = cwse_question_read(data, size, &question);
    if (code < 0)
        return 0;
    /* What is no host name has no addresses. */
    size_t count = code == 0 && question.name[0] ? 8 : 0;
    size_t len = code == 0 ? cwse_answer_write(data, &question, 0, addresses, count, out)
                           : cwse_answer_write(data, NULL, code, NULL, 0, out);
    REQUIRE(len <= sizeof(out));
    REQUIRE(ns_initparse(out, (int)len, &parsed) == 0);
    REQUIRE(ns_msg_count(parsed, ns_s_qd) == (code == 0));
    for (int i = 0; i < ns_msg_count(parsed, ns_s_an); i++)
        REQUIRE(ns_parserr(&parsed, ns_s_an, i, &record) == 0);
    return 0;
}
