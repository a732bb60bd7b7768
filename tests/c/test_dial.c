/* io/dial with io/tunnel: the whole way to a connection, its failures, and giving up on it anywhere. */
#include "certs.h"
#include "peer.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/un.h>

#include "io/dial.h"
#include "io/listen.h"

/* --- a resolver that does as it is told: libuv's threads call this one --- */

#define MAX_ADDRESSES 4

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int rc;
    bool held; /* look-ups wait */
    bool asked;
    struct sockaddr_in addresses[MAX_ADDRESSES];
    size_t count;
    unsigned lists; /* given out and not freed */
} resolver = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    struct addrinfo *list = NULL;
    (void)hints;
    (void)service;
    pthread_mutex_lock(&resolver.lock);
    resolver.asked = true;
    pthread_cond_broadcast(&resolver.changed);
    while (resolver.held)
        pthread_cond_wait(&resolver.changed, &resolver.lock);
    int rc = strcmp(host, "sandbox.test") == 0 ? resolver.rc : EAI_NONAME;
    for (size_t i = resolver.count; rc == 0 && i-- > 0;) {
        struct addrinfo *info = calloc(1, sizeof(*info) + sizeof(struct sockaddr_in));
        info->ai_addr = memcpy(info + 1, &resolver.addresses[i], sizeof(struct sockaddr_in));
        info->ai_family = AF_INET;
        info->ai_next = list;
        list = info;
    }
    if (rc == 0)
        resolver.lists++;
    *out = list;
    pthread_mutex_unlock(&resolver.lock);
    return rc;
}

void freeaddrinfo(struct addrinfo *list)
{
    if (!list)
        return;
    resolver.lists--;
    while (list) {
        struct addrinfo *next = list->ai_next;
        free(list);
        list = next;
    }
}

static void resolver_hold(bool held)
{
    pthread_mutex_lock(&resolver.lock);
    resolver.held = held;
    pthread_cond_broadcast(&resolver.changed);
    pthread_mutex_unlock(&resolver.lock);
}

static void resolver_add(uint16_t port)
{
    struct sockaddr_in *addr = &resolver.addresses[resolver.count++];
    *addr = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* --- what the tests stand on --- */

enum proxy_script {
    PROXY_TUNNEL,  /* says 200, then becomes the server behind it */
    PROXY_EARLY,   /* the same, with the server's first bytes in the same packet */
    PROXY_REFUSES, /* 407 */
    PROXY_GARBAGE,
    PROXY_OTHER_HTTP,
    PROXY_NO_CODE,
    PROXY_OVERSIZED, /* a header that does not end */
    PROXY_HANGS_UP,
    PROXY_SILENT,
};

static struct cert ca, server_cert;

struct fixture {
    struct cws_loop *loop;
    size_t live;
    struct cws_listener *listener; /* server or proxy */
    uint16_t port;                 /* its port */
    struct cws_tls_config *client_tls, *server_tls;

    /* the last connection the listener took */
    struct peer server;
    struct cws_tls_start *server_start;
    enum proxy_script script;
    bool is_proxy;
    struct cws_transport *proxy_transport;
    struct cws_buf request;

    /* the dial's end */
    struct cws_dial *dial;
    bool in_start;
    bool done;
    struct peer client;
    struct cws_error err;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    f->live = cws_alloc_live();
    f->loop = loop_open();
    peer_init(&f->server);
    peer_init(&f->client);
    cws_buf_init(&f->request, SIZE_MAX / 2);
    resolver.rc = 0;
    resolver.count = 0;
    resolver.asked = false;
    *state = f;
    return 0;
}

/* Drops the connection, not the listener. */
static void disconnect(struct fixture *f)
{
    peer_done(&f->client);
    peer_done(&f->server);
    if (f->server_start)
        cws_tls_cancel(f->server_start);
    if (f->proxy_transport)
        cws_transport_close(f->proxy_transport);
    f->server_start = NULL;
    f->proxy_transport = NULL;
    f->done = false;
    f->dial = NULL;
    f->err = (struct cws_error){0};
    cws_buf_done(&f->request);
    peer_init(&f->client);
    peer_init(&f->server);
    settle(f->loop);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    disconnect(f);
    cws_listener_free(f->listener);
    cws_tls_config_unref(f->client_tls);
    cws_tls_config_unref(f->server_tls);
    loop_close(f->loop);
    size_t live = cws_alloc_live();
    size_t before = f->live;
    test_free(f);
    return live == before && resolver.lists == 0 ? 0 : -1;
}

/* --- the server, or the proxy with the server behind it --- */

static void on_server_tls(void *ctx, struct cws_transport *transport, const struct cws_error *err)
{
    struct fixture *f = ctx;
    (void)err;
    f->server_start = NULL;
    if (transport)
        peer_start(&f->server, transport);
}

static void serve(struct fixture *f, struct cws_transport *transport)
{
    if (f->server_tls)
        f->server_start = cws_tls_start(f->loop, f->server_tls, transport, NULL, on_server_tls, f);
    else
        peer_start(&f->server, transport);
}

static void proxy_say(struct fixture *f, const char *text)
{
    (void)!cws_transport_write(f->proxy_transport, (const uint8_t *)text, strlen(text));
}

static void proxy_answer(struct fixture *f)
{
    static const char ok[] = "HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n";
    char piece[1024];
    switch (f->script) {
    case PROXY_TUNNEL:
        proxy_say(f, ok);
        break;
    case PROXY_EARLY:
        snprintf(piece, sizeof(piece), "%searly", ok);
        proxy_say(f, piece);
        break;
    case PROXY_REFUSES:
        proxy_say(f, "HTTP/1.1 407 Proxy Auth\x1b[31m Required\r\nContent-Length: 0\r\n\r\n");
        return;
    case PROXY_GARBAGE:
        proxy_say(f, "SSH-2.0-OpenSSH_9.2\r\n");
        return;
    case PROXY_OTHER_HTTP:
        proxy_say(f, "HTTP/2 200\r\n\r\n");
        return;
    case PROXY_NO_CODE:
        proxy_say(f, "HTTP/1.1 2OO OK\r\n\r\n");
        return;
    case PROXY_OVERSIZED:
        memset(piece, 'x', sizeof(piece));
        proxy_say(f, "HTTP/1.1 200 OK\r\nX: ");
        for (int i = 0; i < 20; i++)
            (void)!cws_transport_write(f->proxy_transport, (uint8_t *)piece, sizeof(piece));
        return;
    case PROXY_HANGS_UP:
        cws_transport_close(f->proxy_transport);
        f->proxy_transport = NULL;
        return;
    case PROXY_SILENT:
        return;
    }
    struct cws_transport *transport = f->proxy_transport;
    f->proxy_transport = NULL;
    if (cws_sock_rewind((struct cws_sock *)transport, NULL, 0) != CWS_OK)
        fail();
    serve(f, transport);
}

static void proxy_on_data(void *ctx, const uint8_t *data, size_t len)
{
    struct fixture *f = ctx;
    if (cws_buf_append(&f->request, data, len) != CWS_OK ||
        cws_buf_append(&f->request, "", 1) != CWS_OK) {
        cws_transport_close(f->proxy_transport);
        f->proxy_transport = NULL;
        return;
    }
    f->request.len--;
    if (strstr((const char *)cws_buf_bytes(&f->request), "\r\n\r\n"))
        proxy_answer(f);
}

static void proxy_on_drained(void *ctx)
{
    (void)ctx;
}

static void proxy_on_closed(void *ctx, const struct cws_error *err)
{
    struct fixture *f = ctx;
    (void)err;
    cws_transport_close(f->proxy_transport);
    f->proxy_transport = NULL;
}

static const struct cws_transport_events proxy_events = {proxy_on_data, proxy_on_drained,
                                                         proxy_on_closed};

static void on_accept(void *ctx, struct cws_transport *transport)
{
    struct fixture *f = ctx;
    if (f->is_proxy) {
        f->proxy_transport = transport;
        cws_transport_start(transport, &proxy_events, f);
    } else {
        serve(f, transport);
    }
}

static void listen_on(struct fixture *f, const char *host)
{
    struct cws_error err = {0};
    struct cws_listen_options options = {.host = host};
    if (cws_listener_new(f->loop, &options, on_accept, f, &f->listener, &err) != CWS_OK)
        fail_msg("%s", err.text);
    f->port = cws_listener_port(f->listener);
}

static void use_tls(struct fixture *f)
{
    struct cws_error err = {0};
    struct cws_tls_options client = {.roots_pem = ca.pem, .roots_len = strlen(ca.pem)};
    struct cws_tls_options server = {.server = true,
                                     .cert_pem = server_cert.pem,
                                     .cert_len = strlen(server_cert.pem),
                                     .key_pem = server_cert.key_pem,
                                     .key_len = strlen(server_cert.key_pem)};
    assert_int_equal(cws_tls_config_new(&client, &f->client_tls, &err), CWS_OK);
    assert_int_equal(cws_tls_config_new(&server, &f->server_tls, &err), CWS_OK);
}

/* --- dialling --- */

static void on_done(void *ctx, struct cws_transport *transport, const struct cws_error *err)
{
    struct fixture *f = ctx;
    assert_false(f->in_start);
    assert_false(f->done);
    f->done = true;
    f->dial = NULL;
    assert_true(!transport == !!err);
    if (transport)
        peer_start(&f->client, transport);
    else
        f->err = *err;
}

static void start(struct fixture *f, struct cws_dial_options options)
{
    if (options.deadline_ns == 0)
        options.deadline_ns = CWS_NO_DEADLINE;
    options.tls = f->client_tls;
    f->in_start = true;
    f->dial = cws_dial_start(f->loop, &options, on_done, f);
    f->in_start = false;
}

static void dial(struct fixture *f, struct cws_dial_options options)
{
    start(f, options);
    assert_non_null(f->dial);
    PUMP_UNTIL(f->loop, f->done);
}

static void exchange(struct fixture *f)
{
    if (f->err.status != CWS_OK)
        fail_msg("%s", f->err.text);
    PUMP_UNTIL(f->loop, f->server.transport);
    assert_int_equal(peer_write(&f->client, "question", 8), CWS_OK);
    PUMP_UNTIL(f->loop, f->server.received.len == 8);
    assert_true(peer_has(&f->server, "question"));
    cws_buf_consume(&f->client.received, f->client.received.len);
    assert_int_equal(peer_write(&f->server, "answer", 6), CWS_OK);
    PUMP_UNTIL(f->loop, f->client.received.len == 6);
    assert_true(peer_has(&f->client, "answer"));
}

static void expect_error(const struct fixture *f, enum cws_status status, const char *text)
{
    assert_true(f->done);
    if (f->err.status != status || !strstr(f->err.text, text))
        fail_msg("status %d, text '%s', without '%s'", f->err.status, f->err.text, text);
}

/* A port of 127.0.0.1 nobody listens on. */
static uint16_t closed_port(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    close(fd);
    return ntohs(addr.sin_port);
}

/* A listener that does not even accept: its backlog takes one connection (the filler), and what comes
 * after that waits without an answer. */
struct black_hole {
    int fd, fillers[2];
    uint16_t port;
};

static void black_hole_open(struct black_hole *hole, int backlog)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    hole->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(hole->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(hole->fd, backlog), 0);
    assert_int_equal(getsockname(hole->fd, (struct sockaddr *)&addr, &len), 0);
    hole->port = ntohs(addr.sin_port);
    for (size_t i = 0; i < 2; i++) {
        hole->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (backlog == 0)
            (void)!connect(hole->fillers[i], (struct sockaddr *)&addr, sizeof(addr));
    }
}

static void black_hole_close(struct black_hole *hole)
{
    close(hole->fillers[0]);
    close(hole->fillers[1]);
    close(hole->fd);
}

static uint64_t soon(void)
{
    return cws_clock_now_ns() + 50 * CWS_NS_PER_MS;
}

/* --- straight ways --- */

static void test_ip_literals(void **state)
{
    struct fixture *f = *state;
    listen_on(f, "127.0.0.1");
    dial(f, (struct cws_dial_options){.host = "127.0.0.1", .port = f->port});
    exchange(f);
    disconnect(f);
    cws_listener_free(f->listener);
    f->listener = NULL;
    listen_on(f, "::1");
    dial(f, (struct cws_dial_options){.host = "::1", .port = f->port});
    exchange(f);
    disconnect(f);
    dial(f, (struct cws_dial_options){.host = "::1%lo", .port = f->port});
    exchange(f);
    assert_false(resolver.asked);
}

static void test_unix_socket(void **state)
{
    struct fixture *f = *state;
    char dir[] = "/tmp/cws-dial-XXXXXX", path[64], endless[200];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/socket", dir);
    struct cws_listen_options options = {.unix_path = path};
    assert_int_equal(cws_listener_new(f->loop, &options, on_accept, f, &f->listener, NULL), CWS_OK);
    dial(f, (struct cws_dial_options){.unix_path = path});
    exchange(f);
    disconnect(f);
    cws_listener_free(f->listener);
    f->listener = NULL;
    char text[128];
    snprintf(text, sizeof(text), "cannot connect to %s: no such file or directory", path);
    dial(f, (struct cws_dial_options){.unix_path = path});
    expect_error(f, CWS_CONNECT, text);
    disconnect(f);
    memset(endless, 'x', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    dial(f, (struct cws_dial_options){.unix_path = endless});
    expect_error(f, CWS_INVALID, "a socket's path has 1 to 107 bytes");
    rmdir(dir);
}

/* connect(2) to a Unix socket with a full backlog fails at once: the dial asks again. */
static void test_unix_socket_with_full_backlog(void **state)
{
    struct fixture *f = *state;
    char dir[] = "/tmp/cws-dial-XXXXXX";
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    assert_non_null(mkdtemp(dir));
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", dir);
    int server = socket(AF_UNIX, SOCK_STREAM, 0), filler;
    assert_int_equal(bind(server, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(server, 0), 0);
    filler = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(filler, (struct sockaddr *)&addr, sizeof(addr)), 0);

    dial(f, (struct cws_dial_options){.unix_path = addr.sun_path, .deadline_ns = soon()});
    expect_error(f, CWS_TIMED_OUT, "timed out while connecting");
    disconnect(f);
    start(f, (struct cws_dial_options){.unix_path = addr.sun_path});
    settle(f->loop);
    assert_false(f->done);
    close(accept(server, NULL, NULL));
    PUMP_UNTIL(f->loop, f->done);
    assert_int_equal(f->err.status, CWS_OK);
    close(filler);
    close(server);
    unlink(addr.sun_path);
    rmdir(dir);
}

static void test_name(void **state)
{
    struct fixture *f = *state;
    listen_on(f, "127.0.0.1");
    resolver_add(f->port);
    dial(f, (struct cws_dial_options){.host = "sandbox.test", .port = f->port});
    exchange(f);
}

static void test_tls(void **state)
{
    struct fixture *f = *state;
    listen_on(f, "127.0.0.1");
    use_tls(f);
    resolver_add(f->port);
    dial(f, (struct cws_dial_options){.host = "sandbox.test", .port = f->port});
    exchange(f);
    assert_string_equal(cws_transport_alpn(f->client.transport), "h2");
    disconnect(f);
    char text[128];
    snprintf(text, sizeof(text),
             "cannot connect to 127.0.0.1:%u: certificate verify failed: IP address mismatch",
             f->port);
    dial(f, (struct cws_dial_options){.host = "127.0.0.1", .port = f->port});
    expect_error(f, CWS_TLS, text);
}

/* --- addresses in turn --- */

static void test_next_address_after_a_refusal(void **state)
{
    struct fixture *f = *state;
    listen_on(f, "127.0.0.1");
    resolver_add(closed_port());
    resolver_add(closed_port());
    resolver_add(f->port);
    dial(f, (struct cws_dial_options){.host = "sandbox.test", .port = 1});
    exchange(f);
}

static void test_next_address_beside_a_silent_one(void **state)
{
    struct fixture *f = *state;
    struct black_hole hole;
    black_hole_open(&hole, 0);
    listen_on(f, "127.0.0.1");
    resolver_add(hole.port);
    resolver_add(f->port);
    dial(f, (struct cws_dial_options){.host = "sandbox.test", .port = 1});
    exchange(f);
    black_hole_close(&hole);
}

static void test_address_that_cannot_be_tried(void **state)
{
    struct fixture *f = *state;
    listen_on(f, "127.0.0.1");
    resolver_add(f->port);
    resolver_add(f->port);
    resolver.addresses[0].sin_addr.s_addr = htonl(INADDR_BROADCAST); /* fails at once */
    dial(f, (struct cws_dial_options){.host = "sandbox.test", .port = 1});
    exchange(f);
}

static void test_all_addresses_refuse(void **state)
{
    struct fixture *f = *state;
    resolver_add(closed_port());
    dial(f, (struct cws_dial_options){.host = "sandbox.test", .port = 50051});
    expect_error(f, CWS_CONNECT, "cannot connect to sandbox.test:50051: connection refused");
    assert_null(strstr(f->err.text, "addresses"));
    disconnect(f);
    resolver_add(closed_port());
    resolver_add(closed_port());
    dial(f, (struct cws_dial_options){.host = "sandbox.test", .port = 50051});
    expect_error(f, CWS_CONNECT,
                 "sandbox.test:50051: connection refused (the last of 3 addresses)");
    disconnect(f);
    dial(f, (struct cws_dial_options){.host = "::1", .port = closed_port()});
    expect_error(f, CWS_CONNECT, "cannot connect to [::1]:");
}

static void test_refusals_beside_a_silent_address(void **state)
{
    struct fixture *f = *state;
    struct black_hole hole;
    black_hole_open(&hole, 0);
    resolver_add(hole.port);
    resolver_add(closed_port());
    dial(f, (struct cws_dial_options){.host = "sandbox.test",
                                      .port = 1,
                                      .deadline_ns = cws_clock_now_ns() + 600 * CWS_NS_PER_MS});
    expect_error(f, CWS_TIMED_OUT,
                 "timed out while connecting"); /* the silent one may yet answer */
    black_hole_close(&hole);
}

static void test_look_up_fails(void **state)
{
    struct fixture *f = *state;
    dial(f, (struct cws_dial_options){.host = "nowhere.test", .port = 443});
    expect_error(
        f, CWS_RESOLVE,
        "cannot connect to nowhere.test:443: name look-up failed: unknown node or service");
    disconnect(f);
    resolver.rc = EAI_AGAIN;
    dial(f, (struct cws_dial_options){.host = "sandbox.test", .port = 443});
    expect_error(f, CWS_RESOLVE, "temporary failure");
    disconnect(f);
    char endless[400];
    memset(endless, 'x', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    dial(f, (struct cws_dial_options){.host = endless, .port = 443});
    expect_error(f, CWS_RESOLVE, "name look-up failed");
}

static void test_host_that_cannot_be_one(void **state)
{
    struct fixture *f = *state;
    const char *const hosts[] = {"", "a b", "a\r\nX: y", "a\x7f"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(hosts); i++) {
        dial(f, (struct cws_dial_options){.host = hosts[i], .port = 1, .proxy = "127.0.0.1:1"});
        expect_error(f, CWS_INVALID, "no blanks and no control characters");
        disconnect(f);
    }
}

/* --- through a proxy --- */

static char *proxy_address(const struct fixture *f)
{
    static char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%u", f->port);
    return address;
}

static void use_proxy(struct fixture *f, enum proxy_script script)
{
    if (!f->listener)
        listen_on(f, "127.0.0.1");
    f->is_proxy = true;
    f->script = script;
}

static void test_tunnel(void **state)
{
    struct fixture *f = *state;
    use_proxy(f, PROXY_TUNNEL);
    dial(f, (struct cws_dial_options){
                .host = "behind.test", .port = 50051, .proxy = proxy_address(f)});
    assert_string_equal(cws_buf_bytes(&f->request),
                        "CONNECT behind.test:50051 HTTP/1.1\r\nHost: behind.test:50051\r\n\r\n");
    exchange(f);
    assert_false(resolver.asked); /* the name is the proxy's to look up */
    disconnect(f);

    dial(f, (struct cws_dial_options){.host = "::1",
                                      .port = 1,
                                      .proxy = proxy_address(f),
                                      .proxy_auth = "Aladdin:open sesame"});
    assert_string_equal(cws_buf_bytes(&f->request),
                        "CONNECT [::1]:1 HTTP/1.1\r\nHost: [::1]:1\r\n"
                        "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n");
    exchange(f);
}

static void test_basic_auth_of_each_length(void **state)
{
    struct fixture *f = *state;
    const struct {
        const char *auth, *base64;
    } cases[] = {{"a:", "YTo=\r\n"},
                 {"a:b", "YTpi\r\n"},
                 {"a:bc", "YTpiYw==\r\n"},
                 {"\xff\xfe:", "//46\r\n"}};
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        use_proxy(f, PROXY_TUNNEL);
        dial(f, (struct cws_dial_options){.host = "behind.test",
                                          .port = 1,
                                          .proxy = proxy_address(f),
                                          .proxy_auth = cases[i].auth});
        const char *basic = strstr((const char *)cws_buf_bytes(&f->request), "Basic ");
        assert_non_null(basic);
        assert_memory_equal(basic + 6, cases[i].base64, strlen(cases[i].base64));
        disconnect(f);
    }
}

static void test_early_bytes_belong_to_the_tunnel(void **state)
{
    struct fixture *f = *state;
    use_proxy(f, PROXY_EARLY);
    dial(f, (struct cws_dial_options){.host = "behind.test", .port = 1, .proxy = proxy_address(f)});
    PUMP_UNTIL(f->loop, f->client.received.len == 5);
    assert_true(peer_has(&f->client, "early"));
    exchange(f);
}

static void test_tls_through_a_proxy(void **state)
{
    struct fixture *f = *state;
    use_tls(f);
    use_proxy(f, PROXY_TUNNEL);
    dial(f,
         (struct cws_dial_options){.host = "sandbox.test", .port = 443, .proxy = proxy_address(f)});
    exchange(f);
    disconnect(f);
    dial(f,
         (struct cws_dial_options){.host = "other.test", .port = 443, .proxy = proxy_address(f)});
    expect_error(f, CWS_TLS, "it is not valid for 'other.test'");
    expect_error(f, CWS_TLS, "cannot connect to other.test:443 through proxy 127.0.0.1:");
}

static void test_proxies_that_do_not_help(void **state)
{
    struct fixture *f = *state;
    const struct {
        enum proxy_script script;
        const char *text;
    } cases[] = {
        {PROXY_REFUSES, "the proxy answered 407 Proxy Auth?[31m Required"},
        {PROXY_GARBAGE, "the proxy's answer is not HTTP"},
        {PROXY_OTHER_HTTP, "the proxy's answer is not HTTP/1.1"},
        {PROXY_NO_CODE, "the proxy's answer has no status code"},
        {PROXY_OVERSIZED, "larger than 16384 bytes"},
        {PROXY_HANGS_UP, "the proxy closed the connection"},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        use_proxy(f, cases[i].script);
        dial(f, (struct cws_dial_options){
                    .host = "behind.test", .port = 443, .proxy = proxy_address(f)});
        expect_error(f, CWS_PROXY, cases[i].text);
        expect_error(f, CWS_PROXY, "cannot connect to behind.test:443 through proxy 127.0.0.1:");
        disconnect(f);
    }
    char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%u", closed_port());
    dial(f, (struct cws_dial_options){.host = "behind.test", .port = 443, .proxy = address});
    expect_error(f, CWS_CONNECT, "connection refused");
    disconnect(f);
    dial(f,
         (struct cws_dial_options){.host = "behind.test", .port = 443, .proxy = "nowhere.test:80"});
    expect_error(f, CWS_RESOLVE, "through proxy nowhere.test:80: name look-up failed");
}

static void test_proxy_at_an_ipv6_address(void **state)
{
    struct fixture *f = *state;
    listen_on(f, "::1");
    use_proxy(f, PROXY_TUNNEL);
    char address[32];
    snprintf(address, sizeof(address), "[::1]:%u", f->port);
    dial(f, (struct cws_dial_options){.host = "behind.test", .port = 443, .proxy = address});
    exchange(f);
}

/* --- deadlines: a peer that says nothing at each stage --- */

static void test_deadline_in_the_look_up(void **state)
{
    struct fixture *f = *state;
    resolver_hold(true);
    dial(f, (struct cws_dial_options){.host = "sandbox.test", .port = 443, .deadline_ns = soon()});
    expect_error(f, CWS_TIMED_OUT,
                 "cannot connect to sandbox.test:443: timed out while looking up the name");
    resolver_add(1); /* an answer nobody waits for any more */
    resolver_hold(false);
}

static void test_deadline_while_connecting(void **state)
{
    struct fixture *f = *state;
    struct black_hole hole;
    black_hole_open(&hole, 0);
    dial(f,
         (struct cws_dial_options){.host = "127.0.0.1", .port = hole.port, .deadline_ns = soon()});
    expect_error(f, CWS_TIMED_OUT, "timed out while connecting");
    black_hole_close(&hole);
}

static void test_deadline_at_the_proxy(void **state)
{
    struct fixture *f = *state;
    use_proxy(f, PROXY_SILENT);
    dial(f,
         (struct cws_dial_options){
             .host = "behind.test", .port = 1, .proxy = proxy_address(f), .deadline_ns = soon()});
    expect_error(f, CWS_TIMED_OUT, "timed out while waiting for the proxy");
}

static void test_deadline_in_the_handshake(void **state)
{
    struct fixture *f = *state;
    struct black_hole silent;
    black_hole_open(&silent, 8); /* the kernel takes the connection, nobody answers */
    use_tls(f);
    dial(f, (struct cws_dial_options){
                .host = "127.0.0.1", .port = silent.port, .deadline_ns = soon()});
    expect_error(f, CWS_TIMED_OUT, "timed out in the TLS handshake");
    black_hole_close(&silent);
}

static void test_deadline_that_has_passed(void **state)
{
    struct fixture *f = *state;
    struct black_hole hole;
    black_hole_open(&hole, 0);
    dial(f, (struct cws_dial_options){.host = "127.0.0.1", .port = hole.port, .deadline_ns = 1});
    expect_error(f, CWS_TIMED_OUT, "timed out");
    black_hole_close(&hole);
}

/* --- giving up --- */

/* The longest way (name, proxy, TLS), cancelled after each iteration of the loop, until it is too
 * late. */
static void test_cancel_at_each_stage(void **state)
{
    struct fixture *f = *state;
    use_tls(f);
    use_proxy(f, PROXY_TUNNEL);
    resolver_add(closed_port());
    resolver_add(f->port);
    for (int stages = 0;; stages++) {
        start(f, (struct cws_dial_options){
                     .host = "sandbox.test", .port = 443, .proxy = "sandbox.test:1"});
        for (int i = 0; i < stages; i++)
            pump(f->loop);
        bool late = f->done;
        if (!late)
            cws_dial_cancel(f->dial);
        f->dial = NULL;
        settle(f->loop);
        assert_int_equal(f->done, late);
        disconnect(f);
        if (late) {
            assert_true(stages > 5);
            return;
        }
    }
}

static void test_cancel_while_looking_up(void **state)
{
    struct fixture *f = *state;
    resolver_hold(true);
    start(f, (struct cws_dial_options){.host = "sandbox.test", .port = 443});
    PUMP_UNTIL(f->loop, resolver.asked);
    cws_dial_cancel(f->dial); /* the thread is in the resolver: libuv cannot cancel that */
    settle(f->loop);
    resolver_add(1);
    resolver_hold(false);
}

static void test_cancel_beside_silent_addresses(void **state)
{
    struct fixture *f = *state;
    struct black_hole hole;
    black_hole_open(&hole, 0);
    for (int i = 0; i < 3; i++)
        resolver_add(hole.port);
    start(f, (struct cws_dial_options){.host = "sandbox.test", .port = 443});
    uint64_t later = cws_clock_now_ns() + 300 * CWS_NS_PER_MS; /* past the stagger */
    PUMP_UNTIL(f->loop, cws_clock_now_ns() > later);
    cws_dial_cancel(f->dial);
    settle(f->loop);
    black_hole_close(&hole);
}

/* --- no memory --- */

/* Each allocation of the longest way fails once: no dial, an error, or (where a part can do without)
 * a connection; never a hang or a leak. */
static void test_each_allocation_fails_once(void **state)
{
    struct fixture *f = *state;
    use_tls(f);
    use_proxy(f, PROXY_TUNNEL);
    resolver_add(closed_port());
    resolver_add(f->port);
    unsigned refused = 0, failed = 0;
    for (size_t n = 1; n <= 60; n++) {
        cws_alloc_fail_at(n);
        start(f, (struct cws_dial_options){.host = "sandbox.test",
                                           .port = 443,
                                           .proxy = "sandbox.test:1",
                                           .proxy_auth = "user:password"});
        if (f->dial)
            PUMP_UNTIL(f->loop, f->done);
        else
            refused++;
        cws_alloc_fail_at(0);
        failed += f->err.status == CWS_NO_MEMORY;
        disconnect(f);
    }
    assert_true(refused >= 4);
    assert_true(failed >= 4);
}

static int make_certificates(void **state)
{
    (void)state;
    cert_make(&ca, &(struct cert_wish){.name = "test CA", .ca = true});
    cert_make(&server_cert,
              &(struct cert_wish){.name = "server", .san = "DNS:sandbox.test", .issuer = &ca});
    return 0;
}

static int drop_certificates(void **state)
{
    (void)state;
    cert_done(&ca);
    cert_done(&server_cert);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_ip_literals),
        TEST(test_unix_socket),
        TEST(test_unix_socket_with_full_backlog),
        TEST(test_name),
        TEST(test_tls),
        TEST(test_next_address_after_a_refusal),
        TEST(test_next_address_beside_a_silent_one),
        TEST(test_address_that_cannot_be_tried),
        TEST(test_all_addresses_refuse),
        TEST(test_refusals_beside_a_silent_address),
        TEST(test_look_up_fails),
        TEST(test_host_that_cannot_be_one),
        TEST(test_tunnel),
        TEST(test_basic_auth_of_each_length),
        TEST(test_early_bytes_belong_to_the_tunnel),
        TEST(test_tls_through_a_proxy),
        TEST(test_proxies_that_do_not_help),
        TEST(test_proxy_at_an_ipv6_address),
        TEST(test_deadline_in_the_look_up),
        TEST(test_deadline_while_connecting),
        TEST(test_deadline_at_the_proxy),
        TEST(test_deadline_in_the_handshake),
        TEST(test_deadline_that_has_passed),
        TEST(test_cancel_at_each_stage),
        TEST(test_cancel_while_looking_up),
        TEST(test_cancel_beside_silent_addresses),
        TEST(test_each_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, make_certificates, drop_certificates);
}
