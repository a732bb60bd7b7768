/* sandboxes/endpoints: connections from outside to a sandbox's ports. The client is a plain socket
 * of this thread. */
#include "support/pool_world.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "io/sock.h"
#include "sandboxes/endpoints.h"
#include "sandboxes/forward.h"
#include "values/bounds.h"
#include "values/http_head.h"

/* What this thread's own sockets do is no event of the loop. */
#define PUMP_UNTIL(world, condition) \
    while (!(condition)) { \
        uv_run(cws_loop_uv((world)->base.loop), UV_RUN_NOWAIT); \
        usleep(1000); \
    }

#define HTTPS  COREWEAVE__SANDBOX__V1__ENDPOINT_KIND__ENDPOINT_KIND_HTTPS
#define TOKEN  COREWEAVE__SANDBOX__V1__ENDPOINT_AUTH__ENDPOINT_AUTH_SHARE_TOKEN
#define PUBLIC COREWEAVE__SANDBOX__V1__VISIBILITY__VISIBILITY_PUBLIC

struct world {
    struct pool_world base;
    struct cwsd_endpoints *endpoints;
    struct cwsd_box *box;
    cwsd_pb_spec spec;
    Coreweave__Sandbox__V1__Service service, *services[1];
    Coreweave__Sandbox__V1__EndpointSpec gate; /* used once its kind is set */
    char received[512];
    size_t len;
    bool closed;
};

/* A port of this host, which has no isolation here. */
static int listen_inside(uint16_t *out_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *out_port = ntohs(at.sin_port);
    return fd;
}

static int dial(const struct world *world)
{
    cwsd_pb_status status = COREWEAVE__SANDBOX__V1__SANDBOX_STATUS__INIT;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    unsigned port;
    cwsd_endpoints_show(world->endpoints, &status);
    assert_int_equal(status.n_services, 1);
    const char *url =
        world->gate.kind ? status.services[0]->endpoint->url : status.services[0]->url;
    assert_int_equal(sscanf(strrchr(url, ':'), ":%u", &port), 1);
    at.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static bool receive(struct world *world, int fd)
{
    ssize_t got = recv(fd, world->received + world->len, sizeof(world->received) - 1 - world->len,
                       MSG_DONTWAIT);
    if (got > 0)
        world->len += (size_t)got;
    else if (got == 0 || errno != EAGAIN)
        world->closed = true;
    world->received[world->len] = '\0';
    return world->closed;
}

static int accept_inside(struct world *world, int inside)
{
    struct pollfd knock = {.fd = inside, .events = POLLIN};
    PUMP_UNTIL(world, poll(&knock, 1, 0) == 1);
    return accept4(inside, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void open_endpoint(struct world *world, uint16_t port, bool runs)
{
    coreweave__sandbox__v1__sandbox_spec__init(&world->spec);
    coreweave__sandbox__v1__service__init(&world->service);
    world->services[0] = &world->service;
    world->spec.services = world->services;
    world->spec.n_services = 1;
    world->service.port = port;
    world->service.visibility = PUBLIC;
    if (world->gate.kind)
        world->service.endpoint = &world->gate;
    pool_await_created(&world->base);
    world->box = runs ? world->base.sandbox->primary->box : NULL;
    const struct cwsd_endpoints_options options = {
        .loop = world->base.loop, .spec = &world->spec, .box = &world->box};
    assert_true(cwsd_endpoints_open(&options, &world->endpoints, &world->base.fault));
}

static void bytes_go_both_ways(void **state)
{
    struct world *world = *state;
    uint16_t port;
    int inside = listen_inside(&port);
    open_endpoint(world, port, true);
    int client = dial(world);
    send_text(client, "hello");
    struct pollfd knock = {.fd = inside, .events = POLLIN};
    PUMP_UNTIL(world, poll(&knock, 1, 0) == 1);
    int server = accept(inside, NULL, NULL);
    char heard[6] = "";
    knock.fd = server;
    PUMP_UNTIL(world, poll(&knock, 1, 0) == 1);
    assert_int_equal(recv(server, heard, 5, 0), 5);
    assert_string_equal(heard, "hello");
    send_text(server, "good bye");
    close(server);
    PUMP_UNTIL(world, receive(world, client));
    assert_string_equal(world->received, "good bye");
    close(client);
    close(inside);
}

/* As `nc -N` does. */
static void a_client_that_sends_no_more_gets_the_answer(void **state)
{
    struct world *world = *state;
    uint16_t port;
    char heard[16];
    int inside = listen_inside(&port);
    open_endpoint(world, port, true);
    int client = dial(world);
    send_text(client, "all I say");
    shutdown(client, SHUT_WR);
    struct pollfd knock = {.fd = inside, .events = POLLIN};
    PUMP_UNTIL(world, poll(&knock, 1, 0) == 1);
    int server = accept(inside, NULL, NULL);
    size_t got = 0;
    ssize_t len = 1;
    while (len != 0) { /* to the end, which is passed on */
        PUMP_UNTIL(world,
                   (len = recv(server, heard + got, sizeof(heard) - got, MSG_DONTWAIT)) >= 0);
        got += (size_t)len;
    }
    assert_int_equal(got, 9);
    for (int i = 0; i < 50; i++)
        PUMP_UNTIL(world, true);
    send_text(server, "the answer");
    PUMP_UNTIL(world, receive(world, client) || world->len == 10);
    assert_false(world->closed);
    send_text(server, ", and more");
    close(server);
    PUMP_UNTIL(world, receive(world, client));
    assert_string_equal(world->received, "the answer, and more");
    close(client);
    close(inside);
}

static void assert_bad_gateway(struct world *world)
{
    int client = dial(world);
    send_text(client, "GET / HTTP/1.1\r\n\r\n");
    PUMP_UNTIL(world, receive(world, client));
    close(client);
    assert_int_equal(strncmp(world->received, "HTTP/1.1 502 ", 13), 0);
    const char *body = strstr(world->received, "\r\n\r\n") + 4;
    const char *length = strstr(world->received, "Content-Length: ") + 16;
    assert_int_equal(atoi(length), strlen(body));
}

/* The client sees the end of what the program sends, and can still send. */
static void a_program_that_sends_no_more_gets_the_rest(void **state)
{
    struct world *world = *state;
    uint16_t port;
    char heard[16];
    int inside = listen_inside(&port);
    open_endpoint(world, port, true);
    int client = dial(world), server = accept_inside(world, inside);
    send_text(server, "over to you");
    shutdown(server, SHUT_WR);
    PUMP_UNTIL(world, receive(world, client));
    assert_string_equal(world->received, "over to you");
    send_text(client, "thank you");
    shutdown(client, SHUT_WR);
    size_t got = 0;
    ssize_t len = 1;
    while (len != 0) {
        PUMP_UNTIL(world, (len = recv(server, heard + got, sizeof(heard) - got, 0)) >= 0);
        got += (size_t)len;
    }
    assert_memory_equal(heard, "thank you", 9);
    assert_int_equal(got, 9);
    close(server);
    close(client);
    close(inside);
}

static void nobody_listens(void **state)
{
    struct world *world = *state;
    uint16_t port;
    close(listen_inside(&port));
    open_endpoint(world, port, true);
    assert_bad_gateway(world);
}

static void nothing_runs(void **state)
{
    struct world *world = *state;
    open_endpoint(world, 80, false);
    assert_bad_gateway(world);
}

static void no_http_gets_no_http(void **state)
{
    struct world *world = *state;
    open_endpoint(world, 80, false);
    int client = dial(world);
    send_text(client, "\x16\x03\x01");
    PUMP_UNTIL(world, receive(world, client));
    assert_int_equal(world->len, 0);
    close(client);
}

/* Whatever a connection is doing when its endpoint closes, nothing of it is left. */
static void closed_in_between(void **state)
{
    struct world *world = *state;
    uint16_t port;
    int inside = listen_inside(&port);
    open_endpoint(world, port, true);
    int early = dial(world), late = dial(world);
    struct pollfd knock = {.fd = inside, .events = POLLIN};
    PUMP_UNTIL(world, poll(&knock, 1, 0) == 1);
    cwsd_endpoints_close(world->endpoints);
    world->endpoints = NULL;
    PUMP_UNTIL(world, receive(world, early));
    world->closed = false;
    PUMP_UNTIL(world, receive(world, late));
    close(early);
    close(late);
    close(inside);
}

/* A gate needs no TLS: here there is none, so that this thread can speak. */
static void use_gate(struct world *world, int auth, int32_t limit_s)
{
    coreweave__sandbox__v1__endpoint_spec__init(&world->gate);
    world->gate.kind = HTTPS;
    world->gate.auth = auth;
    world->gate.request_timeout_seconds = limit_s;
}

static void assert_answer(struct world *world, const char *sent, const char *status)
{
    int client = dial(world);
    world->len = 0;
    world->closed = false;
    send_text(client, sent);
    PUMP_UNTIL(world, receive(world, client));
    close(client);
    if (strncmp(world->received, status, strlen(status)) != 0)
        fail_msg("%s", world->received);
}

static void the_gate_asks_for_the_token(void **state)
{
    struct world *world = *state;
    char request[256];
    use_gate(world, TOKEN, 15);
    open_endpoint(world, 80, false);
    const char *token = cwsd_endpoints_token(world->endpoints);
    assert_int_equal(strlen(token), 48);
    assert_answer(world, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 401 ");
    assert_answer(world, "no request at all\r\n\r\n", "HTTP/1.1 400 ");
    snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nX-Sandbox-Share-Token: %s\r\n\r\n",
             token);
    assert_answer(world, request, "HTTP/1.1 502 ");
}

/* A request with the endpoint's token. */
static size_t write_request(const struct world *world, char *into, size_t size)
{
    return (size_t)snprintf(into, size, "POST / HTTP/1.1\r\nX-Sandbox-Share-Token: %s\r\n\r\n",
                            cwsd_endpoints_token(world->endpoints));
}

/* However much of the body has come with the head. */
static void a_body_that_comes_with_its_head(void **state)
{
    enum { BODY = 120000 };
    static char request[BODY + 256], got[sizeof(request)];
    struct world *world = *state;
    uint16_t port;
    size_t len = 0;
    int inside = listen_inside(&port);
    use_gate(world, TOKEN, 15);
    open_endpoint(world, port, true);
    size_t sent = write_request(world, request, 256) + BODY;
    memset(request + sent - BODY, 'b', BODY);
    int client = dial(world);
    assert_int_equal(send(client, request, sent, MSG_NOSIGNAL), sent);
    int program = accept_inside(world, inside);
    while (len < sent) {
        struct pollfd more = {.fd = program, .events = POLLIN};
        PUMP_UNTIL(world, poll(&more, 1, 0) == 1);
        ssize_t came = recv(program, got + len, sizeof(got) - len, 0);
        assert_true(came > 0);
        len += (size_t)came;
    }
    assert_int_equal(len, sent);
    assert_memory_equal(got, request, sent);
    close(client);
    close(program);
    close(inside);
}

static void a_head_that_is_too_long(void **state)
{
    static char request[CWSD_MAX_HTTP_HEAD + 100];
    struct world *world = *state;
    use_gate(world, TOKEN, 15);
    open_endpoint(world, 80, false);
    size_t len = write_request(world, request, sizeof(request)) - 2;
    memset(request + len, 'a', sizeof(request) - 1 - len);
    memcpy(request + sizeof(request) - 5, "\r\n\r\n", 4);
    assert_answer(world, request, "HTTP/1.1 431 "); /* ended or not */
    request[sizeof(request) - 5] = 'a';
    assert_answer(world, request, "HTTP/1.1 431 ");
}

/* As many as a service takes, who have nothing to show. */
static void strangers_keep_nobody_out(void **state)
{
    struct world *world = *state;
    int strangers[CWSD_MAX_FORWARDS];
    char request[256];
    use_gate(world, TOKEN, 900);
    open_endpoint(world, 80, false);
    for (size_t i = 0; i < CWSD_MAX_FORWARDS; i++) {
        strangers[i] = dial(world);
        send_text(strangers[i], "GET / HTTP/1.1\r\n");
    }
    write_request(world, request, sizeof(request));
    for (int i = 0; i < 2; i++)
        assert_answer(world, request, "HTTP/1.1 502 ");
    /* The oldest has made room. */
    world->closed = false;
    PUMP_UNTIL(world, receive(world, strangers[0]));
    assert_int_equal(recv(strangers[1], request, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    for (size_t i = 0; i < CWSD_MAX_FORWARDS; i++)
        close(strangers[i]);
}

/* The program takes the connection, and says nothing. */
static void an_answer_that_does_not_come(void **state)
{
    struct world *world = *state;
    uint16_t port;
    int inside = listen_inside(&port);
    use_gate(world, 1, 1);
    open_endpoint(world, port, true);
    assert_answer(world, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 504 ");
    close(inside);
}

/* A client that never ends its request's head ends itself. */
static void a_request_that_does_not_come(void **state)
{
    struct world *world = *state;
    use_gate(world, 1, 1);
    open_endpoint(world, 80, false);
    assert_answer(world, "GET / HTTP/1.1\r\n", "");
    assert_int_equal(world->len, 0);
}

/* Long enough for a slow machine to pass a few lines on, and short enough to be waited for. */
#define LIMIT_S 3

/* A program that has taken the first request of a client through the gate. */
static void take_request(struct world *world, int *out_client, int *out_inside, int *out_server)
{
    uint16_t port;
    *out_inside = listen_inside(&port);
    use_gate(world, 1, LIMIT_S);
    open_endpoint(world, port, true);
    *out_client = dial(world);
    send_text(*out_client, "GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n");
    struct pollfd knock = {.fd = *out_inside, .events = POLLIN};
    PUMP_UNTIL(world, poll(&knock, 1, 0) == 1);
    *out_server = accept(*out_inside, NULL, NULL);
}

static void say(struct world *world, int client, int server, const char *text)
{
    world->len = 0;
    send_text(server, text);
    PUMP_UNTIL(world, receive(world, client) || world->len == strlen(text));
    assert_string_equal(world->received, text);
}

/* Its program speaks when it likes: the limit holds for requests. */
static void assert_no_limit(struct world *world, int client, int inside, int server)
{
    send_text(client, "a message");
    uint64_t until_ns = cws_clock_now_ns() + LIMIT_S * CWS_NS_PER_S + CWS_NS_PER_S / 2;
    PUMP_UNTIL(world, receive(world, client) || cws_clock_now_ns() > until_ns);
    assert_false(world->closed);
    say(world, client, server, "good bye");
    close(server);
    close(client);
    close(inside);
}

static void no_limit_after_an_upgrade(void **state)
{
    int client, inside, server;
    take_request(*state, &client, &inside, &server);
    say(*state, client, server, "HTTP/1.1 101 Switching Protocols\r\n\r\n");
    assert_no_limit(*state, client, inside, server);
}

/* Some programs write their status lines word by word. */
static void no_limit_after_an_upgrade_in_pieces(void **state)
{
    int client, inside, server;
    take_request(*state, &client, &inside, &server);
    say(*state, client, server, "HTTP/1.1 ");
    say(*state, client, server, "10");
    say(*state, client, server, "1 Switching Protocols\r\n\r\n");
    assert_no_limit(*state, client, inside, server);
}

/* Clients keep connections, and use them again for a WebSocket. */
static void no_limit_after_an_upgrade_that_is_a_later_answer(void **state)
{
    struct world *world = *state;
    int client, inside, server;
    char request[256];
    take_request(world, &client, &inside, &server);
    say(world, client, server, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n");
    say(world, client, server, "HTTP/1.1 101"); /* which is no answer */
    assert_true(recv(server, request, sizeof(request), 0) > 0);
    send_text(client, "GET /again HTTP/1.1\r\nUpgrade: x\r\n\r\n");
    struct pollfd knock = {.fd = server, .events = POLLIN};
    PUMP_UNTIL(world, poll(&knock, 1, 0) == 1);
    say(world, client, server, "HTTP/1.1 101 Switching Protocols\r\n\r\n");
    assert_no_limit(world, client, inside, server);
}

/* What only looks like one in the middle of an answer takes no limit away. */
static void the_limit_stays_without_an_upgrade(void **state)
{
    struct world *world = *state;
    int client, inside, server;
    take_request(world, &client, &inside, &server);
    say(world, client, server, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n");
    say(world, client, server, "HTTP/1.1 101");
    send_text(client, "GET /again HTTP/1.1\r\n\r\n");
    PUMP_UNTIL(world, receive(world, client));
    close(server);
    close(client);
    close(inside);
}

/* A connection of the test's own making, with bounds that can be waited for. */
static int forward_here(struct world *world, struct cwsd_forwards *forwards, uint16_t port)
{
    int ends[2];
    pool_await_created(&world->base);
    world->box = world->base.sandbox->primary->box;
    cwsd_forwards_init(forwards, world->base.loop, &world->box, port, NULL);
    forwards->stall_ns = 50 * CWS_NS_PER_MS;
    forwards->idle_ns = forwards->linger_ns = 200 * CWS_NS_PER_MS;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    struct cws_sock *sock = cws_sock_new(world->base.loop, AF_UNIX);
    assert_int_equal(uv_pipe_open((uv_pipe_t *)cws_sock_stream(sock), ends[0]), 0);
    cwsd_forward_start(forwards, cws_sock_transport(sock));
    return ends[1];
}

static void a_client_that_takes_nothing_is_let_go(void **state)
{
    struct world *world = *state;
    static const char much[65536];
    struct cwsd_forwards forwards;
    uint16_t port;
    int inside = listen_inside(&port);
    int client = forward_here(world, &forwards, port), server = accept_inside(world, inside);
    PUMP_UNTIL(world, send(server, much, sizeof(much), MSG_NOSIGNAL) < 0 && forwards.count == 0);
    close(server);
    close(client);
    close(inside);
}

/* Neither is one whose program says nothing any more; but one that is silent on both sides stays.
 */
static void a_client_that_sends_no_more_is_not_held_for_ever(void **state)
{
    struct world *world = *state;
    struct cwsd_forwards forwards;
    uint16_t port;
    int inside = listen_inside(&port);
    int client = forward_here(world, &forwards, port), server = accept_inside(world, inside);
    uint64_t until_ns = cws_clock_now_ns() + 600 * CWS_NS_PER_MS;
    PUMP_UNTIL(world, cws_clock_now_ns() > until_ns);
    assert_int_equal(forwards.count, 1);
    shutdown(client, SHUT_WR);
    PUMP_UNTIL(world, forwards.count == 0);
    close(server);
    close(client);
    close(inside);
}

/* A program that has ended its sending has mostly ended. */
static void a_program_that_sends_no_more_is_not_held_for_ever(void **state)
{
    struct world *world = *state;
    struct cwsd_forwards forwards;
    uint16_t port;
    int inside = listen_inside(&port);
    int client = forward_here(world, &forwards, port), server = accept_inside(world, inside);
    forwards.idle_ns = UINT64_MAX;
    shutdown(server, SHUT_WR);
    PUMP_UNTIL(world, forwards.count == 0);
    close(server);
    close(client);
    close(inside);
}

static int set_up(void **state)
{
    return pool_set_up(state, sizeof(struct world));
}

static int tear_down(void **state)
{
    struct world *world = *state;
    cwsd_endpoints_close(world->endpoints);
    return pool_tear_down(state);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_go_both_ways),
        TEST(a_client_that_sends_no_more_gets_the_answer),
        TEST(a_program_that_sends_no_more_gets_the_rest),
        TEST(a_program_that_sends_no_more_is_not_held_for_ever),
        TEST(a_client_that_takes_nothing_is_let_go),
        TEST(a_client_that_sends_no_more_is_not_held_for_ever),
        TEST(nobody_listens),
        TEST(nothing_runs),
        TEST(no_http_gets_no_http),
        TEST(closed_in_between),
        TEST(the_gate_asks_for_the_token),
        TEST(a_body_that_comes_with_its_head),
        TEST(a_head_that_is_too_long),
        TEST(strangers_keep_nobody_out),
        TEST(an_answer_that_does_not_come),
        TEST(a_request_that_does_not_come),
        TEST(no_limit_after_an_upgrade),
        TEST(no_limit_after_an_upgrade_in_pieces),
        TEST(no_limit_after_an_upgrade_that_is_a_later_answer),
        TEST(the_limit_stays_without_an_upgrade),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
