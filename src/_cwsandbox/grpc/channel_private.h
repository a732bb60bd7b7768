/* Shared by channel.c (the shared object), pool.c (its connections), liveness.c and call.c. Loop
 * thread, unless noted. */
#pragma once

#include <stdatomic.h>

#include "base/ref.h"
#include "grpc/call.h"
#include "grpc/frame.h"
#include "h2/conn.h"
#include "io/dial.h"
#include "io/timer.h"

struct cws_channel {
    /* Any thread, fixed: */
    struct cws_loop *loop;
    char *key; /* made of the options: equal options have equal keys */
    struct cws_target target;
    struct cws_metadata metadata;
    struct cws_tls_config *tls;
    size_t max_receive;
    unsigned max_connections;
    /* Guarded by the loop's registry lock: */
    struct cws_registry_entry entry;
    size_t users;
    bool linger_posted;
    struct cws_task linger_task;
    /* Loop thread: */
    struct cws_timer linger_timer;
    struct cws_list connections; /* struct cws_pool_connection, the oldest first */
    size_t connection_count;
    size_t connecting;
    struct cws_list queue; /* calls that wait for a stream, in order */
    size_t queued;
    size_t call_count;             /* queued and open */
    uint64_t no_dial_before_ns;    /* set after a failed dial while other connections live */
    size_t streams_expected;       /* how many streams a new connection is expected to take */
    struct cws_timer idle_timer;   /* closes connections that are no longer needed */
    struct cws_timer redial_timer; /* fires at no_dial_before_ns if calls wait */
    uint64_t ping_interval_ns;     /* as in the options; doubles when a peer complains */
    size_t long_calls;             /* see cws_call.is_long */
    struct cws_timer sweep_timer;  /* looks for silent connections while there are long calls */
    unsigned fruitless; /* how many connections in a row closed before they took a call */
    struct cws_deferred pump;
    bool pump_wanted;
    atomic_uint extensions; /* any thread's */
    atomic_bool is_refused; /* any thread's: a call was refused here (call.h, is_refusal) */
};

struct cws_pool_connection {
    struct cws_list node;
    struct cws_channel *channel;
    struct cws_dial *dial;    /* while connecting */
    struct cws_h2_conn *conn; /* from then on */
    bool ready;               /* SETTINGS have arrived: no longer counted as connecting */
    bool used;                /* has taken a call */
    struct cws_timer settings_timer;
    uint64_t idle_since_ns; /* 0: has streams */

    /* liveness.c's: */
    uint64_t arrivals_at_sweep;
    unsigned quiet_sweeps; /* sweeps in a row, since the last arrival, that found it with streams */
    bool asked;            /* in doubt, and a PING has been sent */
    uint64_t may_ask_ns;   /* no PING before this time */
    struct cws_timer doubt_timer; /* in doubt: until a PING is allowed, then until its answer */
};

struct cws_call {
    struct cws_list node; /* in the channel's queue, or in `refused`, while it waits there */
    struct cws_channel *channel;
    struct cws_h2_stream *stream;           /* NULL: queued or ended */
    struct cws_pool_connection *connection; /* of `stream` */
    uint64_t arrivals_before;      /* the connection's arrivals when the stream was opened */
    const char *path;              /* NULL: it only waits for a connection */
    struct cws_channel *otherwise; /* a reference; NULL: none, or the call has gone there */
    const char *otherwise_path;
    bool (*is_refusal)(const struct cws_grpc_status *status);
    struct cws_refused_calls *refused; /* NULL: none, or the call has been there */
    bool is_set_aside;                 /* it waits there, and `status` says why */
    void *owner;
    const struct cws_metadata *metadata; /* its own, beyond the channel's; NULL: none */
    uint64_t deadline_ns;
    struct cws_timer deadline;
    struct cws_timer retry;
    const struct cws_call_events *events;
    void *ctx;

    struct cws_list unsent; /* messages that wait for the stream */
    struct cws_block
        *first; /* the first message, kept as long as the call may have to be sent again */
    void (*first_settled)(struct cws_block *block,
                          enum cws_status how); /* the block's own callback, saved meanwhile */
    void *first_owner;
    bool has_first; /* cws_call_send was called for the first message */
    bool sent_more; /* a second message has been sent: the call cannot be sent again */
    bool half_closed;
    bool committed; /* the peer has answered */
    unsigned attempts;

    bool holds_back;
    size_t held;   /* bytes that the owner holds */
    size_t unpaid; /* bytes received but not yet returned to the peer's window */

    struct cws_frame_reader reader;
    struct cws_grpc_status status;
    int http_status;
    bool grpc_content; /* content-type says application/grpc */
    bool seen_status;  /* the block that is arriving has grpc-status */
    bool has_status;   /* the final block had it: `status` is the call's */
    unsigned busy;     /* events that are running */
    bool is_long;      /* its deadline is none, or too far off to wait for on a silent connection */
    bool ended;        /* freed once busy is 0 */
};

/* Makes sure that queued calls get streams, or that connections are opened for them. */
void cws_channel_want_pump(struct cws_channel *channel);

/* call.c, for the pool: */
/* Opens the call's stream on this connection; false when the connection cannot take it. */
bool cws_call_open(struct cws_call *call, struct cws_pool_connection *connection);
/* Ends a queued call. */
void cws_call_fail_unavailable(struct cws_call *call, const struct cws_error *err);

/* Ends the call with call->status, wherever it is. */
void cws_call_end(struct cws_call *call);

/* elsewhere.c, for call.c: */
/* The first message is to be sent once more. */
void cws_call_requeue_first(struct cws_call *call);
/* To the other channel, before anything of it was sent. */
void cws_call_go_otherwise(struct cws_call *call);
/* For a call with `refused` and without a stream, whose status says why: it waits there. It stays
 * counted at its channel, which is marked. */
void cws_call_set_aside(struct cws_call *call);
/* The last block of the answer has come. True if that refuses the call, and the call is elsewhere
 * now, or has ended. */
bool cws_call_was_refused(struct cws_call *call);

/* liveness.c, for pool.c and call.c: */
void cws_liveness_init(struct cws_channel *channel);
void cws_liveness_init_connection(struct cws_pool_connection *c);
/* A long call has got a stream. */
void cws_liveness_watch(struct cws_channel *channel);
/* A call has waited long enough, and nothing has arrived on its connection since it was sent. */
void cws_liveness_suspect(struct cws_pool_connection *c);
/* The connection has room, perhaps because its peer has shown a sign of life. */
void cws_liveness_on_room(struct cws_pool_connection *c);
void cws_liveness_on_too_many_pings(struct cws_channel *channel);

/* pool.c, for channel.c and call.c: */
void cws_pool_init(struct cws_channel *channel);
/* Closes every connection. Calls that are still open end as UNAVAILABLE. */
void cws_pool_close(struct cws_channel *channel);
/* Puts a call into the queue: at the end, or at the front when it is sent again. */
void cws_pool_enqueue(struct cws_channel *channel, struct cws_call *call, bool front);
