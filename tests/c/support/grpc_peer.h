/* For the tests of grpc/ and sandbox/: a server whose methods note what they hear, and calls that
 * do. */
#pragma once

#include "grpc/call.h"
#include "grpc/frame.h"
#include "grpc/server.h"
#include "support/peer.h"

/*
 * Three methods. Echo sends each message back and ends OK after the half-close; Hold and Credit do
 * nothing by themselves: the test does, through the record. Credit gives the window back only when
 * the test consumes.
 */
#define ECHO_PATH   "/test.Service/Echo"
#define HOLD_PATH   "/test.Service/Hold"
#define CREDIT_PATH "/test.Service/Credit"

struct served;

/* The events that the server's methods got. */
struct service {
    struct cws_list calls; /* struct served, in the order of their start */
    unsigned started, closed;
    void (*hook)(struct served *served,
                 char event); /* s start, m message, h half-close, d drained, c closed */
};

struct served {
    struct cws_list node;
    struct service *service;
    struct cws_server_call *call; /* NULL once closed */
    char events[256];             /* a letter for each event, not repeated next to itself */
    unsigned messages;
    size_t bytes;
    bool differs; /* from fill_pattern, each message from 0 */
    enum cws_grpc_code why;
    unsigned closed;
};

static inline void served_note(struct served *served, char event)
{
    size_t n = strlen(served->events);
    assert_int_equal(served->closed, 0);
    if (n == 0 || served->events[n - 1] != event) {
        assert_true(n + 1 < sizeof(served->events));
        served->events[n] = event;
    }
}

static inline void served_after(struct served *served, char event)
{
    if (served->service->hook)
        served->service->hook(served, event);
}

static inline void serve_start(struct cws_server_call *call, void *ctx)
{
    struct service *service = ctx;
    struct served *served = calloc(1, sizeof(*served));
    assert_non_null(served);
    assert_ptr_equal(cws_server_call_ctx(call), ctx);
    served->service = service;
    served->call = call;
    cws_list_push_back(&service->calls, &served->node);
    cws_server_call_set_user(call, served);
    service->started++;
    served_note(served, 's');
    served_after(served, 's');
}

static inline struct served *served_of(struct cws_server_call *call)
{
    struct served *served = cws_server_call_user(call);
    assert_ptr_equal(served->call, call);
    return served;
}

static inline void serve_message(struct cws_server_call *call, const uint8_t *data, size_t len)
{
    struct served *served = served_of(call);
    served_note(served, 'm');
    served->messages++;
    served->bytes += len;
    served->differs |= !is_pattern(data, len);
    served_after(served, 'm');
}

static inline void serve_half_closed(struct cws_server_call *call)
{
    served_note(served_of(call), 'h');
    served_after(served_of(call), 'h');
}

static inline void serve_drained(struct cws_server_call *call)
{
    assert_int_equal(cws_server_call_pending(call), 0);
    served_note(served_of(call), 'd');
    served_after(served_of(call), 'd');
}

static inline void serve_closed(struct cws_server_call *call, enum cws_grpc_code why)
{
    struct served *served = served_of(call);
    served_note(served, 'c');
    served->closed++;
    served->why = why;
    served->service->closed++;
    served->call = NULL;
    served_after(served, 'c');
}

/* A message of `len` bytes of the pattern. */
static inline void served_send(struct served *served, size_t len)
{
    struct cws_block *block = cws_server_message_new(len);
    assert_non_null(block);
    fill_pattern(block->data + CWS_FRAME_PREFIX, len, 0);
    cws_server_call_send(served->call, block);
}

static inline void served_finish(struct served *served, enum cws_grpc_code code,
                                 const char *message)
{
    cws_server_call_finish(served->call, code, message, NULL, 0);
}

static inline void echo_message(struct cws_server_call *call, const uint8_t *data, size_t len)
{
    struct cws_block *block = cws_server_message_new(len);
    serve_message(call, data, len);
    if (!block) {
        cws_server_call_finish(call, CWS_GRPC_RESOURCE_EXHAUSTED, "no memory for the echo", NULL,
                               0);
        return;
    }
    if (len)
        memcpy(block->data + CWS_FRAME_PREFIX, data, len);
    cws_server_call_send(call, block);
}

static inline void echo_half_closed(struct cws_server_call *call)
{
    serve_half_closed(call);
    cws_server_call_finish(call, CWS_GRPC_OK, NULL, NULL, 0);
}

static const struct cws_server_method service_methods[] = {
    {ECHO_PATH, serve_start, echo_message, echo_half_closed, serve_drained, serve_closed, false,
     NULL},
    {HOLD_PATH, serve_start, serve_message, serve_half_closed, serve_drained, serve_closed, false,
     NULL},
    {CREDIT_PATH, serve_start, serve_message, serve_half_closed, serve_drained, serve_closed, true,
     NULL},
};

static inline void service_init(struct service *service)
{
    *service = (struct service){0};
    cws_list_init(&service->calls);
}

static inline void service_done(struct service *service)
{
    struct cws_list *node;
    while ((node = cws_list_pop_front(&service->calls)) != NULL) {
        struct served *served = cws_list_entry(node, struct served, node);
        assert_int_equal(served->closed, 1); /* told once */
        free(served);
    }
}

/* The n-th call that was started, from 0. */
static inline struct served *service_nth(struct service *service, size_t n)
{
    struct cws_list *node = service->calls.next;
    while (node != &service->calls && n--)
        node = node->next;
    assert_true(node != &service->calls);
    return cws_list_entry(node, struct served, node);
}

static inline struct cws_server *service_server(struct service *service, struct cws_loop *loop,
                                                const struct cws_server_options *wishes)
{
    struct cws_server_options options = {0};
    if (wishes)
        options = *wishes;
    options.methods = service_methods;
    options.method_count = CWS_ARRAY_LEN(service_methods);
    options.ctx = service;
    return cws_server_new(loop, &options);
}
