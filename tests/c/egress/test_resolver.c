/* cwsandbox-egress/resolver: what a sandbox is answered, over the loopback. */
#include "support/unit.h"

#include <arpa/nameser.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "cwsandbox-egress/lookup.h"
#include "cwsandbox-egress/resolver.h"
#include "support/played_names.h"

static const struct played_name names[] = {
    {"one.example", 0, {"11.22.33.1"}},
    {"both.example", 0, {"2606:4700::1", "11.22.33.1", "11.22.33.2"}},
    {"inner.example", 0, {"10.0.0.1", "127.0.0.1"}},
    {"many.example",
     0,
     {"11.22.33.1", "11.22.33.2", "11.22.33.3", "11.22.33.4", "11.22.33.5", "11.22.33.6",
      "11.22.33.7", "11.22.33.8", "11.22.33.9"}},
    {"empty.example", EAI_NODATA, {NULL}},
    {"later.example", EAI_AGAIN, {NULL}},
    {"outside.test", 0, {"11.22.33.9"}},
};

static char *granted[] = {(char *)"*.example"};
static const struct cwse_grants grants = {granted, CWS_ARRAY_LEN(granted)};

struct world {
    uv_loop_t loop;
    struct cwse_resolver resolver;
    struct sockaddr_in at; /* where it is asked */
    int asker;
};

struct reply {
    uint8_t bytes[1024];
    ns_msg parsed;
    uint16_t id;
    int code;
    unsigned addresses;
};

static int open_udp(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    return fd;
}

static int open_world(void **state, const struct cwse_grants *of)
{
    struct world *w = test_calloc(1, sizeof(*w));
    socklen_t len = sizeof(w->at);
    int fd = open_udp();
    alarm(UNIT_SECONDS);
    played_names = names;
    played_name_count = CWS_ARRAY_LEN(names);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&w->at, &len), 0);
    assert_int_equal(cwse_resolver_start(&w->resolver, &w->loop, fd, of), 0);
    w->asker = open_udp();
    *state = w;
    return 0;
}

static int set_up(void **state)
{
    return open_world(state, &grants);
}

static int set_up_open(void **state)
{
    return open_world(state, NULL);
}

static int tear_down(void **state)
{
    struct world *w = *state;
    gate_set(false);
    uv_close((uv_handle_t *)&w->resolver.socket, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(w->resolver.waiting, 0);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    close(w->asker);
    test_free(w);
    alarm(0);
    return 0;
}

#define RESOLVER_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define OPEN_TEST(f)     cmocka_unit_test_setup_teardown(f, set_up_open, tear_down)

static void turn(struct world *w)
{
    struct pollfd backend = {.fd = uv_backend_fd(&w->loop), .events = POLLIN};
    poll(&backend, 1, 10);
    uv_run(&w->loop, UV_RUN_NOWAIT);
}

static void say(struct world *w, int fd, const void *bytes, size_t len)
{
    assert_int_equal(sendto(fd, bytes, len, 0, (const struct sockaddr *)&w->at, sizeof(w->at)),
                     len);
}

static void ask(struct world *w, int fd, uint16_t id, const char *name, uint16_t type)
{
    uint8_t message[300] = {(uint8_t)(id >> 8), (uint8_t)id, 1, 0, 0, 1};
    uint8_t *at = message + NS_HFIXEDSZ;
    while (*name) {
        size_t label = strcspn(name, ".");
        *at++ = (uint8_t)label;
        memcpy(at, name, label);
        at += label;
        name += label + (name[label] == '.');
    }
    memcpy(at, (uint8_t[]){0, (uint8_t)(type >> 8), (uint8_t)type, 0, ns_c_in}, 5);
    say(w, fd, message, (size_t)(at + 5 - message));
}

/* False: none has come yet. */
static bool take_reply(int fd, struct reply *reply)
{
    ssize_t got = recv(fd, reply->bytes, sizeof(reply->bytes), 0);
    if (got < 0)
        assert_int_equal(errno, EAGAIN);
    if (got < 0)
        return false;
    assert_int_equal(ns_initparse(reply->bytes, (int)got, &reply->parsed), 0);
    reply->id = ns_msg_id(reply->parsed);
    reply->code = (int)ns_msg_getflag(reply->parsed, ns_f_rcode);
    reply->addresses = ns_msg_count(reply->parsed, ns_s_an);
    assert_int_equal(ns_msg_getflag(reply->parsed, ns_f_qr), 1);
    return true;
}

/* What is parsed points into the reply. */
static void await_reply(struct world *w, int fd, struct reply *out_reply)
{
    while (!take_reply(fd, out_reply))
        turn(w);
}

static void expect(struct world *w, const char *name, uint16_t type, int code, unsigned addresses)
{
    static uint16_t id;
    ask(w, w->asker, ++id, name, type);
    struct reply reply;
    await_reply(w, w->asker, &reply);
    if (reply.id != id || reply.code != code || reply.addresses != addresses)
        fail_msg("%s: code %d, %u addresses", name, reply.code, reply.addresses);
    assert_int_equal(ns_msg_count(reply.parsed, ns_s_qd), 1);
}

static void granted_names(void **state)
{
    struct world *w = *state;
    ns_rr record;
    expect(w, "one.example", ns_t_a, ns_r_noerror, 1);
    expect(w, "ONE.Example", ns_t_a, ns_r_noerror, 1);
    expect(w, "many.example", ns_t_a, ns_r_noerror, CWSE_MAX_ADDRESSES);
    ask(w, w->asker, 1, "both.example", ns_t_a);
    struct reply reply;
    await_reply(w, w->asker, &reply);
    assert_int_equal(reply.addresses, 2);
    assert_int_equal(ns_parserr(&reply.parsed, ns_s_an, 1, &record), 0);
    assert_int_equal(ns_rr_type(record), ns_t_a);
    assert_memory_equal(ns_rr_rdata(record), "\x0b\x16\x21\x02", 4);
}

/* The name exists, which some programs want to know before they ask for the other kind. */
static void other_kinds_of_records(void **state)
{
    struct world *w = *state;
    expect(w, "both.example", ns_t_aaaa, ns_r_noerror, 0);
    expect(w, "one.example", ns_t_txt, ns_r_noerror, 0);
    expect(w, "empty.example", ns_t_aaaa, ns_r_nxdomain, 0);
}

static void names_that_were_not_granted(void **state)
{
    struct world *w = *state;
    const unsigned before = gate_asked();
    expect(w, "outside.test", ns_t_a, ns_r_nxdomain, 0);
    expect(w, "example", ns_t_a, ns_r_nxdomain, 0);
    expect(w, "11.22.33.1", ns_t_a, ns_r_nxdomain, 0);
    expect(w, "a b.example", ns_t_a, ns_r_nxdomain, 0);
    expect(w, "", ns_t_ns, ns_r_nxdomain, 0);
    assert_int_equal(gate_asked(), before);
}

static void names_that_lead_inwards(void **state)
{
    expect(*state, "inner.example", ns_t_a, ns_r_noerror, 0);
}

static void names_without_addresses(void **state)
{
    struct world *w = *state;
    expect(w, "other.example", ns_t_a, ns_r_nxdomain, 0);
    expect(w, "empty.example", ns_t_a, ns_r_nxdomain, 0);
    expect(w, "later.example", ns_t_a, ns_r_servfail, 0);
}

/* Where rules for addresses hold. What is no host name is not looked up there either. */
static void all_names(void **state)
{
    struct world *w = *state;
    expect(w, "outside.test", ns_t_a, ns_r_noerror, 1);
    expect(w, "inner.example", ns_t_a, ns_r_noerror, 2);
    const unsigned before = gate_asked();
    expect(w, "", ns_t_a, ns_r_nxdomain, 0);
    expect(w, "127.0.0.1", ns_t_a, ns_r_nxdomain, 0);
    assert_int_equal(gate_asked(), before);
}

/* Some get an answer with their number, others none. Whoever asks properly is served after them
 * all. */
static void what_is_no_question(void **state)
{
    struct world *w = *state;
    static const uint8_t header[] = {0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    static const uint8_t answer[] = {0x12, 0x35, 0x81, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1};
    uint8_t large[5000] = {0x12, 0x36, 1, 0, 0, 1}; /* it is cut off */
    memset(large + NS_HFIXEDSZ, 1, sizeof(large) - NS_HFIXEDSZ);
    say(w, w->asker, "", 0);
    say(w, w->asker, header, 5);
    say(w, w->asker, answer, sizeof(answer));
    say(w, w->asker, header, sizeof(header));
    say(w, w->asker, large, sizeof(large));
    for (uint16_t id = 0x1234; id <= 0x1236; id += 2) {
        struct reply reply;
        await_reply(w, w->asker, &reply);
        assert_int_equal(reply.id, id);
        assert_int_equal(reply.code, ns_r_formerr);
        assert_int_equal(ns_msg_count(reply.parsed, ns_s_qd), 0);
    }
    expect(w, "one.example", ns_t_a, ns_r_noerror, 1);
}

/* More than may wait are told at once to come again, and find room then. */
static void too_many_at_once(void **state)
{
    struct world *w = *state;
    bool seen[CWSE_MAX_QUESTIONS] = {false};
    gate_set(true);
    for (uint16_t id = 0; id < CWSE_MAX_QUESTIONS; id++) {
        ask(w, w->asker, id, "one.example", ns_t_a);
        while (w->resolver.waiting == id)
            turn(w);
    }
    expect(w, "one.example", ns_t_a, ns_r_servfail, 0);
    expect(w, "outside.test", ns_t_a, ns_r_nxdomain, 0); /* that takes no waiting */
    assert_int_equal(w->resolver.waiting, CWSE_MAX_QUESTIONS);
    gate_set(false);
    for (int i = 0; i < CWSE_MAX_QUESTIONS; i++) {
        struct reply reply;
        await_reply(w, w->asker, &reply);
        assert_true(reply.id < CWSE_MAX_QUESTIONS && !seen[reply.id]);
        seen[reply.id] = true;
        assert_int_equal(reply.addresses, 1);
    }
    expect(w, "one.example", ns_t_a, ns_r_noerror, 1);
}

/* Each gets its own answer, whoever has gone meanwhile. */
static void several_askers(void **state)
{
    struct world *w = *state;
    int other = open_udp(), gone = open_udp();
    gate_set(true);
    ask(w, gone, 1, "one.example", ns_t_a);
    ask(w, other, 2, "both.example", ns_t_a);
    ask(w, w->asker, 3, "one.example", ns_t_a);
    while (w->resolver.waiting < 3)
        turn(w);
    close(gone);
    gate_set(false);
    struct reply first, second;
    await_reply(w, w->asker, &first);
    await_reply(w, other, &second);
    assert_int_equal(first.id, 3);
    assert_int_equal(second.id, 2);
    assert_int_equal(second.addresses, 2);
    expect(w, "one.example", ns_t_a, ns_r_noerror, 1);
    close(other);
}

static void a_socket_that_is_none(void **state)
{
    struct world *w = *state;
    struct cwse_resolver another;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(cwse_resolver_start(&another, &w->loop, ends[0], NULL), UV_ENOTSOCK);
    uv_close((uv_handle_t *)&another.socket, NULL);
    uv_run(&w->loop, UV_RUN_NOWAIT);
    close(ends[0]);
    close(ends[1]);
}

static const struct CMUnitTest tests[] = {
    RESOLVER_TEST(granted_names),
    RESOLVER_TEST(other_kinds_of_records),
    RESOLVER_TEST(names_that_were_not_granted),
    RESOLVER_TEST(names_that_lead_inwards),
    RESOLVER_TEST(names_without_addresses),
    OPEN_TEST(all_names),
    RESOLVER_TEST(what_is_no_question),
    RESOLVER_TEST(too_many_at_once),
    RESOLVER_TEST(several_askers),
    RESOLVER_TEST(a_socket_that_is_none),
};

UNIT_MAIN(tests)
