#include "io/tls.h"

#include <arpa/inet.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "io/scratch.h"
#include "io/tls_bio.h"
#include "io/tls_config.h"
#include "io/tls_error.h"
#include "io/tls_identity.h"
#include "io/uv.h"

/* Ciphertext that came before a pause took hold: at most what one on_data of the transport below
 * brought. */
#define HELD_CEILING ((size_t)256 << 20)

/* Plaintext encrypted per write to the transport below, so that it fits into the scratch memory
 * with what TLS adds to each record. */
#define RECORD ((size_t)SSL3_RT_MAX_PLAIN_LENGTH)
#define SLICE  (CWS_SCRATCH_SIZE / RECORD * RECORD - RECORD)

enum tls_state {
    TLS_HANDSHAKE, /* `start.done` is still to be called */
    TLS_READY,     /* handed over; the owner has not called start yet, reading below is paused */
    TLS_OPEN,
    TLS_ENDED, /* on_closed was called, or is due with `error` */
};

struct cws_tls_start {
    cws_tls_done_fn done;
    void *ctx;
};

struct tls {
    struct cws_transport transport;
    struct cws_tls_start start;
    struct cws_loop *loop;
    struct cws_tls_config *config;
    SSL *ssl;
    struct cws_tls_bio bio;
    struct cws_buf held; /* ciphertext for when reading goes on */
    const struct cws_transport_events *events;
    void *ctx;
    struct cws_deferred later; /* reports what must not be reported from inside the owner's call */
    struct cws_error error;    /* why it ended */
    char *host;                /* the name that the certificate must have; NULL: server role */
    struct cws_identity *identity; /* the client's, in the server role; NULL: none */
    enum tls_state state;
    bool report_due;  /* `error` was not told yet */
    bool half_closed; /* the peer sends nothing more, and may still read */
    bool half_told;   /* on_half_closed was called */
    bool finished;    /* close_notify was sent */
    bool paused;
    bool below_paused;
    bool failed;    /* OpenSSL must not be called any more, not even to say goodbye */
    bool closing;   /* the owner has let go */
    unsigned depth; /* calls into OpenSSL or the owner under way: memory must stay */
};

static struct tls *tls_of(const struct cws_transport *t)
{
    return cws_container_of(t, struct tls, transport);
}

/* --- life --- */

static void destroy(struct tls *tls)
{
    SSL_free(tls->ssl);
    cws_buf_done(&tls->held);
    cws_tls_config_unref(tls->config);
    cws_free(tls->host);
    cws_free(tls->identity);
    cws_free(tls);
}

static void enter(struct tls *tls)
{
    tls->depth++;
}

static void leave(struct tls *tls)
{
    if (--tls->depth == 0 && tls->closing)
        destroy(tls);
}

/* Closes what is below; the memory goes now or when the calls under way have returned. */
static void release(struct tls *tls)
{
    tls->closing = true;
    cws_list_remove(&tls->later.node);
    cws_transport_close(tls->bio.below);
    if (tls->depth == 0)
        destroy(tls);
}

static void run_later(struct tls *tls)
{
    if (cws_list_is_empty(&tls->later.node))
        cws_loop_defer(tls->loop, &tls->later);
}

/* Reads from below exactly as long as someone wants the data. */
static void update_below(struct tls *tls)
{
    bool paused = tls->paused || tls->state == TLS_READY || tls->state == TLS_ENDED;
    if (paused == tls->below_paused)
        return;
    tls->below_paused = paused;
    cws_transport_pause(tls->bio.below, paused);
}

/* --- the end --- */

/* Over, for the reason in tls->error; report() tells it. */
static void end(struct tls *tls)
{
    if (tls->state != TLS_HANDSHAKE)
        tls->state = TLS_ENDED;
    tls->report_due = true;
}

/* Over because OpenSSL cannot go on. */
static void end_by_ssl(struct tls *tls)
{
    cws_tls_error_set_ssl(&tls->error, tls->ssl, tls->host);
    tls->failed = true;
    end(tls);
}

/* Tells the owner, or whoever waits for the handshake, why it is over. Never from inside a call
 * of theirs. */
static void report(struct tls *tls)
{
    if (!tls->report_due || tls->closing)
        return;
    if (tls->state == TLS_HANDSHAKE) {
        struct cws_tls_start start = tls->start;
        struct cws_error error = tls->error;
        tls->report_due = false;
        release(tls); /* the caller has entered: the memory is still there */
        start.done(start.ctx, NULL, &error);
    } else if (tls->events) {
        tls->report_due = false;
        update_below(tls);
        tls->events->on_closed(tls->ctx, &tls->error);
    }
}

/* After all that the peer has sent. Never from inside a call of the owner's. */
static void report_half_close(struct tls *tls)
{
    if (!tls->half_closed || tls->half_told || tls->state != TLS_OPEN || tls->closing)
        return;
    tls->half_told = true;
    tls->events->on_half_closed(tls->ctx);
}

/* --- handshake --- */

static void check_way_down(struct tls *tls)
{
    enum cws_status status = cws_tls_bio_flush(&tls->bio);
    if (status == CWS_OK || status == CWS_CLOSED || tls->report_due || tls->state == TLS_ENDED)
        return; /* after CWS_CLOSED, on_closed from below says why */
    cws_error_set(&tls->error, status, "cannot write: %s", cws_status_text(status));
    tls->failed = true; /* a record is missing: what follows would be garbage to the peer */
    end(tls);
}

/* Whom the certificate names that the client has shown. False when out of memory. */
static bool note_identity(struct tls *tls)
{
    X509 *cert = tls->config->server ? SSL_get0_peer_certificate(tls->ssl) : NULL;
    if (!cert)
        return true;
    tls->identity = cws_calloc(1, sizeof(*tls->identity));
    return tls->identity && cws_tls_identity_read(cert, tls->identity);
}

/* Step 3: the certificate was checked on the way (a failure ends the handshake), the protocol is
 * left. */
static void verify(struct tls *tls)
{
    const unsigned char *alpn = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(tls->ssl, &alpn, &len);
    if (!tls->config->http1 && (len != 2 || memcmp(alpn, "h2", 2) != 0)) {
        cws_error_set(&tls->error, CWS_TLS, "no ALPN h2: the peer does not speak HTTP/2");
        end(tls);
        return;
    }
    if (!note_identity(tls)) {
        cws_error_set(&tls->error, CWS_TLS, "the client's certificate cannot be read");
        end(tls);
        return;
    }
    tls->state = TLS_READY;
    struct cws_tls_start start = tls->start;
    start.done(start.ctx, &tls->transport, NULL);
}

/* Step 2, entered whenever there is more from the peer. */
static void shake_hands(struct tls *tls)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(tls->ssl);
    int why = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, rc);
    if (why != SSL_ERROR_NONE && why != SSL_ERROR_WANT_READ && tls->bio.out_status == CWS_OK)
        end_by_ssl(tls);
    check_way_down(tls);
    if (why == SSL_ERROR_NONE && !tls->report_due)
        verify(tls);
}

/* --- reading --- */

/* Decrypts until the scratch memory is full or the input used up; returns the number of bytes. */
static size_t decrypt(struct tls *tls, uint8_t *out)
{
    size_t have = 0, got = 0;
    while (have < CWS_SCRATCH_SIZE) {
        ERR_clear_error();
        int rc = SSL_read_ex(tls->ssl, out + have, CWS_SCRATCH_SIZE - have, &got);
        if (rc == 1) {
            have += got;
            continue;
        }
        int why = SSL_get_error(tls->ssl, rc);
        if (why == SSL_ERROR_ZERO_RETURN && tls->events->on_half_closed) {
            tls->half_closed = true;
        } else if (why == SSL_ERROR_ZERO_RETURN) {
            tls->error = (struct cws_error){.status = CWS_OK};
            end(tls);
        } else if (why != SSL_ERROR_WANT_READ && tls->bio.out_status == CWS_OK) {
            end_by_ssl(tls);
        }
        break;
    }
    check_way_down(tls);
    return have;
}

static void read_on(struct tls *tls)
{
    uint8_t *scratch = cws_loop_scratch(tls->loop, CWS_SCRATCH_PLAIN);
    if (!scratch) {
        cws_error_set(&tls->error, CWS_NO_MEMORY, "no memory to read into");
        end(tls);
        return;
    }
    while (tls->state == TLS_OPEN && !tls->paused && !tls->closing) {
        size_t len = decrypt(tls, scratch);
        if (len == 0)
            return;
        tls->events->on_data(tls->ctx, scratch, len);
    }
}

/* Does with `len` bytes of ciphertext what can be done; returns how many are left. */
static size_t take_in(struct tls *tls, const uint8_t *data, size_t len)
{
    tls->bio.in = data;
    tls->bio.in_len = len;
    if (tls->state == TLS_HANDSHAKE && !tls->report_due)
        shake_hands(tls);
    if (tls->state == TLS_OPEN)
        read_on(tls);
    size_t left = tls->bio.in_len;
    tls->bio.in = NULL;
    tls->bio.in_len = 0;
    return tls->closing || tls->half_closed || tls->state == TLS_ENDED ? 0 : left;
}

static void hold(struct tls *tls, const uint8_t *data, size_t len)
{
    enum cws_status status = cws_buf_append(&tls->held, data, len);
    if (status == CWS_OK)
        return;
    cws_error_set(&tls->error, status, "cannot hold data back: %s", cws_status_text(status));
    end(tls);
}

static void below_on_data(void *ctx, const uint8_t *data, size_t len)
{
    struct tls *tls = ctx;
    enter(tls);
    size_t left = tls->held.len > 0 ? len : take_in(tls, data, len);
    if (left > 0)
        hold(tls, data + (len - left), left);
    if (!tls->closing)
        update_below(tls);
    report_half_close(tls);
    report(tls);
    leave(tls);
}

static void below_on_drained(void *ctx)
{
    struct tls *tls = ctx;
    if (tls->state != TLS_OPEN)
        return;
    enter(tls);
    tls->events->on_drained(tls->ctx);
    leave(tls);
}

static void below_on_closed(void *ctx, const struct cws_error *err)
{
    struct tls *tls = ctx;
    if (tls->state == TLS_ENDED || tls->report_due)
        return;
    enter(tls);
    tls->error = *err;
    if (tls->state == TLS_HANDSHAKE) {
        if (err->status == CWS_OK)
            cws_error_set(&tls->error, CWS_TLS, "the peer closed the connection");
        cws_error_wrap(&tls->error, "TLS handshake");
    } else if (err->status == CWS_OK && !tls->half_closed) {
        cws_error_set(&tls->error, CWS_IO, "the connection ended without TLS close_notify");
    }
    tls->failed = true;
    end(tls);
    report(tls);
    leave(tls);
}

static const struct cws_transport_events below_events = {
    .on_data = below_on_data,
    .on_drained = below_on_drained,
    .on_closed = below_on_closed,
};

/* Continues after a pause, or after the wait for the owner's start; then reports. */
static void on_later(struct cws_deferred *later)
{
    struct tls *tls = cws_container_of(later, struct tls, later);
    enter(tls);
    if (tls->state == TLS_OPEN && !tls->paused) {
        struct cws_buf held = tls->held;
        cws_buf_init(&tls->held, HELD_CEILING);
        size_t left = take_in(tls, cws_buf_bytes(&held), held.len);
        if (left > 0) {
            cws_buf_consume(&held, held.len - left);
            tls->held = held;
        } else {
            cws_buf_done(&held);
        }
    }
    if (!tls->closing)
        update_below(tls);
    report_half_close(tls);
    report(tls);
    leave(tls);
}

/* --- writing and the rest of the transport --- */

static enum cws_status tls_write(struct cws_transport *t, const uint8_t *data, size_t len)
{
    struct tls *tls = tls_of(t);
    if (tls->state == TLS_ENDED || tls->finished || tls->bio.out_status != CWS_OK)
        return CWS_CLOSED;
    while (len > 0) {
        size_t slice = len < SLICE ? len : SLICE, written = 0;
        ERR_clear_error();
        if (SSL_write_ex(tls->ssl, data, slice, &written) != 1 && tls->bio.out_status == CWS_OK)
            end_by_ssl(tls);
        check_way_down(tls);
        if (tls->report_due)
            run_later(tls);
        if (tls->report_due || tls->bio.out_status != CWS_OK)
            return tls->bio.out_status != CWS_OK ? tls->bio.out_status : CWS_CLOSED;
        data += slice;
        len -= slice;
    }
    return CWS_OK;
}

static size_t tls_pending(const struct cws_transport *t)
{
    return cws_transport_pending(tls_of(t)->bio.below);
}

static void tls_start(struct cws_transport *t, const struct cws_transport_events *events, void *ctx)
{
    struct tls *tls = tls_of(t);
    assert(!tls->events && tls->state >= TLS_READY);
    tls->events = events;
    tls->ctx = ctx;
    if (tls->state == TLS_READY)
        tls->state = TLS_OPEN;
    run_later(tls);
}

static void tls_pause(struct cws_transport *t, bool paused)
{
    struct tls *tls = tls_of(t);
    tls->paused = paused;
    if (!paused)
        run_later(tls); /* OpenSSL or `held` may have something left that brings no event below */
    else
        update_below(tls);
}

/* The stream below goes on: its end would be that of the peer's sending, too. */
static void tls_finish(struct cws_transport *t)
{
    struct tls *tls = tls_of(t);
    if (tls->finished || tls->failed || tls->bio.out_status != CWS_OK)
        return;
    tls->finished = true;
    ERR_clear_error();
    SSL_shutdown(tls->ssl); /* close_notify, behind what is pending */
    (void)!cws_tls_bio_flush(&tls->bio);
    ERR_clear_error();
}

static void tls_close(struct cws_transport *t)
{
    struct tls *tls = tls_of(t);
    assert(!tls->closing && cws_loop_is_current(tls->loop));
    tls_finish(t);
    release(tls);
}

static const struct cws_identity *tls_identity(const struct cws_transport *t)
{
    return tls_of(t)->identity;
}

static const struct cws_transport_ops tls_ops = {
    .start = tls_start,
    .write = tls_write,
    .pending = tls_pending,
    .pause = tls_pause,
    .close = tls_close,
    .finish = tls_finish,
    .identity = tls_identity,
};

/* --- step 1: prepare --- */

static bool is_ip(const char *host)
{
    unsigned char addr[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, addr) == 1 || inet_pton(AF_INET6, host, addr) == 1;
}

/* "example.com." is the same name as "example.com", which is how certificates write it. An IPv6
 * scope is nobody's but this machine's. NULL when out of memory. */
static char *certificate_name(const char *host)
{
    size_t len = strcspn(host, "%");
    if (len > 1 && host[len - 1] == '.')
        len--;
    return cws_strndup(host, len);
}

static bool expect_host(SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (is_ip(host))
        return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
    return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 &&
           SSL_set_tlsext_host_name(ssl, host) == 1;
}

static SSL *ssl_new(struct tls *tls)
{
    SSL *ssl = SSL_new(tls->config->ctx);
    BIO *bio = ssl ? cws_tls_bio_new(tls->config->bio_method, &tls->bio) : NULL;
    if (!bio) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_bio(ssl, bio, bio); /* one reference, for both ways */
    if (tls->config->server)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    return ssl;
}

/* All that can fail for want of memory. */
static struct tls *tls_new(struct cws_loop *loop, struct cws_tls_config *config,
                           struct cws_transport *below, const char *host)
{
    struct tls *tls = cws_calloc(1, sizeof(*tls));
    if (!tls)
        return NULL;
    tls->transport.ops = &tls_ops;
    tls->loop = loop;
    tls->bio.loop = loop;
    tls->bio.below = below;
    cws_tls_config_ref(config);
    tls->config = config;
    cws_buf_init(&tls->held, HELD_CEILING);
    cws_list_init(&tls->later.node);
    tls->later.run = on_later;
    ERR_clear_error();
    tls->ssl = ssl_new(tls);
    if (!config->server)
        tls->host = certificate_name(host);
    if (tls->ssl && (config->server || tls->host))
        return tls;
    destroy(tls);
    return NULL;
}

struct cws_tls_start *cws_tls_start(struct cws_loop *loop, struct cws_tls_config *config,
                                    struct cws_transport *below, const char *host,
                                    cws_tls_done_fn done, void *ctx)
{
    assert(cws_loop_is_current(loop) && (config->server || host));
    struct tls *tls = tls_new(loop, config, below, host);
    if (!tls) {
        cws_transport_close(below);
        return NULL;
    }
    tls->start = (struct cws_tls_start){done, ctx};
    cws_transport_start(below, &below_events, tls);
    if (!config->server && !expect_host(tls->ssl, tls->host)) {
        ERR_clear_error();
        cws_error_set(&tls->error, CWS_TLS, "no certificate can be for '%s'", tls->host);
        end(tls);
    } else {
        shake_hands(tls);
    }
    if (tls->report_due)
        run_later(tls);
    return &tls->start;
}

void cws_tls_cancel(struct cws_tls_start *start)
{
    release(cws_container_of(start, struct tls, start));
}
