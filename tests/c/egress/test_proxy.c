/* cwsandbox-egress/proxy: which connections of a sandbox are passed on to where, over the
 * loopback. The test plays names, addresses and time. */
#include "support/client_hello.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "cwsandbox-egress/proxy.h"
#include "support/played_names.h"
#include "support/watch_refused.h"

/* What connections to these addresses meet. */
#define SERVED      "11.22.33.1"
#define CLOSED      "11.22.33.2"
#define SILENT      "11.22.33.3"
#define UNREACHABLE "11.22.33.4"

static const struct played_name names[] = {
    {"served.example", 0, {SERVED}},
    {"closed.example", 0, {CLOSED}},
    {"silent.example", 0, {SILENT}},
    {"inner.example", 0, {"127.0.0.1"}},
    {"last.example", 0, {UNREACHABLE, CLOSED, SILENT, SERVED}},
    {"none.example", 0, {UNREACHABLE, CLOSED, UNREACHABLE, CLOSED}},
    {"outside.test", 0, {SERVED}},
};

static char *granted[] = {(char *)"*.example"};
static const struct cwse_grants grants = {granted, CWS_ARRAY_LEN(granted)};

struct world {
    uv_loop_t loop;
    struct cwse_proxy proxy;
    struct sockaddr_in at; /* where the sandbox connects to */
    int server, silent, filler;
    int sandbox; /* -1: closed */
};

/* The alerts of TLS. */
#define DECODE_ERROR      50
#define INTERNAL_ERROR    80
#define UNRECOGNIZED_NAME 112

static unsigned attempts; /* to connect to the outside */
static struct sockaddr_in served_at, closed_at, silent_at;

static struct sockaddr_in *find_played(const struct sockaddr_in *to)
{
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &to->sin_addr, text, sizeof(text));
    return strcmp(text, SERVED) == 0   ? &served_at
           : strcmp(text, CLOSED) == 0 ? &closed_at
           : strcmp(text, SILENT) == 0 ? &silent_at
                                       : NULL;
}

static bool is_played(const struct sockaddr_in *to)
{
    return (ntohl(to->sin_addr.s_addr) & 0xffffff00) == 0x0b162100;
}

/* In place of libc's, also for libuv. */
int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t len)
{
    const struct sockaddr_in *to = address.__sockaddr_in__;
    if (is_played(to)) {
        assert_int_equal(ntohs(to->sin_port), 443);
        attempts++;
        to = find_played(to);
    }
    if (to)
        return (int)syscall(SYS_connect, fd, to, len);
    errno = ENETUNREACH;
    return -1;
}

/* ---- time ----------------------------------------------------------------------------------- */

static struct {
    uv_timer_t *timer;
    uv_timer_cb ring;
} timers[CWSE_MAX_CONNECTIONS + 8];

static size_t find_timer(const uv_timer_t *timer)
{
    size_t at = 0;
    while (at < CWS_ARRAY_LEN(timers) && timers[at].timer != timer)
        at++;
    return at;
}

/* In place of libuv's: time passes when the test says so. */
int uv_timer_start(uv_timer_t *timer, uv_timer_cb ring, uint64_t ms, uint64_t repeat)
{
    size_t at = find_timer(timer);
    assert_true(ms > 0 && repeat == 0);
    if (at == CWS_ARRAY_LEN(timers))
        at = find_timer(NULL);
    assert_true(at < CWS_ARRAY_LEN(timers));
    timers[at].timer = timer;
    timers[at].ring = ring;
    return 0;
}

int uv_timer_stop(uv_timer_t *timer)
{
    size_t at = find_timer(timer);
    if (at < CWS_ARRAY_LEN(timers))
        timers[at].timer = NULL;
    return 0;
}

static size_t count_timers(void)
{
    size_t count = 0;
    for (size_t at = 0; at < CWS_ARRAY_LEN(timers); at++)
        count += timers[at].timer != NULL;
    return count;
}

/* The patience with the only connection is over. */
static void ring_timer(void)
{
    assert_int_equal(count_timers(), 1);
    for (size_t at = 0; at < CWS_ARRAY_LEN(timers); at++)
        if (timers[at].timer) {
            uv_timer_t *timer = timers[at].timer;
            timers[at].timer = NULL;
            timers[at].ring(timer);
            return;
        }
}

/* ---- the world ------------------------------------------------------------------------------ */

static int listen_at(struct sockaddr_in *out_at, int backlog)
{
    socklen_t len = sizeof(*out_at);
    *out_at =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)out_at, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)out_at, &len), 0);
    if (backlog >= 0)
        assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static int connect_to(const struct sockaddr_in *at)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)at, sizeof(*at)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static int set_up(void **state)
{
    struct world *w = test_calloc(1, sizeof(*w));
    alarm(UNIT_SECONDS);
    signal(SIGPIPE, SIG_IGN); /* as the program does */
    attempts = 0;
    played_names = names;
    played_name_count = CWS_ARRAY_LEN(names);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    w->server = listen_at(&served_at, 8);
    /* Whoever connects to a queue that is full gets no answer. */
    w->silent = listen_at(&silent_at, 0);
    w->filler = connect_to(&silent_at);
    int closed = listen_at(&closed_at, -1);
    close(closed);
    assert_int_equal(cwse_proxy_start(&w->proxy, &w->loop, listen_at(&w->at, -1), &grants), 0);
    w->sandbox = connect_to(&w->at);
    *state = w;
    return 0;
}

static void turn(struct world *w)
{
    struct pollfd backend = {.fd = uv_backend_fd(&w->loop), .events = POLLIN};
    poll(&backend, 1, 10);
    uv_run(&w->loop, UV_RUN_NOWAIT);
}

static void hang_up(int *fd)
{
    close(*fd);
    *fd = -1;
}

/* However a test has ended, nothing is left of its connections once the sandbox is gone. */
static int tear_down(void **state)
{
    struct world *w = *state;
    gate_set(false);
    no_watches = false;
    if (w->sandbox >= 0)
        hang_up(&w->sandbox);
    while (w->proxy.connections > 0)
        turn(w);
    assert_int_equal(count_timers(), 0);
    uv_close((uv_handle_t *)&w->proxy.listener, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    close(w->server);
    close(w->silent);
    close(w->filler);
    test_free(w);
    alarm(0);
    return 0;
}

#define PROXY_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static void say(int fd, const void *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

static struct making say_hello(const struct world *w, const char *name)
{
    struct making hello = hello_for(name, 16384);
    say(w->sandbox, hello.bytes, hello.len);
    return hello;
}

static int accept_next(struct world *w)
{
    int fd;
    while ((fd = accept4(w->server, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) < 0)
        turn(w);
    return fd;
}

/* Exactly these bytes are the next ones; len 0: the end. */
static void expect(struct world *w, int fd, const void *bytes, size_t len)
{
    uint8_t got[8192];
    size_t have = 0;
    assert_true(len <= sizeof(got));
    do {
        ssize_t more = recv(fd, got + have, len ? len - have : 1, 0);
        if (more < 0 && errno != EAGAIN)
            fail_msg("%s", strerror(errno));
        if (more < 0)
            turn(w);
        else if (more == 0 && len)
            fail_msg("the end after %zu bytes of %zu", have, len);
        else if (more == 0)
            return;
        else if (!len)
            fail_msg("more bytes instead of the end");
        have += more > 0 ? (size_t)more : 0;
    } while (have < len || !len);
    assert_memory_equal(got, bytes, len);
}

/* Refused for this reason, and in good order. */
static void expect_alert(struct world *w, uint8_t why)
{
    const uint8_t alert[] = {21, 3, 3, 0, 2, 2, why};
    expect(w, w->sandbox, alert, sizeof(alert));
    expect(w, w->sandbox, NULL, 0);
}

static void expect_reset(struct world *w, int fd)
{
    char byte;
    ssize_t got;
    while ((got = recv(fd, &byte, 1, 0)) < 0 && errno == EAGAIN)
        turn(w);
    if (got >= 0 || errno != ECONNRESET)
        fail_msg("%zd bytes, or %s", got, strerror(errno));
}

/* Which was not there yet. */
static void await_timer(struct world *w)
{
    while (count_timers() == 0)
        turn(w);
}

static void await_none(struct world *w)
{
    while (w->proxy.connections > 0)
        turn(w);
}

/* ---- passed on ------------------------------------------------------------------------------ */

static void a_granted_name(void **state)
{
    struct world *w = *state;
    struct making hello = say_hello(w, "Served.Example.");
    int server = accept_next(w);
    expect(w, server, hello.bytes, hello.len);
    say(server, "answer", 6);
    expect(w, w->sandbox, "answer", 6);
    say(w->sandbox, "more", 4);
    expect(w, server, "more", 4);
    assert_int_equal(count_timers(), 0); /* it may take as long as it likes */
    shutdown(w->sandbox, SHUT_WR);
    expect(w, server, NULL, 0);
    say(server, "late", 4);
    close(server);
    expect(w, w->sandbox, "late", 4);
    expect(w, w->sandbox, NULL, 0);
    await_none(w);
}

/* What comes with the hello, and before the server is there, is not lost. */
static void more_than_the_hello(void **state)
{
    struct world *w = *state;
    struct making hello = hello_for("served.example", 16384);
    put(&hello, "early", 5);
    gate_set(true);
    const unsigned before = gate_asked();
    say(w->sandbox, hello.bytes, hello.len);
    while (gate_asked() == before)
        turn(w);
    say(w->sandbox, "later", 5);
    shutdown(w->sandbox, SHUT_WR);
    gate_set(false);
    put(&hello, "later", 5);
    int server = accept_next(w);
    expect(w, server, hello.bytes, hello.len);
    expect(w, server, NULL, 0);
    close(server);
    await_none(w);
}

static void a_hello_in_pieces(void **state)
{
    struct world *w = *state;
    struct making hello = hello_for("served.example", 7);
    for (size_t i = 0; i < hello.len; i++) {
        say(w->sandbox, hello.bytes + i, 1);
        turn(w);
    }
    int server = accept_next(w);
    expect(w, server, hello.bytes, hello.len);
    close(server);
}

/* An address that cannot be reached, refuses or says nothing is left for the next. */
static void the_next_address(void **state)
{
    struct world *w = *state;
    struct making hello = say_hello(w, "last.example");
    while (attempts < 3)
        turn(w);
    ring_timer();
    int server = accept_next(w);
    assert_int_equal(attempts, 4);
    expect(w, server, hello.bytes, hello.len);
    close(server);
}

/* ---- refused -------------------------------------------------------------------------------- */

static void expect_refused(struct world *w, const char *name, uint8_t why)
{
    say_hello(w, name);
    expect_alert(w, why);
    hang_up(&w->sandbox);
    await_none(w);
    w->sandbox = connect_to(&w->at);
}

/* Nobody is asked for a name that was not granted, and nobody is connected to. */
static void names_that_were_not_granted(void **state)
{
    struct world *w = *state;
    struct making whole = message(NULL), nameless = records(&whole, 16384);
    const unsigned before = gate_asked();
    expect_refused(w, "outside.test", UNRECOGNIZED_NAME);
    expect_refused(w, "example", UNRECOGNIZED_NAME);
    say(w->sandbox, nameless.bytes, nameless.len);
    expect_alert(w, UNRECOGNIZED_NAME);
    assert_int_equal(gate_asked(), before);
    assert_int_equal(attempts, 0);
}

static void names_that_lead_nowhere(void **state)
{
    struct world *w = *state;
    expect_refused(w, "other.example", INTERNAL_ERROR);
    expect_refused(w, "inner.example", INTERNAL_ERROR);
    assert_int_equal(attempts, 0);
    expect_refused(w, "closed.example", INTERNAL_ERROR);
    assert_int_equal(attempts, 1);
    expect_refused(w, "none.example", INTERNAL_ERROR);
    assert_int_equal(attempts, 5);
    say_hello(w, "silent.example");
    while (attempts < 6)
        turn(w);
    ring_timer();
    expect_alert(w, INTERNAL_ERROR);
}

static void what_is_no_hello(void **state)
{
    struct world *w = *state;
    expect_refused(w, "a b.example", DECODE_ERROR);
    say(w->sandbox, "GET / HTTP/1.1\r\n\r\n", 18);
    expect_reset(w, w->sandbox);
}

/* It is never whole, and never too long for what is kept of it. */
static void an_endless_hello(void **state)
{
    struct world *w = *state;
    uint8_t endless[CWSE_MAX_HELLO];
    for (size_t at = 0; at < sizeof(endless); at++) /* records of 1024 bytes */
        endless[at] = at % 1029 < 5 ? "\x16\3\1\4"[at % 1029] : 0;
    memcpy(endless + 5, "\1\xff", 2); /* a hello of almost 16 MiB */
    say(w->sandbox, endless, sizeof(endless));
    expect_alert(w, DECODE_ERROR);
}

/* What it goes on to send does not keep it from the reason. */
static void who_goes_on_to_send(void **state)
{
    struct world *w = *state;
    static const uint8_t more[1024];
    say_hello(w, "outside.test");
    for (size_t sent = 0; sent < 4 * CWSE_MAX_HELLO;) {
        ssize_t taken = send(w->sandbox, more, sizeof(more), MSG_NOSIGNAL);
        assert_true(taken > 0 || errno == EAGAIN);
        sent += taken > 0 ? (size_t)taken : 0;
        turn(w);
    }
    expect_alert(w, UNRECOGNIZED_NAME);
    assert_int_equal(w->proxy.connections, 1); /* its end is waited for, */
    ring_timer();                              /* but not for long */
    await_none(w);
}

static void who_says_nothing(void **state)
{
    struct world *w = *state;
    say(w->sandbox, "\x16\3", 2);
    await_timer(w);
    ring_timer();
    expect_reset(w, w->sandbox);
    await_none(w);
}

/* ---- ends ----------------------------------------------------------------------------------- */

static void who_goes_away_before_its_hello(void **state)
{
    struct world *w = *state;
    say(w->sandbox, "\x16\3", 2);
    await_timer(w);
    hang_up(&w->sandbox);
    await_none(w);
}

static void who_goes_away_during_the_look_up(void **state)
{
    struct world *w = *state;
    struct making hello = hello_for("served.example", 16384);
    gate_set(true);
    const unsigned before = gate_asked();
    say(w->sandbox, hello.bytes, hello.len);
    while (gate_asked() == before)
        turn(w);
    hang_up(&w->sandbox);
    gate_set(false);
    int server = accept_next(w);
    expect(w, server, hello.bytes, hello.len);
    expect(w, server, NULL, 0);
    close(server);
    await_none(w);
}

/* Nobody listens to the reason any more. */
static void who_goes_away_before_it_is_refused(void **state)
{
    struct world *w = *state;
    const struct linger at_once = {.l_onoff = 1};
    struct making hello = hello_for("other.example", 16384);
    gate_set(true);
    const unsigned before = gate_asked();
    say(w->sandbox, hello.bytes, hello.len);
    while (gate_asked() == before)
        turn(w);
    assert_int_equal(setsockopt(w->sandbox, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    hang_up(&w->sandbox);
    gate_set(false);
    await_none(w);
}

/* ---- limits --------------------------------------------------------------------------------- */

static void one_connection_too_many(void **state)
{
    struct world *w = *state;
    int others[CWSE_MAX_CONNECTIONS];
    for (size_t i = 1; i < CWSE_MAX_CONNECTIONS; i++) {
        others[i] = connect_to(&w->at);
        while (w->proxy.connections <= i)
            turn(w);
    }
    others[0] = connect_to(&w->at);
    expect_reset(w, others[0]);
    close(others[0]);
    while (w->proxy.connections > CWSE_MAX_CONNECTIONS)
        turn(w);
    close(others[1]); /* that makes room for one */
    while (w->proxy.connections == CWSE_MAX_CONNECTIONS)
        turn(w);
    others[1] = connect_to(&w->at);
    struct making hello = hello_for("served.example", 16384);
    say(others[1], hello.bytes, hello.len);
    int server = accept_next(w);
    expect(w, server, hello.bytes, hello.len);
    close(server);
    for (size_t i = 1; i < CWSE_MAX_CONNECTIONS; i++)
        close(others[i]);
}

/* The process goes on, and so does what is watched already. */
static void no_watches_for_a_sandbox(void **state)
{
    struct world *w = *state;
    while (!w->proxy.connections)
        turn(w);
    no_watches = true;
    int refused = connect_to(&w->at);
    expect_reset(w, refused);
    no_watches = false;
    close(refused);
    struct making hello = say_hello(w, "served.example");
    int server = accept_next(w);
    expect(w, server, hello.bytes, hello.len);
    close(server);
}

static void no_watches_for_a_server(void **state)
{
    struct world *w = *state;
    while (!w->proxy.connections)
        turn(w);
    no_watches = true;
    say_hello(w, "last.example");
    expect_alert(w, INTERNAL_ERROR);
    assert_int_equal(attempts, 4);
}

static void a_socket_that_is_none(void **state)
{
    struct world *w = *state;
    struct cwse_proxy another;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(cwse_proxy_start(&another, &w->loop, ends[0], &grants) < 0);
    uv_close((uv_handle_t *)&another.listener, NULL);
    uv_run(&w->loop, UV_RUN_NOWAIT);
    close(ends[1]);
}

static const struct CMUnitTest tests[] = {
    PROXY_TEST(a_granted_name),
    PROXY_TEST(more_than_the_hello),
    PROXY_TEST(a_hello_in_pieces),
    PROXY_TEST(the_next_address),
    PROXY_TEST(names_that_were_not_granted),
    PROXY_TEST(names_that_lead_nowhere),
    PROXY_TEST(what_is_no_hello),
    PROXY_TEST(an_endless_hello),
    PROXY_TEST(who_goes_on_to_send),
    PROXY_TEST(who_says_nothing),
    PROXY_TEST(who_goes_away_before_its_hello),
    PROXY_TEST(who_goes_away_during_the_look_up),
    PROXY_TEST(who_goes_away_before_it_is_refused),
    PROXY_TEST(one_connection_too_many),
    PROXY_TEST(no_watches_for_a_sandbox),
    PROXY_TEST(no_watches_for_a_server),
    PROXY_TEST(a_socket_that_is_none),
};

UNIT_MAIN(tests)
