#include "question.h"

#include <arpa/nameser.h>
#include <string.h>

/* How long an answer may be kept, in seconds. The proxy looks a name up again, so this is only for
 * the sandbox's own convenience. */
#define KEPT_S 30

#define ANSWERS      0x80 /* in the third byte of a message */
#define WANTS_SEARCH 0x01
#define SEARCHES     0x80 /* in the fourth */

#define FIRST_NAME 0xc00c /* the name that starts after the header */

/* The name in the only question of a message that is well-formed as far as `parsed` goes. */
static int read_question(ns_msg *parsed, const uint8_t *message, size_t len,
                         struct cwse_question *question)
{
    ns_rr asked;
    if (ns_msg_count(*parsed, ns_s_qd) != 1 || ns_parserr(parsed, ns_s_qd, 0, &asked) < 0)
        return ns_r_formerr;
    int size = ns_skiprr(message + NS_HFIXEDSZ, message + len, ns_s_qd, 1);
    if (size < 0)
        return ns_r_formerr;
    if (ns_rr_class(asked) != ns_c_in)
        return ns_r_refused;
    question->end = NS_HFIXEDSZ + (size_t)size;
    question->wants_ipv4 = ns_rr_type(asked) == ns_t_a;
    /* A name that is not spelled out may point anywhere. */
    const char *name = ns_rr_name(asked);
    if (!cwse_name_read(name, strlen(name), question->name))
        question->name[0] = '\0';
    else if ((size_t)size != strlen(question->name) + 2 + NS_QFIXEDSZ)
        return ns_r_formerr;
    return question->end <= CWSE_ANSWER_SIZE ? ns_r_noerror : ns_r_formerr;
}

int cwse_question_read(const uint8_t *message, size_t len, struct cwse_question *out_question)
{
    ns_msg parsed;
    if (len < NS_HFIXEDSZ || (message[2] & ANSWERS))
        return -1;
    if (len > NS_MAXMSG || ns_initparse(message, (int)len, &parsed) < 0)
        return ns_r_formerr;
    if (ns_msg_getflag(parsed, ns_f_opcode) != ns_o_query)
        return ns_r_notimpl;
    return read_question(&parsed, message, len, out_question);
}

static uint8_t *put16(uint8_t *at, unsigned number)
{
    at[0] = (uint8_t)(number >> 8);
    at[1] = (uint8_t)number;
    return at + 2;
}

size_t cwse_answer_write(const uint8_t *message, const struct cwse_question *question, int code,
                         const struct in_addr *addresses, size_t count,
                         uint8_t out[CWSE_ANSWER_SIZE])
{
    const size_t record = 12 + sizeof(addresses[0]);
    size_t end = question ? question->end : NS_HFIXEDSZ;
    while (count > 0 && end + count * record > CWSE_ANSWER_SIZE)
        count--;
    memcpy(out, message, end);
    /* What the asker said of itself is repeated, everything else is ours. */
    out[2] = ANSWERS | (message[2] & (0x78 | WANTS_SEARCH));
    out[3] = (uint8_t)(SEARCHES | code);
    memset(out + 4, 0, NS_HFIXEDSZ - 4);
    put16(out + 4, question ? 1 : 0);
    put16(out + 6, (unsigned)count);
    uint8_t *at = out + end;
    for (size_t i = 0; i < count; i++) {
        at = put16(at, FIRST_NAME);
        at = put16(at, ns_t_a);
        at = put16(at, ns_c_in);
        at = put16(put16(at, 0), KEPT_S);
        at = put16(at, sizeof(addresses[0]));
        memcpy(at, &addresses[i], sizeof(addresses[0]));
        at += sizeof(addresses[0]);
    }
    return (size_t)(at - out);
}
