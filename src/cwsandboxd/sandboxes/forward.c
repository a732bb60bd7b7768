#include "sandboxes/forward.h"

#include <string.h>

#include "base/alloc.h"
#include "box/exec.h"
#include "io/timer.h"
#include "values/bounds.h"

/* How long a client of a dead port may take to show whether it speaks HTTP. */
#define SHOW_MS 1000

static const char bad_gateway[] = "HTTP/1.1 502 Bad Gateway\r\n"
                                  "Content-Type: text/plain\r\n"
                                  "Content-Length: 40\r\n"
                                  "Connection: close\r\n"
                                  "\r\n"
                                  "Nothing listens on this port (any more)\n";

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
    struct cws_timer show;
    enum speech speech;
    bool answered; /* something was sent to the client */
    bool ending;   /* once everything has been sent */
};

static void end(struct forward *forward)
{
    cws_list_remove(&forward->node);
    forward->owner->count--;
    cws_timer_cancel(forward->owner->loop, &forward->show);
    if (forward->exec)
        cwsd_exec_free(forward->exec);
    cws_transport_close(forward->transport);
    cws_free(forward);
}

/* The forward may be gone afterwards. */
static void end_when_sent(struct forward *forward)
{
    forward->ending = true;
    if (cws_transport_pending(forward->transport) == 0)
        end(forward);
}

static void send_and_end(struct forward *forward, const char *text)
{
    if (cws_transport_write(forward->transport, (const uint8_t *)text, strlen(text)) == CWS_OK)
        end_when_sent(forward);
    else
        end(forward);
}

/* ---- a port that nobody listens on ---------------------------------------------------------- */

static void on_show_over(struct cws_timer *timer)
{
    end(cws_container_of(timer, struct forward, show));
}

/* Nothing will come out of the box. */
static void give_up(struct forward *forward)
{
    uint64_t due_ns = cws_clock_now_ns() + SHOW_MS * CWS_NS_PER_MS;
    if (forward->answered || forward->speech == SPEECH_OTHER)
        end_when_sent(forward);
    else if (forward->speech == SPEECH_HTTP)
        send_and_end(forward, bad_gateway);
    else if (cws_timer_set(forward->owner->loop, &forward->show, due_ns) != CWS_OK)
        end(forward);
}

/* A request begins with the name of its method and a space. */
static enum speech guess(const uint8_t *data, size_t len)
{
    size_t name = 0;
    while (name < len && data[name] >= 'A' && data[name] <= 'Z')
        name++;
    return name >= 3 && name < len && data[name] == ' ' ? SPEECH_HTTP : SPEECH_OTHER;
}

/* ---- the box -------------------------------------------------------------------------------- */

static void on_started(void *ctx)
{
    (void)ctx;
}

static void on_output(void *ctx, bool is_stderr, const uint8_t *data, size_t len)
{
    struct forward *forward = ctx;
    (void)is_stderr;
    forward->answered = true;
    if (cws_transport_write(forward->transport, data, len) != CWS_OK)
        end(forward);
    else if (cws_transport_pending(forward->transport) > CWSD_STREAM_HIGH_WATER)
        cwsd_exec_pause(forward->exec, true);
}

static void on_input_taken(void *ctx)
{
    struct forward *forward = ctx;
    cws_transport_pause(forward->transport, false);
}

/* The client's bytes are read on, and dropped: to close with some unread would reset the
 * connection, and what it has not received yet would be lost. */
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
                                                    on_exited, on_failed};

/* ---- the client ----------------------------------------------------------------------------- */

static void on_data(void *ctx, const uint8_t *data, size_t len)
{
    struct forward *forward = ctx;
    if (forward->speech == SPEECH_UNKNOWN)
        forward->speech = guess(data, len);
    if (!forward->exec) {
        if (!forward->ending)
            give_up(forward);
        return;
    }
    if (cwsd_exec_write(forward->exec, data, len) != CWS_OK)
        end(forward);
    else if (cwsd_exec_stdin_pending(forward->exec) > 0)
        cws_transport_pause(forward->transport, true);
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

static const struct cws_transport_events client_events = {on_data, on_drained, on_closed};

/* ---- all of an endpoint --------------------------------------------------------------------- */

void cwsd_forwards_init(struct cwsd_forwards *forwards, struct cws_loop *loop)
{
    *forwards = (struct cwsd_forwards){.loop = loop};
    cws_list_init(&forwards->all);
}

void cwsd_forward_start(struct cwsd_forwards *forwards, struct cwsd_box *box, uint16_t port,
                        struct cws_transport *transport)
{
    const struct cwsd_exec_options options = {.port = port};
    struct cws_error err;
    struct forward *forward = NULL;
    if (forwards->count < CWSD_MAX_FORWARDS)
        forward = cws_calloc(1, sizeof(*forward));
    if (!forward) {
        cws_transport_close(transport);
        return;
    }
    forward->owner = forwards;
    forward->transport = transport;
    cws_timer_init(&forward->show, on_show_over);
    cws_list_push_back(&forwards->all, &forward->node);
    forwards->count++;
    if (box &&
        cwsd_exec_start(box, &options, &exec_events, forward, &forward->exec, &err) != CWS_OK)
        forward->exec = NULL;
    cws_transport_start(transport, &client_events, forward);
    if (!forward->exec)
        give_up(forward);
}

void cwsd_forwards_end(struct cwsd_forwards *forwards)
{
    while (!cws_list_is_empty(&forwards->all))
        end(cws_list_entry(forwards->all.next, struct forward, node));
}
