/* For the tests of io/dial: a resolver, a server and a proxy that do as they are told, in one
 * loop. */
#pragma once

#include "support/certs.h"
#include "support/peer.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>

#include "io/dial.h"
#include "io/listen.h"

/* --- a resolver that does as it is told: the look-up threads call this one --- */

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
    pthread_mutex_lock(&resolver.lock);
    resolver.lists--;
    pthread_mutex_unlock(&resolver.lock);
    while (list) {
        struct addrinfo *next = list->ai_next;
        free(list);
        list = next;
    }
}

static inline void resolver_hold(bool held)
{
    pthread_mutex_lock(&resolver.lock);
    resolver.held = held;
    pthread_cond_broadcast(&resolver.changed);
    pthread_mutex_unlock(&resolver.lock);
}

static inline bool resolver_asked(void)
{
    pthread_mutex_lock(&resolver.lock);
    bool asked = resolver.asked;
    pthread_mutex_unlock(&resolver.lock);
    return asked;
}

static inline void resolver_add(uint16_t port)
{
    pthread_mutex_lock(&resolver.lock);
    struct sockaddr_in *addr = &resolver.addresses[resolver.count++];
    *addr = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    pthread_mutex_unlock(&resolver.lock);
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

static inline int set_up(void **state)
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
static inline void disconnect(struct fixture *f)
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

static inline int tear_down(void **state)
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

static inline void on_server_tls(void *ctx, struct cws_transport *transport,
                                 const struct cws_error *err)
{
    struct fixture *f = ctx;
    (void)err;
    f->server_start = NULL;
    if (transport)
        peer_start(&f->server, transport);
}

static inline void serve(struct fixture *f, struct cws_transport *transport)
{
    if (f->server_tls)
        f->server_start = cws_tls_start(f->loop, f->server_tls, transport, NULL, on_server_tls, f);
    else
        peer_start(&f->server, transport);
}

static inline void proxy_say(struct fixture *f, const char *text)
{
    (void)!cws_transport_write(f->proxy_transport, (const uint8_t *)text, strlen(text));
}

static inline void proxy_answer(struct fixture *f)
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

static inline void proxy_on_data(void *ctx, const uint8_t *data, size_t len)
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

static inline void proxy_on_drained(void *ctx)
{
    (void)ctx;
}

static inline void proxy_on_closed(void *ctx, const struct cws_error *err)
{
    struct fixture *f = ctx;
    (void)err;
    cws_transport_close(f->proxy_transport);
    f->proxy_transport = NULL;
}

static const struct cws_transport_events proxy_events = {
    .on_data = proxy_on_data, .on_drained = proxy_on_drained, .on_closed = proxy_on_closed};

static inline void on_accept(void *ctx, struct cws_transport *transport)
{
    struct fixture *f = ctx;
    if (f->is_proxy) {
        f->proxy_transport = transport;
        cws_transport_start(transport, &proxy_events, f);
    } else {
        serve(f, transport);
    }
}

static inline void listen_on(struct fixture *f, const char *host)
{
    struct cws_error err = {0};
    struct cws_listen_options options = {.host = host};
    if (cws_listener_new(f->loop, &options, on_accept, f, &f->listener, &err) != CWS_OK)
        fail_msg("%s", err.text);
    f->port = cws_listener_port(f->listener);
}

static inline void use_tls(struct fixture *f)
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

static inline void on_done(void *ctx, struct cws_transport *transport, const struct cws_error *err)
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

static inline void start(struct fixture *f, struct cws_dial_options options)
{
    if (options.deadline_ns == 0)
        options.deadline_ns = CWS_NO_DEADLINE;
    options.tls = f->client_tls;
    f->in_start = true;
    f->dial = cws_dial_start(f->loop, &options, on_done, f);
    f->in_start = false;
}

static inline void dial(struct fixture *f, struct cws_dial_options options)
{
    start(f, options);
    assert_non_null(f->dial);
    PUMP_UNTIL(f->loop, f->done);
}

static inline void exchange(struct fixture *f)
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

static inline void expect_error(const struct fixture *f, enum cws_status status, const char *text)
{
    assert_true(f->done);
    if (f->err.status != status || !strstr(f->err.text, text))
        fail_msg("status %d, text '%s', without '%s'", f->err.status, f->err.text, text);
}

/* A port of 127.0.0.1 nobody listens on. */
static inline uint16_t closed_port(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    close(fd);
    return ntohs(addr.sin_port);
}

/* A listener that does not even accept: its backlog takes one connection (the filler), and what
 * comes after that waits without an answer. */
struct black_hole {
    int fd, fillers[2];
    uint16_t port;
};

static inline void black_hole_open(struct black_hole *hole, int backlog)
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

static inline void black_hole_close(struct black_hole *hole)
{
    close(hole->fillers[0]);
    close(hole->fillers[1]);
    close(hole->fd);
}

static inline uint64_t soon(void)
{
    return cws_clock_now_ns() + 50 * CWS_NS_PER_MS;
}

static inline char *proxy_address(const struct fixture *f)
{
    static char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%u", f->port);
    return address;
}

static inline void use_proxy(struct fixture *f, enum proxy_script script)
{
    if (!f->listener)
        listen_on(f, "127.0.0.1");
    f->is_proxy = true;
    f->script = script;
}

static inline int make_certificates(void **state)
{
    (void)state;
    cert_make(&ca, &(struct cert_wish){.name = "test CA", .ca = true});
    cert_make(&server_cert,
              &(struct cert_wish){.name = "server", .san = "DNS:sandbox.test", .issuer = &ca});
    return 0;
}

static inline int drop_certificates(void **state)
{
    (void)state;
    cert_done(&ca);
    cert_done(&server_cert);
    return 0;
}
