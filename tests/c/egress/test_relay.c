/* cwsandbox-egress/relay: two connections whose bytes go to each other, over the loopback. */
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "cwsandbox-egress/relay.h"

/* The test has the far ends: of the sandbox, and of the server. */
struct world {
    uv_loop_t loop;
    struct cwse_relay relay;
    int sandbox, server;
    unsigned ended, closed;
    bool broken;
};

static void connect_pair(int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(ends[0], (struct sockaddr *)&address, len), 0);
    ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(ends[1] >= 0);
    close(listener);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
}

static void on_closed(uv_handle_t *handle)
{
    struct world *w = handle->loop->data;
    if (++w->closed == 2)
        cwse_relay_done(&w->relay);
}

static void on_ended(struct cwse_relay *relay, bool broken)
{
    struct world *w = cws_container_of(relay, struct world, relay);
    w->ended++;
    w->broken = broken;
    uv_close((uv_handle_t *)&relay->inner.tcp, on_closed);
    uv_close((uv_handle_t *)&relay->outer.tcp, on_closed);
}

static int set_up(void **state)
{
    struct world *w = test_calloc(1, sizeof(*w));
    int inner[2], outer[2];
    alarm(UNIT_SECONDS);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    w->loop.data = w;
    connect_pair(inner);
    connect_pair(outer);
    w->sandbox = inner[0];
    w->server = outer[0];
    assert_int_equal(uv_tcp_init(&w->loop, &w->relay.inner.tcp), 0);
    assert_int_equal(uv_tcp_init(&w->loop, &w->relay.outer.tcp), 0);
    assert_int_equal(uv_tcp_open(&w->relay.inner.tcp, inner[1]), 0);
    assert_int_equal(uv_tcp_open(&w->relay.outer.tcp, outer[1]), 0);
    *state = w;
    return 0;
}

/* Each test brings it to its end, after which nothing is left. */
static int tear_down(void **state)
{
    struct world *w = *state;
    assert_int_equal(w->ended, 1);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(w->closed, 2);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    if (w->sandbox >= 0)
        close(w->sandbox);
    if (w->server >= 0)
        close(w->server);
    test_free(w);
    alarm(0);
    return 0;
}

#define RELAY_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static void start(struct world *w, const char *first)
{
    cwse_relay_start(&w->relay, (const uint8_t *)first, strlen(first), on_ended);
}

static void turn(struct world *w)
{
    struct pollfd backend = {.fd = uv_backend_fd(&w->loop), .events = POLLIN};
    poll(&backend, 1, 10);
    uv_run(&w->loop, UV_RUN_NOWAIT);
}

/* What the far end gets next, as a text; "": the end of all. */
static void expect(struct world *w, int fd, const char *text)
{
    char got[100];
    size_t len = 0;
    do {
        ssize_t more = recv(fd, got + len, sizeof(got) - 1 - len, 0);
        if (more == 0)
            break;
        if (more < 0 && errno != EAGAIN)
            fail_msg("%s", strerror(errno));
        len += more > 0 ? (size_t)more : 0;
        if (more < 0)
            turn(w);
    } while (len < strlen(text) || !text[0]);
    got[len] = '\0';
    assert_string_equal(got, text);
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void await_end(struct world *w, bool broken)
{
    while (!w->ended)
        turn(w);
    assert_int_equal(w->broken, broken);
}

static void both_ways(void **state)
{
    struct world *w = *state;
    start(w, "first ");
    say(w->sandbox, "second");
    expect(w, w->server, "first second");
    say(w->server, "answer");
    expect(w, w->sandbox, "answer");
    assert_int_equal(w->ended, 0);
    shutdown(w->sandbox, SHUT_WR);
    expect(w, w->server, "");
    shutdown(w->server, SHUT_WR);
    expect(w, w->sandbox, "");
    await_end(w, false);
}

/* Each side may go on after the other has said all it has to say. */
static void one_side_ends_first(struct world *w, int early, int late)
{
    start(w, "");
    shutdown(early, SHUT_WR);
    expect(w, late, "");
    assert_int_equal(w->ended, 0);
    say(late, "still here");
    expect(w, early, "still here");
    shutdown(late, SHUT_WR);
    await_end(w, false);
    expect(w, early, "");
}

static void the_sandbox_ends_first(void **state)
{
    struct world *w = *state;
    one_side_ends_first(w, w->sandbox, w->server);
}

static void the_server_ends_first(void **state)
{
    struct world *w = *state;
    one_side_ends_first(w, w->server, w->sandbox);
}

static uint8_t byte_at(size_t at)
{
    return (uint8_t)(at * 31 + at / 251);
}

/* Sends until the relay keeps what the other side does not take, and the kernel is full, too. */
static size_t fill(struct world *w, int fd, const struct cwse_side *other)
{
    uint8_t piece[4096];
    size_t sent = 0;
    for (bool full = false; !full; full = other->kept != NULL) {
        for (ssize_t taken = 0; taken >= 0;) {
            for (size_t i = 0; i < sizeof(piece); i++)
                piece[i] = byte_at(sent + i);
            taken = send(fd, piece, sizeof(piece), MSG_NOSIGNAL);
            sent += taken > 0 ? (size_t)taken : 0;
        }
        turn(w);
    }
    return sent;
}

static void drain(struct world *w, int fd, size_t from, size_t len)
{
    uint8_t piece[4096];
    for (size_t at = from; at < from + len;) {
        ssize_t got = recv(fd, piece, sizeof(piece), 0);
        assert_true(got > 0 || (got < 0 && errno == EAGAIN));
        for (ssize_t i = 0; i < got; i++)
            assert_int_equal(piece[i], byte_at(at + (size_t)i));
        at += got > 0 ? (size_t)got : 0;
        if (got < 0)
            turn(w);
    }
}

/* What one side does not take keeps the other from sending. The other way stays open. */
static void at_the_pace_of_the_other(void **state)
{
    struct world *w = *state;
    start(w, "");
    size_t sent = fill(w, w->sandbox, &w->relay.outer);
    say(w->server, "answer");
    expect(w, w->sandbox, "answer");
    drain(w, w->server, 0, sent);
    shutdown(w->sandbox, SHUT_WR);
    expect(w, w->server, "");
    shutdown(w->server, SHUT_WR);
    await_end(w, false);
}

/* Its end waits behind what the other has not taken yet. */
static void the_end_comes_last(void **state)
{
    struct world *w = *state;
    start(w, "");
    size_t sent = fill(w, w->server, &w->relay.inner);
    shutdown(w->server, SHUT_WR);
    shutdown(w->sandbox, SHUT_WR);
    for (int i = 0; i < 5; i++)
        turn(w);
    assert_int_equal(w->ended, 0);
    drain(w, w->sandbox, 0, sent);
    expect(w, w->sandbox, "");
    await_end(w, false);
}

/* The first bytes find a server that takes nothing: those that follow wait for their turn. */
static void first_bytes_that_are_not_taken(void **state)
{
    struct world *w = *state;
    size_t len = 8u << 20, more = 1000;
    uint8_t *first = malloc(len + more);
    assert_non_null(first);
    for (size_t i = 0; i < len + more; i++)
        first[i] = byte_at(i);
    assert_int_equal(send(w->sandbox, first + len, more, MSG_NOSIGNAL), more);
    cwse_relay_start(&w->relay, first, len, on_ended);
    free(first); /* it has a copy of what it keeps */
    assert_non_null(w->relay.outer.kept);
    drain(w, w->server, 0, len + more);
    shutdown(w->sandbox, SHUT_WR);
    shutdown(w->server, SHUT_WR);
    await_end(w, false);
}

static void reset(int *fd)
{
    const struct linger at_once = {.l_onoff = 1};
    assert_int_equal(setsockopt(*fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    close(*fd);
    *fd = -1;
}

static void a_broken_sandbox(void **state)
{
    struct world *w = *state;
    start(w, "hello");
    reset(&w->sandbox);
    await_end(w, true);
    expect(w, w->server, "hello");
}

static void a_server_that_breaks_with_bytes_on_their_way(void **state)
{
    struct world *w = *state;
    start(w, "");
    fill(w, w->sandbox, &w->relay.outer);
    reset(&w->server);
    await_end(w, true);
}

/* `ended` comes from inside the start then. */
static void a_server_that_is_gone_already(void **state)
{
    struct world *w = *state;
    reset(&w->server);
    for (struct pollfd gone = {.fd = w->relay.outer.tcp.io_watcher.fd}; !gone.revents;)
        poll(&gone, 1, -1);
    start(w, "hello");
    assert_int_equal(w->ended, 1);
    assert_true(w->broken);
}

static const struct CMUnitTest tests[] = {
    RELAY_TEST(both_ways),
    RELAY_TEST(the_sandbox_ends_first),
    RELAY_TEST(the_server_ends_first),
    RELAY_TEST(at_the_pace_of_the_other),
    RELAY_TEST(the_end_comes_last),
    RELAY_TEST(first_bytes_that_are_not_taken),
    RELAY_TEST(a_broken_sandbox),
    RELAY_TEST(a_server_that_breaks_with_bytes_on_their_way),
    RELAY_TEST(a_server_that_is_gone_already),
};

UNIT_MAIN(tests)
