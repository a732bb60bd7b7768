#include "resolver.h"

#include <arpa/nameser.h>
#include <stdlib.h>
#include <string.h>

#include "lookup.h"
#include "question.h"

/* A question that waits for its answer. */
struct asking {
    struct cwse_lookup lookup;
    struct cwse_resolver *resolver;
    struct cwse_question question;
    struct sockaddr_storage asker;
    uint8_t message[CWSE_ANSWER_SIZE]; /* as far as the answer repeats it */
};

/* Whoever does not take the answer now asks again. */
static void answer(struct cwse_resolver *resolver, const struct sockaddr *asker,
                   const uint8_t *message, const struct cwse_question *question, int code,
                   const struct in_addr *addresses, size_t count)
{
    uint8_t out[CWSE_ANSWER_SIZE];
    size_t len = cwse_answer_write(message, question, code, addresses, count, out);
    uv_buf_t buf = uv_buf_init((char *)out, (unsigned)len);
    (void)uv_udp_try_send(&resolver->socket, &buf, 1, asker);
}

static void on_looked_up(struct cwse_lookup *lookup)
{
    struct asking *asking = cws_container_of(lookup, struct asking, lookup);
    struct in_addr addresses[CWSE_MAX_ADDRESSES];
    size_t count = 0;
    int code = ns_r_noerror;
    if (lookup->error)
        code = cwse_lookup_found_none(lookup) ? ns_r_nxdomain : ns_r_servfail;
    for (size_t i = 0; asking->question.wants_ipv4 && i < lookup->count; i++)
        if (lookup->addresses[i].ss_family == AF_INET)
            addresses[count++] = ((struct sockaddr_in *)&lookup->addresses[i])->sin_addr;
    answer(asking->resolver, (struct sockaddr *)&asking->asker, asking->message, &asking->question,
           code, addresses, count);
    asking->resolver->waiting--;
    free(asking);
}

/* False if there is no room for it. */
static bool look_up(struct cwse_resolver *resolver, const struct sockaddr *asker,
                    const uint8_t *message, const struct cwse_question *question)
{
    struct asking *asking = NULL;
    if (resolver->waiting < CWSE_MAX_QUESTIONS)
        asking = calloc(1, sizeof(*asking));
    if (!asking)
        return false;
    asking->resolver = resolver;
    asking->question = *question;
    memcpy(&asking->asker, asker, sizeof(struct sockaddr_in));
    memcpy(asking->message, message, question->end);
    if (cwse_lookup_start(resolver->socket.loop, &asking->lookup, question->name,
                          resolver->grants != NULL, on_looked_up)) {
        free(asking);
        return false;
    }
    resolver->waiting++;
    return true;
}

static bool is_answered(const struct cwse_resolver *resolver, const struct cwse_question *question)
{
    return resolver->grants ? cwse_grants_have(resolver->grants, question->name)
                            : question->name[0] != '\0';
}

static void on_message(uv_udp_t *socket, ssize_t len, const uv_buf_t *buf,
                       const struct sockaddr *asker, unsigned flags)
{
    struct cwse_resolver *resolver = socket->data;
    const uint8_t *message = (const uint8_t *)buf->base;
    struct cwse_question question;
    (void)flags; /* what was cut off is malformed */
    if (len <= 0 || !asker || asker->sa_family != AF_INET)
        return;
    int code = cwse_question_read(message, (size_t)len, &question);
    if (code < 0)
        return;
    if (code != ns_r_noerror)
        answer(resolver, asker, message, NULL, code, NULL, 0);
    else if (!is_answered(resolver, &question))
        answer(resolver, asker, message, &question, ns_r_nxdomain, NULL, 0);
    else if (!look_up(resolver, asker, message, &question))
        answer(resolver, asker, message, &question, ns_r_servfail, NULL, 0);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out_buf)
{
    /* One datagram at a time. Longer than this are only such as announce what they can take. */
    static char received[4096];
    (void)handle;
    (void)suggested;
    *out_buf = uv_buf_init(received, sizeof(received));
}

int cwse_resolver_start(struct cwse_resolver *resolver, uv_loop_t *loop, int fd,
                        const struct cwse_grants *grants)
{
    resolver->grants = grants;
    resolver->waiting = 0;
    int rc = uv_udp_init(loop, &resolver->socket);
    resolver->socket.data = resolver;
    if (rc == 0)
        rc = uv_udp_open(&resolver->socket, fd);
    return rc ? rc : uv_udp_recv_start(&resolver->socket, on_alloc, on_message);
}
