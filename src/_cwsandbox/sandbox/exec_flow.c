/*
 * How much of a command's output is kept, and whether it is held back meanwhile.
 *
 * If only unread output is kept, bytes that a reader may still take hold the command back through
 * its stream's flow-control window. But nobody may wait for something that this prevents. So while
 * somebody waits for the end, or for one of the two streams, a stream without a reader is dropped
 * except for its last bytes.
 */
#include "sandbox/exec.h"
#include "sandbox/sandbox.h"

static void post(struct cws_exec *exec)
{
    if (atomic_exchange(&exec->shared.flow_posted, true))
        return;
    cws_exec_ref(exec);
    cws_loop_post(exec->sandbox->loop, &exec->flow_task);
}

static void post_while_running(struct cws_exec *exec)
{
    if (!cws_future_is_done(&exec->future))
        post(exec);
}

static bool keeps_unread(const struct cws_exec *exec)
{
    return exec->out.kept == CWS_OUTPUT_UNREAD;
}

static bool is_closed(const struct cws_output *output)
{
    return atomic_load(&output->shared.closed);
}

enum { OUT_READER = 1, ERR_READER = 2, END_WAITER = 4 };

/* Who waits for something that has not arrived yet. */
static unsigned waits_for(struct cws_exec *exec)
{
    return (cws_output_is_waited_for(&exec->out) ? OUT_READER : 0) |
           (cws_output_is_waited_for(&exec->err) ? ERR_READER : 0) |
           (cws_future_is_observed(&exec->future) ? END_WAITER : 0);
}

/* Bytes of this stream that hold the command back. */
static size_t held_by(struct cws_output *output, bool others_wait)
{
    if (is_closed(output)) {
        cws_output_discard(output);
        return 0;
    }
    if (others_wait && cws_output_let_go(output, CWS_EXEC_UNREAD_MAX))
        return 0;
    return cws_output_held(output);
}

static size_t held_by_both(struct cws_exec *exec, unsigned waiting)
{
    return held_by(&exec->out, waiting & (ERR_READER | END_WAITER)) +
           held_by(&exec->err, waiting & (OUT_READER | END_WAITER));
}

static void hold_back(struct cws_exec *exec)
{
    unsigned waiting = waits_for(exec), before;
    size_t held;
    do { /* whoever begins to wait meanwhile has seen the old number */
        before = waiting;
        held = held_by_both(exec, waiting);
        atomic_store(&exec->shared.held, held);
        waiting = waits_for(exec);
    } while (waiting & ~before);
    if (exec->loop_only.call)
        cws_call_set_held(exec->loop_only.call, held);
}

static void discard_both(struct cws_exec *exec)
{
    cws_output_discard(&exec->out);
    cws_output_discard(&exec->err);
}

void cws_exec_flow_update(struct cws_exec *exec)
{
    struct cws_output *out = &exec->out, *err = &exec->err;
    if (atomic_load(&exec->shared.keepers) == 0) {
        discard_both(exec);
        if (keeps_unread(exec) && exec->loop_only.call)
            cws_call_set_held(exec->loop_only.call, 0);
    } else if (exec->end != CWS_EXEC_RUNNING) {
        return;
    } else if (keeps_unread(exec)) {
        hold_back(exec);
    } else if (out->kept == CWS_OUTPUT_ALL && is_closed(out) && is_closed(err)) {
        cws_output_limit(out, CWS_EXEC_CLOSED_MAX);
        cws_output_limit(err, CWS_EXEC_CLOSED_MAX);
    }
}

static void run_flow(struct cws_task *task)
{
    struct cws_exec *exec = cws_container_of(task, struct cws_exec, flow_task);
    atomic_store(&exec->shared.flow_posted, false);
    cws_exec_flow_update(exec);
    cws_exec_unref(exec); /* the task's */
}

/* As long as little is held, the window has room whoever waits. */
static void update_if_held(struct cws_exec *exec)
{
    if (atomic_load(&exec->shared.held) >= CWS_OUTPUT_REPORT)
        post_while_running(exec);
}

static void on_taken_of_out(struct cws_output *output)
{
    update_if_held(cws_container_of(output, struct cws_exec, out));
}

static void on_taken_of_err(struct cws_output *output)
{
    update_if_held(cws_container_of(output, struct cws_exec, err));
}

static void on_observed(struct cws_future *future)
{
    post_while_running(cws_container_of(future, struct cws_exec, future));
}

void cws_exec_flow_init(struct cws_exec *exec, const struct cws_exec_options *options)
{
    atomic_init(&exec->shared.keepers, 1);
    atomic_init(&exec->shared.flow_posted, false);
    atomic_init(&exec->shared.held, 0);
    exec->flow_task.run = run_flow;
    if (options->kept == CWS_OUTPUT_UNREAD) {
        cws_output_keep_unread(&exec->out, on_taken_of_out);
        cws_output_keep_unread(&exec->err, on_taken_of_err);
        exec->future.on_observed = on_observed;
    } else if (options->kept == CWS_OUTPUT_ENDS) {
        cws_output_keep_ends(&exec->out, options->output_max);
        cws_output_keep_ends(&exec->err, options->output_max);
    }
}

bool cws_exec_keep(struct cws_exec *exec)
{
    int keepers = atomic_load(&exec->shared.keepers);
    do {
        if (keepers == 0)
            return false;
    } while (!atomic_compare_exchange_weak(&exec->shared.keepers, &keepers, keepers + 1));
    cws_exec_ref(exec);
    return true;
}

void cws_exec_let_go(struct cws_exec *exec)
{
    bool is_last = atomic_fetch_sub(&exec->shared.keepers, 1) == 1;
    if (is_last && cws_future_is_done(&exec->future))
        discard_both(exec); /* nothing is added to it any more */
    else if (is_last)
        post(exec);
    cws_exec_unref(exec);
}

void cws_exec_close_output(struct cws_exec *exec, struct cws_output *output)
{
    cws_output_close(output);
    if (keeps_unread(exec) || (is_closed(&exec->out) && is_closed(&exec->err)))
        post_while_running(exec);
}
