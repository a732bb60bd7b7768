#include "sandboxes/forward.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "box/exec.h"
#include "io/scratch.h"
#include "io/timer.h"
#include "values/bounds.h"
#include "values/http_head.h"

/* Without a gate: how long a client of a dead port may take to show whether it speaks HTTP. */
#define SHOW_S 1

/* A head, and what comes of its body at the same time. */
#define MAX_HELD (CWSD_MAX_HTTP_HEAD + CWS_SCRATCH_SIZE)

enum speech {
    SPEECH_UNKNOWN, /* the client has said nothing yet */
    SPEECH_HTTP,
    SPEECH_OTHER,
};

struct forward {
    struct cws_list node;
    struct cwsd_forwards *owner;
    struct cws_transport *transport;
    struct cwsd_exec *exec; /* NULL: there is no connection in the box (any more) */
    struct cws_timer limit;
    struct cws_timer watch; /* for clients that hold the connection and do nothing with it */
    uint64_t moved_ns;      /* when bytes have moved, one way or the other */
    size_t waited;          /* how many did for the client when the watch last looked */
    struct cws_buf head;    /* what came before the gate let it pass */
    bool admitted;          /* through the gate, if there is one */
    enum speech speech;
    bool answered;     /* something was sent to the client */
    bool beginning;    /* an answer has not shown yet whether it is an upgrade */
    size_t alike;      /* how much of it is like one */
    bool upgraded;     /* by an answer: what follows is no HTTP */
    bool half_closed;  /* the client sends nothing more */
    bool output_ended; /* the program sends nothing more */
    bool ending;       /* once everything has been sent */
};

static void end(struct forward *forward)
{
    cws_list_remove(&forward->node);
    forward->owner->count--;
    cws_timer_cancel(forward->owner->loop, &forward->limit);
    cws_timer_cancel(forward->owner->loop, &forward->watch);
    cws_buf_done(&forward->head);
    if (forward->exec)
        cwsd_exec_free(forward->exec);
    cws_transport_close(forward->transport);
    cws_free(forward);
}

/* The forward may be gone afterwards, as after all that follows. */
static void end_when_sent(struct forward *forward)
{
    forward->ending = true;
    if (cws_transport_pending(forward->transport) == 0)
        end(forward);
}

/* Answers for the program inside. What the client still sends is read and dropped: to close with
 * some unread would reset the connection, and the answer might be lost. */
static void answer(struct forward *forward, const char *status, const char *text)
{
    char message[256];
    if (forward->exec)
        cwsd_exec_free(forward->exec);
    forward->exec = NULL;
    forward->answered = true;
    int len = snprintf(message, sizeof(message),
                       "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                       "Connection: close\r\n\r\n%s\n",
                       status, strlen(text) + 1, text);
    if (cws_transport_write(forward->transport, (const uint8_t *)message, (size_t)len) == CWS_OK)
        end_when_sent(forward);
    else
        end(forward);
}

/* ---- time limits ---------------------------------------------------------------------------- */

static void on_limit(struct cws_timer *timer)
{
    struct forward *forward = cws_container_of(timer, struct forward, limit);
    if (forward->speech == SPEECH_HTTP && !forward->answered)
        answer(forward, "504 Gateway Timeout", "There was no answer within the time limit");
    else
        end(forward);
}

/* False if the forward has ended. */
static bool set_limit(struct forward *forward, uint32_t seconds)
{
    uint64_t due_ns = cws_clock_now_ns() + seconds * CWS_NS_PER_S;
    if (cws_timer_set(forward->owner->loop, &forward->limit, due_ns) == CWS_OK)
        return true;
    end(forward);
    return false;
}

/* The client has sent a part of a request. */
static bool expect_answer(struct forward *forward)
{
    const struct cwsd_gate *gate = forward->owner->gate;
    if (!forward->beginning)
        forward->alike = 0;
    forward->beginning = true;
    return !gate || forward->upgraded || forward->output_ended || set_limit(forward, gate->limit_s);
}

/* A program may be silent as long as it likes with clients that do not speak HTTP, or no more. */
static bool may_be_idle(const struct forward *forward)
{
    return !forward->half_closed && !forward->output_ended &&
           (!forward->owner->gate || forward->upgraded);
}

/* False if the forward has ended. */
static bool go_on_watching(struct forward *forward)
{
    uint64_t due_ns = cws_clock_now_ns() + forward->owner->stall_ns;
    if (cws_timer_set(forward->owner->loop, &forward->watch, due_ns) == CWS_OK)
        return true;
    end(forward);
    return false;
}

static void on_watch(struct cws_timer *timer)
{
    struct forward *forward = cws_container_of(timer, struct forward, watch);
    size_t waits = cws_transport_pending(forward->transport);
    uint64_t now_ns = cws_clock_now_ns();
    if (waits < forward->waited)
        forward->moved_ns = now_ns;
    forward->waited = waits;
    uint64_t quiet_ns = now_ns - forward->moved_ns;
    bool stalled = waits && quiet_ns >= forward->owner->stall_ns;
    uint64_t patience_ns =
        forward->output_ended ? forward->owner->linger_ns : forward->owner->idle_ns;
    if (stalled || (quiet_ns >= patience_ns && !may_be_idle(forward)))
        end(forward);
    else
        (void)go_on_watching(forward);
}

/* ---- a port that nobody listens on ---------------------------------------------------------- */

/* Nothing (more) will come out of the box. */
static void give_up(struct forward *forward)
{
    if (forward->answered || forward->speech == SPEECH_OTHER)
        end_when_sent(forward);
    else if (forward->speech == SPEECH_HTTP)
        answer(forward, "502 Bad Gateway", "Nothing listens on this port (any more)");
    else
        (void)set_limit(forward, SHOW_S);
}

/* ---- the box -------------------------------------------------------------------------------- */

static void on_started(void *ctx)
{
    (void)ctx;
}

/* An answer comes in whatever pieces the program writes. */
static void note_answer(struct forward *forward, const uint8_t *data, size_t len)
{
    static const char upgrade[] = "HTTP/1.1 101";
    for (size_t i = 0; i < len && forward->beginning; i++) {
        forward->alike = (char)data[i] == upgrade[forward->alike] ? forward->alike + 1 : 0;
        forward->beginning = forward->alike > 0 && forward->alike < strlen(upgrade);
        forward->upgraded = forward->upgraded || forward->alike == strlen(upgrade);
    }
    forward->answered = true;
    cws_timer_cancel(forward->owner->loop, &forward->limit);
}

static void on_output(void *ctx, bool is_stderr, const uint8_t *data, size_t len)
{
    struct forward *forward = ctx;
    (void)is_stderr;
    note_answer(forward, data, len);
    forward->moved_ns = cws_clock_now_ns();
    if (cws_transport_write(forward->transport, data, len) != CWS_OK)
        end(forward);
    else if (cws_transport_pending(forward->transport) > CWSD_STREAM_HIGH_WATER)
        cwsd_exec_pause(forward->exec, true);
}

/* The program may go on reading. */
static void on_output_ended(void *ctx)
{
    struct forward *forward = ctx;
    forward->output_ended = true;
    forward->moved_ns = cws_clock_now_ns();
    cws_timer_cancel(forward->owner->loop, &forward->limit);
    cws_transport_finish(forward->transport);
}

static void on_input_taken(void *ctx)
{
    struct forward *forward = ctx;
    cws_transport_pause(forward->transport, false);
}

static void leave_box(struct forward *forward)
{
    cwsd_exec_free(forward->exec);
    forward->exec = NULL;
    cws_transport_pause(forward->transport, false);
}

static void on_exited(void *ctx, int exit_code)
{
    struct forward *forward = ctx;
    leave_box(forward);
    if (exit_code == 0)
        end_when_sent(forward);
    else
        give_up(forward);
}

static void on_failed(void *ctx, const struct cws_error *err)
{
    (void)err;
    leave_box(ctx);
    give_up(ctx);
}

static const struct cwsd_exec_events exec_events = {on_started, on_output, on_input_taken,
                                                    on_exited,  on_failed, on_output_ended};

/* False if nothing can be passed on; the forward may be gone then. */
static bool enter_box(struct forward *forward)
{
    const struct cwsd_exec_options options = {.port = forward->owner->port};
    struct cwsd_box *box = *forward->owner->box;
    struct cws_error err;
    forward->admitted = true;
    if (box &&
        cwsd_exec_start(box, &options, &exec_events, forward, &forward->exec, &err) == CWS_OK)
        return true;
    forward->exec = NULL;
    give_up(forward);
    return false;
}

/* ---- the client ----------------------------------------------------------------------------- */

static void pass(struct forward *forward, const uint8_t *data, size_t len)
{
    if (!forward->exec)
        give_up(forward);
    else if (cwsd_exec_write(forward->exec, data, len) != CWS_OK)
        end(forward);
    else if (cwsd_exec_stdin_pending(forward->exec) > 0)
        cws_transport_pause(forward->transport, true);
}

static void admit(struct forward *forward)
{
    struct cws_buf head = forward->head; /* the forward may be gone after each step */
    cws_buf_init(&forward->head, 0);
    forward->speech = SPEECH_HTTP;
    if (expect_answer(forward) && enter_box(forward))
        pass(forward, cws_buf_bytes(&head), head.len);
    cws_buf_done(&head);
}

static void wait_at_gate(struct forward *forward, const uint8_t *data, size_t len)
{
    const char *token = forward->owner->gate->token;
    struct cws_buf *head = &forward->head;
    if (cws_buf_append(head, data, len) != CWS_OK) {
        end(forward);
        return;
    }
    size_t head_len = cwsd_http_head_len(cws_buf_bytes(head), head->len);
    if (!cwsd_http_head_is_plausible(cws_buf_bytes(head), head->len))
        answer(forward, "400 Bad Request", "This is no HTTP/1 request");
    else if ((head_len ? head_len : head->len) > CWSD_MAX_HTTP_HEAD)
        answer(forward, "431 Request Header Fields Too Large", "The request's head is too long");
    else if (head_len == 0)
        return;
    else if (token && !cwsd_http_head_has_token(cws_buf_bytes(head), head_len, token))
        answer(forward, "401 Unauthorized", "The request needs the sandbox's share token");
    else
        admit(forward);
}

static void on_data(void *ctx, const uint8_t *data, size_t len)
{
    struct forward *forward = ctx;
    if (forward->ending)
        return;
    forward->moved_ns = cws_clock_now_ns();
    if (!forward->admitted) {
        wait_at_gate(forward, data, len);
        return;
    }
    if (forward->speech == SPEECH_UNKNOWN)
        forward->speech = cwsd_http_head_is_plausible(data, len) ? SPEECH_HTTP : SPEECH_OTHER;
    if (expect_answer(forward))
        pass(forward, data, len);
}

static void on_drained(void *ctx)
{
    struct forward *forward = ctx;
    if (forward->ending)
        end(forward);
    else if (forward->exec)
        cwsd_exec_pause(forward->exec, false);
}

static void on_closed(void *ctx, const struct cws_error *err)
{
    (void)err;
    end(ctx);
}

static void on_half_closed(void *ctx)
{
    struct forward *forward = ctx;
    forward->half_closed = true;
    if (forward->exec)
        cwsd_exec_close_stdin(forward->exec);
    else
        end_when_sent(forward);
}

static const struct cws_transport_events client_events = {on_data, on_drained, on_closed,
                                                          on_half_closed};

/* ---- all of an endpoint --------------------------------------------------------------------- */

void cwsd_forwards_init(struct cwsd_forwards *forwards, struct cws_loop *loop,
                        struct cwsd_box *const *box, uint16_t port, const struct cwsd_gate *gate)
{
    *forwards = (struct cwsd_forwards){.loop = loop, .box = box, .port = port, .gate = gate};
    forwards->stall_ns = CWSD_FORWARD_STALL_S * CWS_NS_PER_S;
    forwards->idle_ns = CWSD_FORWARD_IDLE_S * CWS_NS_PER_S;
    forwards->linger_ns = CWSD_FORWARD_LINGER_S * CWS_NS_PER_S;
    cws_list_init(&forwards->all);
}

/* Who has shown nothing yet does not keep others out: the oldest of them ends. */
static void make_room(struct cwsd_forwards *forwards)
{
    for (struct cws_list *node = forwards->all.next; node != &forwards->all; node = node->next) {
        struct forward *forward = cws_list_entry(node, struct forward, node);
        if (!forward->admitted) {
            end(forward);
            return;
        }
    }
}

void cwsd_forward_start(struct cwsd_forwards *forwards, struct cws_transport *transport)
{
    struct forward *forward = NULL;
    if (forwards->count == CWSD_MAX_FORWARDS)
        make_room(forwards);
    if (forwards->count < CWSD_MAX_FORWARDS)
        forward = cws_calloc(1, sizeof(*forward));
    if (!forward) {
        cws_transport_close(transport);
        return;
    }
    forward->owner = forwards;
    forward->transport = transport;
    cws_buf_init(&forward->head, MAX_HELD);
    cws_timer_init(&forward->limit, on_limit);
    cws_timer_init(&forward->watch, on_watch);
    forward->moved_ns = cws_clock_now_ns();
    cws_list_push_back(&forwards->all, &forward->node);
    forwards->count++;
    cws_transport_start(transport, &client_events, forward);
    if (!go_on_watching(forward))
        return;
    if (forwards->gate)
        (void)set_limit(forward, forwards->gate->limit_s);
    else
        (void)enter_box(forward);
}

void cwsd_forwards_end(struct cwsd_forwards *forwards)
{
    while (!cws_list_is_empty(&forwards->all))
        end(cws_list_entry(forwards->all.next, struct forward, node));
}
