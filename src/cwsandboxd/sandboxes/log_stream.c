#include "sandboxes/log_stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "sandboxes/log.h"
#include "sandboxes/tenant.h"
#include "store/log_reader.h"
#include "values/bounds.h"

/* The most bytes of one piece. */
#define MAX_PIECE (64 * CWSD_KIB)

struct cwsd_log_stream {
    struct cwsd_log *log;
    struct cwsd_log_listener listener;
    struct cws_deferred begin;
    const struct cwsd_log_events *events;
    void *ctx;
    struct cwsd_log_reader reader; /* once `begun` */
    bool begun;
    bool delivered; /* something */
    bool unknown;   /* the session to be resumed */
    bool recovered; /* an earlier daemon's log: as far as that can be */
    /* What the reader begins with, when all is stored that had been written at the request. */
    uint64_t written;
    struct cwsd_log_session session;
    uint64_t offset, since_us;
    uint32_t tail_lines;
    bool resumes, follow;
    bool paused;
    bool done; /* the last event was sent */
    bool freed;
    char resumed_id[CWSD_LOG_ID_SIZE]; /* as the client has it; not checked */
    char session_id[CWSD_LOG_ID_SIZE]; /* "": not known yet */

    /* One piece being read, or delivered. */
    uv_work_t work;
    bool working;
    bool ended; /* as the log was when the last piece was begun */
    uint8_t *data;
    size_t room, len;
    uint64_t time_us;
    enum cws_status status;
    struct cws_error err;
};

static void step(struct cwsd_log_stream *stream);

/* ---- the end -------------------------------------------------------------------------------- */

static void release(struct cwsd_log_stream *stream)
{
    cwsd_log_leave(stream->log, &stream->listener);
    cws_free(stream->data);
    cws_free(stream);
}

static void break_off(struct cwsd_log_stream *stream, const char *code, const char *message)
{
    stream->done = true;
    stream->events->on_broken(stream->ctx, code, message);
}

/* What comes next is gone. A client that is told of a gap asks anew, for what is written from then
 * on. Without anything more to come it would take that for the end, and not know that some is
 * missing. */
static void report_gap(struct cwsd_log_stream *stream)
{
    bool comes_more = stream->follow && !stream->log->ended;
    break_off(stream, stream->delivered && !comes_more ? "STREAM_TRUNCATED" : "REPLAY_GAP",
              "the log's next bytes are no longer kept: newer output has replaced them, or they "
              "could not be written to the daemon's disk");
}

/* What was to come next cannot be had. */
static void report(struct cwsd_log_stream *stream)
{
    char message[sizeof(stream->err.text) + 64];
    switch (stream->status) {
    case CWS_CLOSED:
        report_gap(stream);
        break;
    case CWS_INVALID:
        snprintf(message, sizeof(message), "resume_log_offset: %s", stream->err.text);
        break_off(stream, "INVALID_RESUME_OFFSET", message);
        break;
    default:
        break_off(stream, "STREAM_TRUNCATED", stream->err.text);
    }
}

/* ---- one piece after the other -------------------------------------------------------------- */

static void deliver(struct cwsd_log_stream *stream)
{
    struct cwsd_log_piece piece = {
        .data = stream->data,
        .len = stream->len,
        .time = {.tv_sec = (time_t)(stream->time_us / 1000000),
                 .tv_nsec = (long)(stream->time_us % 1000000) * 1000},
        .session = stream->session_id,
        .next_offset = cwsd_log_reader_offset(&stream->reader),
    };
    if (!stream->session_id[0])
        cwsd_log_session_format(&stream->reader.session, stream->log->ring.key, stream->session_id);
    stream->delivered = true;
    stream->events->on_piece(stream->ctx, &piece);
}

static void run_fill(uv_work_t *work)
{
    struct cwsd_log_stream *stream = cws_container_of(work, struct cwsd_log_stream, work);
    stream->status =
        cwsd_log_reader_fill(&stream->reader, stream->ended, stream->data, stream->room,
                             &stream->len, &stream->time_us, &stream->err);
}

static void on_filled(uv_work_t *work, int status)
{
    struct cwsd_log_stream *stream = cws_container_of(work, struct cwsd_log_stream, work);
    (void)status;
    cws_loop_release(stream->log->loop);
    if (!stream->freed && stream->status != CWS_OK)
        report(stream);
    else if (!stream->freed && stream->len)
        deliver(stream);
    stream->working = false;
    if (stream->freed)
        release(stream);
    else
        step(stream);
}

/* Room for all that is there, as far as that is known: few lines need no large buffer. */
static size_t room_for(const struct cwsd_log_stream *stream, uint64_t end)
{
    uint64_t there = end - stream->reader.place.at;
    if (stream->reader.session.timestamps)
        there *= 1 + CWSD_LOG_STAMP_LEN;
    there += CWSD_LOG_LEAST_ROOM;
    return there < MAX_PIECE ? (size_t)there : MAX_PIECE;
}

static void fail_memory(struct cwsd_log_stream *stream)
{
    struct cwsd_fault fault;
    cwsd_fault_set_memory(&fault);
    stream->done = true;
    stream->events->on_failed(stream->ctx, &fault);
}

static void start_fill(struct cwsd_log_stream *stream, uint64_t end)
{
    size_t room = room_for(stream, end);
    if (room != stream->room) {
        cws_free(stream->data);
        stream->data = cws_malloc(room);
        stream->room = stream->data ? room : 0;
    }
    if (!stream->data) {
        fail_memory(stream);
        return;
    }
    stream->ended = stream->log->ended;
    int rc = uv_queue_work(cws_loop_uv(stream->log->loop), &stream->work, run_fill, on_filled);
    assert(rc == 0);
    (void)rc;
    stream->working = true;
    cws_loop_hold(stream->log->loop);
}

static void begin(struct cwsd_log_stream *stream)
{
    struct cwsd_ring *ring = &stream->log->ring;
    stream->begun = true;
    if (stream->resumes && !stream->unknown)
        stream->unknown = !cwsd_log_session_parse(stream->resumed_id, ring->key, &stream->session);
    if (stream->unknown)
        return;
    if (stream->resumes)
        snprintf(stream->session_id, sizeof(stream->session_id), "%s", stream->resumed_id);
    if (stream->resumes)
        cwsd_log_reader_resume(&stream->reader, ring, &stream->session, stream->offset);
    else
        cwsd_log_reader_begin(&stream->reader, ring, stream->session.timestamps, stream->tail_lines,
                              stream->since_us, stream->follow ? UINT64_MAX : stream->written);
}

/* An earlier daemon's log is read in full before the first piece. */
static void recover(struct cwsd_log_stream *stream)
{
    if (!stream->recovered) {
        stream->recovered = true;
        cwsd_log_recover(stream->log);
    } else if (!stream->log->recovering && stream->log->recovery.status == CWS_NO_MEMORY) {
        fail_memory(stream);
    } else if (!stream->log->recovering) {
        break_off(stream, "STREAM_TRUNCATED", stream->log->recovery.text);
    }
}

/* Reads the next piece if there is one, and if the client can take it. May free the stream. */
static void step(struct cwsd_log_stream *stream)
{
    struct cwsd_log *log = stream->log;
    const struct cwsd_log_reader *reader = &stream->reader;
    struct cwsd_ring_place end = cwsd_ring_end(&log->ring);
    bool first = !stream->begun;
    if (stream->working || stream->paused || stream->done ||
        (!log->ended && end.offset < stream->written))
        return;
    if (cwsd_ring_is_unread(&log->ring)) {
        recover(stream);
        return;
    }
    if (first)
        begin(stream);
    if (stream->unknown) {
        break_off(stream, "SESSION_NOT_FOUND",
                  "resume_log_session_id: this is no session of the sandbox's log");
        return;
    }
    if (reader->finished) {
        stream->done = true;
        stream->events->on_end(stream->ctx);
        return;
    }
    if (first || reader->more || reader->place.at < end.at || log->ended != stream->ended) {
        start_fill(stream, end.at);
    } else {
        cws_free(stream->data); /* nothing is kept for a client that only waits */
        stream->data = NULL;
        stream->room = 0;
    }
}

static void on_grown(struct cwsd_log_listener *listener)
{
    step(cws_container_of(listener, struct cwsd_log_stream, listener));
}

static void on_begin(struct cws_deferred *deferred)
{
    step(cws_container_of(deferred, struct cwsd_log_stream, begin));
}

/* ---- the beginning -------------------------------------------------------------------------- */

static bool check_resumption(const struct cwsd_log_request *request, struct cwsd_fault *fault)
{
    if (!request->session[0])
        return request->offset == 0 ||
               cwsd_fault_set_invalid(fault, "resume_log_offset",
                                      "%" PRIu64 " needs a resume_log_session_id", request->offset);
    if (!request->follow)
        return cwsd_fault_set_invalid(fault, "resume_log_session_id", "needs follow");
    if (request->tail_lines || request->since || request->timestamps)
        return cwsd_fault_set_invalid(fault, "resume_log_session_id",
                                      "excludes %s: the session knows its own",
                                      request->tail_lines ? "tail_lines"
                                      : request->since    ? "since_time"
                                                          : "timestamps");
    return true;
}

static bool check(const struct cwsd_log_request *request, struct cwsd_fault *fault)
{
    const struct timespec *since = request->since;
    if (request->tail_lines < 0)
        return cwsd_fault_set_invalid(fault, "tail_lines", "%d must not be negative",
                                      (int)request->tail_lines);
    if (since && (since->tv_nsec < 0 || since->tv_nsec > 999999999))
        return cwsd_fault_set_invalid(fault, "since_time.nanos", "%ld is not from 0 to 999999999",
                                      since->tv_nsec);
    return check_resumption(request, fault);
}

/* The first microsecond that is not before it. */
static uint64_t since_us(const struct timespec *since)
{
    if (!since || since->tv_sec < 0)
        return 0;
    if (since->tv_sec > INT64_MAX / 1000000 - 1)
        return INT64_MAX;
    return (uint64_t)since->tv_sec * 1000000 + ((uint64_t)since->tv_nsec + 999) / 1000;
}

static void set_request(struct cwsd_log_stream *stream, const struct cwsd_log_request *request)
{
    struct cwsd_log *log = stream->log;
    stream->written = log->ended ? UINT64_MAX : cwsd_log_written(log);
    stream->follow = request->follow;
    stream->tail_lines = (uint32_t)request->tail_lines;
    stream->since_us = since_us(request->since);
    stream->session.timestamps = request->timestamps;
    stream->resumes = request->session[0] != '\0';
    stream->offset = request->offset;
    stream->unknown = strlen(request->session) >= sizeof(stream->resumed_id);
    if (!stream->unknown)
        snprintf(stream->resumed_id, sizeof(stream->resumed_id), "%s", request->session);
}

struct cwsd_log_stream *cwsd_log_stream_open(struct cwsd_pool *pool,
                                             const struct cwsd_log_request *request,
                                             const struct cwsd_log_events *events, void *ctx,
                                             struct cwsd_fault *fault)
{
    struct cwsd_container *container =
        cwsd_tenant_find(pool, request->sandbox_id, request->container, fault);
    if (!container || !check(request, fault))
        return NULL;
    struct cwsd_log_stream *stream = cws_calloc(1, sizeof(*stream));
    if (!stream) {
        cwsd_fault_set_memory(fault);
        return NULL;
    }
    stream->events = events;
    stream->ctx = ctx;
    stream->log = container->log;
    stream->listener.grown = on_grown;
    cws_list_init(&stream->begin.node);
    stream->begin.run = on_begin;
    set_request(stream, request);
    cwsd_log_join(stream->log, &stream->listener);
    cws_loop_defer(stream->log->loop, &stream->begin);
    return stream;
}

void cwsd_log_stream_pause(struct cwsd_log_stream *stream, bool paused)
{
    stream->paused = paused;
    if (!paused)
        step(stream);
}

void cwsd_log_stream_free(struct cwsd_log_stream *stream)
{
    if (!stream)
        return;
    cws_list_remove(&stream->begin.node);
    stream->freed = true;
    if (!stream->working) /* otherwise on_filled does it */
        release(stream);
}
