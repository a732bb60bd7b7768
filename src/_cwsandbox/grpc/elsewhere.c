/* Calls that one channel could not take, or refused, and that go over another one. */
#include "grpc/channel_private.h"

void cws_call_requeue_first(struct cws_call *call)
{
    if (!call->first)
        return;
    call->first->off = 0;
    cws_list_push_back(call->unsent.next, &call->first->node); /* before the first */
    call->first = NULL;
}

/* The caller keeps `channel` alive until the call is counted there. */
static void move_to(struct cws_call *call, struct cws_channel *channel)
{
    if (call->is_long)
        call->channel->long_calls--;
    call->is_long = false;
    call->channel->call_count--;
    channel->call_count++;
    call->channel = channel;
    cws_pool_enqueue(channel, call, false);
}

void cws_call_go_otherwise(struct cws_call *call)
{
    struct cws_channel *other = call->otherwise;
    call->otherwise = NULL;
    call->path = call->otherwise_path;
    move_to(call, other);
    cws_channel_unref(other);
}

/* The call is as it was before it was sent. */
static void leave_stream(struct cws_call *call)
{
    struct cws_h2_stream *stream = call->stream;
    call->stream = NULL;
    call->seen_status = false;
    cws_h2_stream_reset(stream, CWS_H2_CANCEL); /* gives the first message back */
    cws_call_requeue_first(call);
}

void cws_call_set_aside(struct cws_call *call)
{
    struct cws_refused_calls *refused = call->refused;
    atomic_store(&call->channel->is_refused, true);
    call->refused = NULL;
    call->is_set_aside = true;
    cws_list_push_back(&refused->calls, &call->node);
    refused->on_refused(refused, call);
}

static bool is_refused(const struct cws_call *call)
{
    return call->is_refusal && !call->committed && !call->ended && call->seen_status &&
           call->is_refusal(&call->status);
}

bool cws_call_was_refused(struct cws_call *call)
{
    if (!is_refused(call))
        return false;
    atomic_store(&call->channel->is_refused, true);
    if (call->sent_more || !(call->otherwise || call->refused))
        return false;
    leave_stream(call);
    if (call->otherwise) {
        cws_grpc_status_done(&call->status);
        cws_call_go_otherwise(call);
    } else {
        cws_call_set_aside(call);
    }
    return true;
}

struct cws_call *cws_call_of_refused(struct cws_list *node)
{
    return cws_list_entry(node, struct cws_call, node);
}

void *cws_call_owner(const struct cws_call *call)
{
    return call->owner;
}

void cws_call_send_elsewhere(struct cws_call *call, struct cws_channel *channel)
{
    assert(call->is_set_aside);
    cws_list_remove(&call->node);
    call->is_set_aside = false;
    cws_grpc_status_done(&call->status);
    move_to(call, channel);
}

void cws_call_end_refused(struct cws_call *call)
{
    assert(call->is_set_aside);
    cws_call_end(call);
}

void cws_call_end_all_refused(struct cws_refused_calls *refused)
{
    while (!cws_list_is_empty(&refused->calls))
        cws_call_end_refused(cws_call_of_refused(refused->calls.next));
}
