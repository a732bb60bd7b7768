/* For the tests of io/: a loop that is pumped by hand, and an owner of a transport that notes its
 * events. */
#pragma once

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "io/sock.h"
#include "io/uv.h"

/* A test that waits for something that never comes is killed after this long. */
#define TEST_SECONDS 60

/* A test whose state is a zeroed `type` of its own. */
#define TEST_WITH(type, function) \
    cmocka_unit_test_prestate_setup_teardown(function, make_state, free_state, (void *)sizeof(type))

/* *state is the size. */
static inline int make_state(void **state)
{
    *state = test_calloc(1, (size_t)(uintptr_t)*state);
    return 0;
}

static inline int free_state(void **state)
{
    cws_alloc_fail_at(0);
    test_free(*state);
    return 0;
}

static inline struct cws_loop *loop_open(void)
{
    struct cws_loop *loop = NULL;
    struct cws_error err = {0};
    alarm(TEST_SECONDS);
    if (cws_loop_new(&loop, &err) != CWS_OK)
        fail_msg("%s", err.text);
    return loop;
}

/* One iteration; waits for an event before it when there is nothing to do, but not for ever: work
 * may have been deferred to just before the loop's next wait. */
static inline void pump(struct cws_loop *loop)
{
    struct pollfd backend = {.fd = uv_backend_fd(cws_loop_uv(loop)), .events = POLLIN};
    int timeout_ms = uv_backend_timeout(cws_loop_uv(loop));
    poll(&backend, 1, timeout_ms < 0 || timeout_ms > 10 ? 10 : timeout_ms);
    uv_run(cws_loop_uv(loop), UV_RUN_NOWAIT);
}

#define PUMP_UNTIL(loop, condition) \
    while (!(condition)) \
    pump(loop)

/* Runs the loop until nothing is left to do without new events. */
static inline void settle(struct cws_loop *loop)
{
    for (int i = 0; i < 20; i++)
        uv_run(cws_loop_uv(loop), UV_RUN_NOWAIT);
}

static inline void loop_close(struct cws_loop *loop)
{
    cws_loop_free(loop);
    alarm(0);
}

struct peer {
    struct cws_transport *transport;
    struct cws_buf received;
    unsigned data_events;
    unsigned drained;
    unsigned closed; /* how often on_closed came */
    struct cws_error err;
    bool in_call; /* an event now would be one from inside our own call */
    bool close_on_data;
    bool close_on_drained;
    bool close_on_closed;
};

static inline void peer_close(struct peer *peer)
{
    struct cws_transport *transport = peer->transport;
    peer->transport = NULL;
    if (transport)
        cws_transport_close(transport);
}

static inline void peer_check_event(const struct peer *peer)
{
    assert_non_null(peer->transport); /* no event after close */
    assert_false(peer->in_call);
    assert_int_equal(peer->closed, 0); /* on_closed is the last one */
}

static inline void peer_on_data(void *ctx, const uint8_t *data, size_t len)
{
    struct peer *peer = ctx;
    peer_check_event(peer);
    assert_true(len > 0);
    peer->data_events++;
    assert_int_equal(cws_buf_append(&peer->received, data, len), CWS_OK);
    if (peer->close_on_data)
        peer_close(peer);
}

static inline void peer_on_drained(void *ctx)
{
    struct peer *peer = ctx;
    peer_check_event(peer);
    assert_int_equal(cws_transport_pending(peer->transport), 0);
    peer->drained++;
    if (peer->close_on_drained)
        peer_close(peer);
}

static inline void peer_on_closed(void *ctx, const struct cws_error *err)
{
    struct peer *peer = ctx;
    peer_check_event(peer);
    peer->closed++;
    peer->err = *err;
    if (peer->close_on_closed)
        peer_close(peer);
}

static const struct cws_transport_events peer_events = {
    .on_data = peer_on_data, .on_drained = peer_on_drained, .on_closed = peer_on_closed};

static inline void peer_init(struct peer *peer)
{
    *peer = (struct peer){0};
    cws_buf_init(&peer->received, SIZE_MAX / 2);
}

static inline void peer_start(struct peer *peer, struct cws_transport *transport)
{
    peer_init(peer);
    peer->transport = transport;
    peer->in_call = true;
    cws_transport_start(transport, &peer_events, peer);
    peer->in_call = false;
}

static inline void peer_done(struct peer *peer)
{
    peer_close(peer);
    cws_buf_done(&peer->received);
}

static inline enum cws_status peer_write(struct peer *peer, const void *data, size_t len)
{
    peer->in_call = true;
    enum cws_status status = cws_transport_write(peer->transport, data, len);
    peer->in_call = false;
    return status;
}

static inline bool peer_has(const struct peer *peer, const char *text)
{
    return peer->received.len == strlen(text) &&
           memcmp(cws_buf_bytes(&peer->received), text, peer->received.len) == 0;
}

/* A pattern in which each byte shows its position. */
static inline void fill_pattern(uint8_t *bytes, size_t len, size_t from)
{
    for (size_t i = 0; i < len; i++) {
        size_t at = from + i;
        bytes[i] = (uint8_t)(at ^ (at >> 8) * 31 ^ (at >> 16) * 17);
    }
}

static inline bool is_pattern(const uint8_t *bytes, size_t len)
{
    for (size_t at = 0; at < len; at++)
        if (bytes[at] != (uint8_t)(at ^ (at >> 8) * 31 ^ (at >> 16) * 17))
            return false;
    return true;
}
