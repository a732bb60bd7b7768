#include "io/dial.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "io/resolve.h"
#include "io/sock.h"
#include "io/timer.h"
#include "io/tunnel.h"

/* An address that does not answer gets this long before the next one is tried beside it (RFC
 * 8305). */
#define STAGGER_NS (250 * CWS_NS_PER_MS)

/* A Unix socket whose backlog is full refuses with EAGAIN at once; asked again after this long. */
#define BACKLOG_RETRY_NS (10 * CWS_NS_PER_MS)

enum stage {
    STAGE_LOOK_UP,
    STAGE_CONNECT,
    STAGE_TUNNEL,
    STAGE_TLS,
};

static const char *const stage_texts[] = {
    [STAGE_LOOK_UP] = "while looking up the name",
    [STAGE_CONNECT] = "while connecting",
    [STAGE_TUNNEL] = "while waiting for the proxy",
    [STAGE_TLS] = "in the TLS handshake",
};

/* libuv's connect request outlives a cancelled dial; so does this, with `dial` set to NULL. */
struct attempt {
    struct cws_list node;
    uv_connect_t req;
    struct cws_sock *sock;
    struct cws_dial *dial;
};

struct cws_dial {
    struct cws_loop *loop;
    cws_dial_done_fn done;
    void *ctx;

    char *unix_path;
    char *host;
    uint16_t port;
    struct cws_tls_config *tls;
    char *proxy_host; /* NULL: none */
    uint16_t proxy_port;
    char *proxy_auth;

    enum stage stage;
    struct cws_deferred kick; /* the first step */
    struct cws_timer deadline;
    struct cws_timer stagger;
    struct cws_resolve *look_up;
    struct addrinfo *found;          /* all addresses, or NULL */
    const struct addrinfo *next;     /* the one to try next */
    struct sockaddr_storage literal; /* the one address when `host` is one */
    struct addrinfo literal_info;    /* and it in a list */
    struct cws_list attempts;        /* under way */
    unsigned tried;
    struct cws_error last_error; /* of the address tried last */
    struct cws_tunnel *tunnel;
    struct cws_tls_start *tls_start;
};

/* --- the end of it --- */

static void attempt_drop(struct attempt *attempt)
{
    cws_list_remove(&attempt->node);
    attempt->dial = NULL; /* libuv calls on_connected with UV_ECANCELED: it frees */
    cws_transport_close(cws_sock_transport(attempt->sock));
}

static void stop_connecting(struct cws_dial *dial)
{
    cws_timer_cancel(dial->loop, &dial->stagger);
    while (!cws_list_is_empty(&dial->attempts))
        attempt_drop(cws_list_entry(dial->attempts.next, struct attempt, node));
}

static void dial_free(struct cws_dial *dial)
{
    cws_list_remove(&dial->kick.node);
    cws_timer_cancel(dial->loop, &dial->deadline);
    stop_connecting(dial);
    if (dial->look_up)
        cws_resolve_cancel(dial->look_up);
    if (dial->tunnel)
        cws_tunnel_cancel(dial->tunnel);
    if (dial->tls_start)
        cws_tls_cancel(dial->tls_start);
    if (dial->found)
        freeaddrinfo(dial->found);
    cws_tls_config_unref(dial->tls);
    cws_free(dial->unix_path);
    cws_free(dial->host);
    cws_free(dial->proxy_host);
    cws_free(dial->proxy_auth);
    cws_free(dial);
}

/* "cannot connect to <what was asked for>" in front of the cause; the names are cut so that the
 * cause has room. */
static void name_target(const struct cws_dial *dial, struct cws_error *err)
{
    if (dial->unix_path) {
        cws_error_wrap(err, "cannot connect to %.107s", dial->unix_path);
        return;
    }
    bool is_ipv6 = strchr(dial->host, ':') != NULL;
    char target[96];
    snprintf(target, sizeof(target), is_ipv6 ? "[%.80s]:%u" : "%.80s:%u", dial->host, dial->port);
    if (dial->proxy_host)
        cws_error_wrap(err, "cannot connect to %s through proxy %.48s:%u", target, dial->proxy_host,
                       dial->proxy_port);
    else
        cws_error_wrap(err, "cannot connect to %s", target);
}

static void succeed(struct cws_dial *dial, struct cws_transport *transport)
{
    cws_dial_done_fn done = dial->done;
    void *ctx = dial->ctx;
    dial_free(dial);
    done(ctx, transport, NULL);
}

static void fail(struct cws_dial *dial, const struct cws_error *cause)
{
    cws_dial_done_fn done = dial->done;
    void *ctx = dial->ctx;
    struct cws_error err = *cause;
    name_target(dial, &err);
    dial_free(dial);
    done(ctx, NULL, &err);
}

static void fail_no_memory(struct cws_dial *dial)
{
    struct cws_error err;
    cws_error_set(&err, CWS_NO_MEMORY, "%s", cws_status_text(CWS_NO_MEMORY));
    fail(dial, &err);
}

/* A step failed: whatever the reason, the caller wants to know which step. */
static void fail_step(struct cws_dial *dial, const struct cws_error *cause, enum cws_status step)
{
    struct cws_error err = *cause;
    if (err.status != CWS_NO_MEMORY)
        err.status = step;
    fail(dial, &err);
}

static void on_deadline(struct cws_timer *timer)
{
    struct cws_dial *dial = cws_container_of(timer, struct cws_dial, deadline);
    struct cws_error err;
    cws_error_set(&err, CWS_TIMED_OUT, "timed out %s", stage_texts[dial->stage]);
    fail(dial, &err);
}

/* --- TLS and tunnel --- */

static void on_tls(void *ctx, struct cws_transport *transport, const struct cws_error *err)
{
    struct cws_dial *dial = ctx;
    dial->tls_start = NULL;
    if (transport)
        succeed(dial, transport);
    else
        fail_step(dial, err, CWS_TLS);
}

static void have_way(struct cws_dial *dial, struct cws_transport *transport)
{
    if (!dial->tls) {
        succeed(dial, transport);
        return;
    }
    dial->stage = STAGE_TLS;
    dial->tls_start = cws_tls_start(dial->loop, dial->tls, transport, dial->host, on_tls, dial);
    if (!dial->tls_start)
        fail_no_memory(dial);
}

static void on_tunnel(void *ctx, struct cws_transport *transport, const struct cws_error *err)
{
    struct cws_dial *dial = ctx;
    dial->tunnel = NULL;
    if (transport)
        have_way(dial, transport);
    else
        fail_step(dial, err, CWS_PROXY);
}

static void have_sock(struct cws_dial *dial, struct cws_sock *sock)
{
    stop_connecting(dial);
    if (!dial->proxy_host) {
        have_way(dial, cws_sock_transport(sock));
        return;
    }
    dial->stage = STAGE_TUNNEL;
    dial->tunnel =
        cws_tunnel_start(sock, dial->host, dial->port, dial->proxy_auth, on_tunnel, dial);
    if (!dial->tunnel)
        fail_no_memory(dial);
}

/* --- connecting --- */

static void try_next(struct cws_dial *dial);

static void note_failure(struct cws_dial *dial, int uv_code)
{
    cws_error_set(&dial->last_error, CWS_CONNECT, "%s", uv_strerror(uv_code));
}

/* No address is left, and no attempt is in progress. */
static void fail_connecting(struct cws_dial *dial)
{
    if (dial->tried > 1) {
        size_t len = strlen(dial->last_error.text);
        snprintf(dial->last_error.text + len, sizeof(dial->last_error.text) - len,
                 " (the last of %u addresses)", dial->tried);
    }
    fail(dial, &dial->last_error);
}

static void on_stagger(struct cws_timer *timer)
{
    try_next(cws_container_of(timer, struct cws_dial, stagger));
}

static void on_connected(uv_connect_t *req, int status)
{
    struct attempt *attempt = req->data;
    struct cws_dial *dial = attempt->dial;
    struct cws_sock *sock = attempt->sock;
    if (dial)
        cws_list_remove(&attempt->node);
    cws_free(attempt);
    if (!dial)
        return;
    if (status == 0) {
        cws_sock_watch_host(sock);
        have_sock(dial, sock);
        return;
    }
    cws_transport_close(cws_sock_transport(sock));
    note_failure(dial, status);
    if (dial->unix_path && status == UV_EAGAIN &&
        cws_timer_set(dial->loop, &dial->stagger, cws_clock_now_ns() + BACKLOG_RETRY_NS) ==
            CWS_OK) {
        dial->next = &dial->literal_info;
        return;
    }
    try_next(dial);
}

/* Tries one address: 0 if the attempt has started, otherwise a libuv error. */
static int attempt_start(struct cws_dial *dial, const struct sockaddr *addr)
{
    struct attempt *attempt = cws_calloc(1, sizeof(*attempt));
    struct cws_sock *sock = attempt ? cws_sock_new(dial->loop, addr->sa_family) : NULL;
    if (!sock) {
        cws_free(attempt);
        return UV_ENOMEM;
    }
    attempt->sock = sock;
    attempt->dial = dial;
    attempt->req.data = attempt;
    int rc = 0;
    if (addr->sa_family == AF_UNIX)
        uv_pipe_connect(&attempt->req, (uv_pipe_t *)cws_sock_stream(sock),
                        ((const struct sockaddr_un *)addr)->sun_path, on_connected);
    else
        rc = uv_tcp_connect(&attempt->req, (uv_tcp_t *)cws_sock_stream(sock), addr, on_connected);
    if (rc == 0) {
        rc = cws_loop_reserve_handle(dial->loop, (const uv_handle_t *)cws_sock_stream(sock));
        if (rc == 0)
            cws_list_push_back(&dial->attempts, &attempt->node);
        else
            attempt->dial = NULL; /* given up, as soon as libuv tells so */
    } else {
        cws_free(attempt);
    }
    if (rc != 0)
        cws_transport_close(cws_sock_transport(sock));
    return rc;
}

/* Goes on with the next address that can be tried at all; fails if no address and no attempt is
 * left. */
static void try_next(struct cws_dial *dial)
{
    cws_timer_cancel(dial->loop, &dial->stagger);
    while (dial->next) {
        const struct addrinfo *info = dial->next;
        dial->next = info->ai_next;
        dial->tried++;
        int rc = attempt_start(dial, info->ai_addr);
        if (rc != 0) {
            note_failure(dial, rc);
            continue;
        }
        if (dial->next &&
            cws_timer_set(dial->loop, &dial->stagger, cws_clock_now_ns() + STAGGER_NS) != CWS_OK)
            continue; /* no pause then */
        return;
    }
    if (cws_list_is_empty(&dial->attempts))
        fail_connecting(dial);
}

static void connect_to(struct cws_dial *dial, const struct addrinfo *addresses)
{
    dial->stage = STAGE_CONNECT;
    dial->next = addresses;
    try_next(dial);
}

/* --- look-up --- */

static void on_found(void *ctx, struct addrinfo *found, const struct cws_error *err)
{
    struct cws_dial *dial = ctx;
    dial->look_up = NULL;
    if (!found) {
        fail(dial, err);
        return;
    }
    dial->found = found;
    connect_to(dial, found);
}

static void start_look_up(struct cws_dial *dial, const char *host, uint16_t port)
{
    struct cws_error err;
    dial->look_up = cws_resolve_start(dial->loop, host, port, on_found, dial, &err);
    if (!dial->look_up)
        fail(dial, &err);
}

/* --- the first step --- */

/* Whether `host` can be put to a resolver and into a proxy's request. */
static bool is_host(const char *host)
{
    for (const char *at = host; *at; at++)
        if ((unsigned char)*at <= ' ' || *at == 0x7f)
            return false;
    return *host != '\0';
}

static void connect_literal(struct cws_dial *dial)
{
    dial->literal_info.ai_addr = (struct sockaddr *)&dial->literal;
    connect_to(dial, &dial->literal_info);
}

static void begin_unix(struct cws_dial *dial)
{
    struct sockaddr_un *addr = (struct sockaddr_un *)&dial->literal;
    size_t len = strlen(dial->unix_path);
    if (len == 0 || len >= sizeof(addr->sun_path)) {
        struct cws_error err;
        cws_error_set(&err, CWS_INVALID, "a socket's path has 1 to %zu bytes",
                      sizeof(addr->sun_path) - 1);
        fail(dial, &err);
        return;
    }
    addr->sun_family = AF_UNIX;
    memcpy(addr->sun_path, dial->unix_path, len + 1);
    connect_literal(dial);
}

static void on_kick(struct cws_deferred *kick)
{
    struct cws_dial *dial = cws_container_of(kick, struct cws_dial, kick);
    if (dial->unix_path) {
        begin_unix(dial);
        return;
    }
    const char *host = dial->proxy_host ? dial->proxy_host : dial->host;
    uint16_t port = dial->proxy_host ? dial->proxy_port : dial->port;
    if (!is_host(dial->host) || !is_host(host)) {
        struct cws_error err;
        cws_error_set(&err, CWS_INVALID, "a host name has no blanks and no control characters");
        fail(dial, &err);
    } else if (uv_ip4_addr(host, port, (struct sockaddr_in *)&dial->literal) == 0 ||
               uv_ip6_addr(host, port, (struct sockaddr_in6 *)&dial->literal) == 0) {
        connect_literal(dial);
    } else {
        start_look_up(dial, host, port);
    }
}

/* --- starting --- */

static bool copy_text(char **out, const char *text)
{
    *out = text ? cws_strdup(text) : NULL;
    return !text || *out;
}

/* "host:port" or "[v6]:port", as cws_proxy_for gives it. */
static bool copy_proxy(struct cws_dial *dial, const char *address)
{
    if (!address)
        return true;
    const char *colon = strrchr(address, ':');
    assert(colon);
    size_t len = (size_t)(colon - address);
    bool brackets = len >= 2 && address[0] == '[';
    dial->proxy_host = cws_strndup(address + brackets, len - 2 * (size_t)brackets);
    dial->proxy_port = (uint16_t)strtoul(colon + 1, NULL, 10);
    return dial->proxy_host != NULL;
}

struct cws_dial *cws_dial_start(struct cws_loop *loop, const struct cws_dial_options *options,
                                cws_dial_done_fn done, void *ctx)
{
    assert(cws_loop_is_current(loop) && (options->unix_path || options->host));
    assert(!options->tls || options->host);
    struct cws_dial *dial = cws_calloc(1, sizeof(*dial));
    if (!dial)
        return NULL;
    dial->loop = loop;
    dial->done = done;
    dial->ctx = ctx;
    dial->port = options->port;
    cws_list_init(&dial->attempts);
    cws_list_init(&dial->kick.node);
    dial->kick.run = on_kick;
    cws_timer_init(&dial->deadline, on_deadline);
    cws_timer_init(&dial->stagger, on_stagger);
    if (options->tls) {
        cws_tls_config_ref(options->tls);
        dial->tls = options->tls;
    }
    if (!copy_text(&dial->unix_path, options->unix_path) ||
        !copy_text(&dial->host, options->host) ||
        !copy_text(&dial->proxy_auth, options->proxy_auth) ||
        (!options->unix_path && !copy_proxy(dial, options->proxy)) ||
        cws_timer_set(loop, &dial->deadline, options->deadline_ns) != CWS_OK) {
        dial_free(dial);
        return NULL;
    }
    cws_loop_defer(loop, &dial->kick);
    return dial;
}

void cws_dial_cancel(struct cws_dial *dial)
{
    dial_free(dial);
}
