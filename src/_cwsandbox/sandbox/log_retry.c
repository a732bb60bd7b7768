/* When a followed log makes another call, and for which part of the log. */
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "sandbox/log.h"

/* The pause before the second call; it doubles with each failure in a row. */
static const uint64_t PAUSE_NS = CWS_NS_PER_S / 10;
static const uint64_t PAUSE_MAX_NS = 4 * CWS_NS_PER_S;
/* The service cannot make us wait longer than this. */
static const uint64_t WISH_MAX_NS = 10 * CWS_NS_PER_S;

bool cws_log_may_ask_again(const struct cws_grpc_status *status, enum cws_log_from *out_from,
                           uint64_t *out_wish_ns)
{
    if (status->code != CWS_GRPC_UNAVAILABLE && status->code != CWS_GRPC_INTERNAL &&
        status->code != CWS_GRPC_UNKNOWN)
        return false;
    struct cws_log_advice advice = cws_log_wire_advice(status);
    *out_wish_ns = advice.delay_ns;
    *out_from = advice.lost_session ? CWS_LOG_FROM_FAILURE : CWS_LOG_FROM_PLACE;
    return !advice.is_final;
}

bool cws_log_may_ask_again_after(const char *code, enum cws_log_from *out_from)
{
    static const struct {
        const char *code;
        enum cws_log_from from;
    } passing[] = {
        {"STREAM_INTERRUPTED", CWS_LOG_FROM_PLACE},   {"SESSION_NOT_FOUND", CWS_LOG_FROM_FAILURE},
        {"RUNNER_UNAVAILABLE", CWS_LOG_FROM_FAILURE}, {"RUNNER_DRAINING", CWS_LOG_FROM_FAILURE},
        {"REPLAY_GAP", CWS_LOG_FROM_LAST_ENTRY},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(passing); i++) {
        *out_from = passing[i].from;
        if (strcmp(code, passing[i].code) == 0)
            return true;
    }
    return false;
}

/* A new session must not repeat anything, nor leave anything out. */
static void begin_window_now(struct cws_log *log)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    log->loop_only.window.tail_lines = 0;
    log->loop_only.window.has_since = true;
    log->loop_only.window.since = (struct cws_log_time){now.tv_sec, (int32_t)now.tv_nsec};
}

static void note_failure(struct cws_log *log, uint64_t now_ns)
{
    bool was_open_long =
        log->loop_only.opened_ns && now_ns - log->loop_only.opened_ns >= CWS_LOG_PATIENCE_NS;
    if (log->loop_only.failures == 0 || was_open_long) {
        log->loop_only.failures = 0;
        log->loop_only.failing_since_ns = now_ns;
        if (cws_output_received(&log->output) > 0)
            begin_window_now(log);
    }
    log->loop_only.failures++;
    log->loop_only.opened_ns = 0;
}

static uint64_t pause_of(unsigned failures, uint64_t wish_ns)
{
    if (wish_ns)
        return wish_ns < WISH_MAX_NS ? wish_ns : WISH_MAX_NS;
    uint64_t pause = failures < 8 ? PAUSE_NS << (failures - 1) : PAUSE_MAX_NS;
    return pause < PAUSE_MAX_NS ? pause : PAUSE_MAX_NS;
}

static void forget_session(struct cws_log *log)
{
    cws_free(log->loop_only.session);
    log->loop_only.session = NULL;
    log->loop_only.offset = 0;
}

void cws_log_ask_again(struct cws_log *log, enum cws_log_from from, uint64_t wish_ns)
{
    uint64_t now_ns = cws_clock_now_ns();
    if (from != CWS_LOG_FROM_PLACE)
        forget_session(log);
    /* Without a session, what comes next may not continue the line. */
    if (!log->loop_only.session)
        cws_output_break_line(&log->output);
    note_failure(log, now_ns);
    if (from == CWS_LOG_FROM_LAST_ENTRY && log->loop_only.has_time)
        log->loop_only.window.since = log->loop_only.time;
    uint64_t due_ns = now_ns + pause_of(log->loop_only.failures, wish_ns);
    if (due_ns > log->loop_only.failing_since_ns + CWS_LOG_PATIENCE_NS) {
        cws_log_end(log, CWS_LOG_LOST);
        return;
    }
    log->loop_only.state = CWS_LOG_PAUSING;
    if (cws_timer_set(log->sandbox->loop, &log->loop_only.timer, due_ns) != CWS_OK)
        cws_log_fail(log, CWS_GRPC_RESOURCE_EXHAUSTED, "out of memory for a call");
}

void cws_log_has_recovered(struct cws_log *log)
{
    log->loop_only.failures = 0;
}

void cws_log_unpark(struct cws_log *log)
{
    /* The time when nobody read does not count. */
    log->loop_only.failing_since_ns = cws_clock_now_ns();
    cws_log_ask(log);
}
