#include "io/guest.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

#include "base/clock.h"
#include "base/sigpipe.h"
#include "io/loop_private.h"
#include "io/turn.h"

void cws_guest_init(struct cws_guest *guest, struct cws_loop *loop)
{
    guest->loop = loop;
    guest->is_settled = false;
    atomic_init(&guest->state, CWS_GUEST_AWAKE);
}

/* ---- in the loop ---------------------------------------------------------------------------- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Until the loop has something to do. CWS_GUEST_BUSY: go on. */
static enum cws_guest_run await_event(struct cws_guest *guest, uint64_t deadline_ns)
{
    struct cws_loop *loop = guest->loop;
    struct pollfd events = {.fd = cws_loop_backend_fd(loop), .events = POLLIN};
    uint64_t now_ns = cws_clock_now_ns();
    if (deadline_ns <= now_ns)
        return CWS_GUEST_TIMED_OUT;
    uint64_t left_ns = deadline_ns - now_ns;
    int due_ms = cws_loop_backend_timeout(loop);
    if (due_ms >= 0)
        left_ns = least(left_ns, (uint64_t)due_ms * CWS_NS_PER_MS);
    bool to_look_up = !guest->is_settled && left_ns > CWS_SETTLE_NS;
    if (to_look_up)
        left_ns = CWS_SETTLE_NS;
    struct timespec left = {.tv_sec = (time_t)(left_ns / CWS_NS_PER_S),
                            .tv_nsec = (long)(left_ns % CWS_NS_PER_S)};
    bool unlimited = deadline_ns == CWS_NO_DEADLINE && due_ms < 0 && !to_look_up;
    int found = ppoll(&events, 1, unlimited ? NULL : &left, NULL);
    guest->is_settled = found == 0;
    return (found < 0 && errno == EINTR) || (found == 0 && to_look_up) ? CWS_GUEST_INTERRUPTED
                                                                       : CWS_GUEST_BUSY;
}

static bool is_notified(struct cws_guest *guest)
{
    return atomic_load_explicit(&guest->state, memory_order_acquire) == CWS_GUEST_NOTIFIED;
}

enum cws_guest_run cws_guest_run(struct cws_guest *guest, uint64_t deadline_ns)
{
    struct cws_loop *loop = guest->loop;
    enum cws_guest_run how = CWS_GUEST_BUSY;
    sigset_t signals;
    if (!loop || !cws_turn_enter(cws_loop_turn(loop), CWS_VISIT_WAIT))
        return CWS_GUEST_BUSY;
    bool blocked = cws_sigpipe_block(&signals);
    cws_loop_set_runner(loop);
    while (!is_notified(guest) && how == CWS_GUEST_BUSY && !cws_loop_has_stopped(loop)) {
        cws_loop_run_deferred(loop);
        how = await_event(guest, deadline_ns);
        if (how == CWS_GUEST_BUSY)
            cws_loop_step(loop);
    }
    /* Replies to the last events, such as a PING's acknowledgement, are sent with the next request,
     * or by the owner. */
    cws_turn_leave(cws_loop_turn(loop), CWS_VISIT_WAIT, cws_loop_has_work, loop);
    if (blocked)
        cws_sigpipe_restore(&signals);
    return is_notified(guest) ? CWS_GUEST_DONE : how;
}

void cws_loop_post_here(struct cws_loop *loop, struct cws_task *task)
{
    sigset_t signals;
    if (!cws_turn_enter(cws_loop_turn(loop), CWS_VISIT_POST)) {
        cws_loop_post(loop, task);
        return;
    }
    bool blocked = cws_sigpipe_block(&signals);
    cws_loop_set_runner(loop);
    task->run(task);
    cws_loop_run_deferred(loop);
    cws_turn_leave(cws_loop_turn(loop), CWS_VISIT_POST, cws_loop_has_work, loop);
    if (blocked)
        cws_sigpipe_restore(&signals);
}

void cws_loop_note_outcome(struct cws_loop *loop)
{
    cws_turn_note_outcome(cws_loop_turn(loop));
}

/* ---- asleep --------------------------------------------------------------------------------- */

void cws_guest_sleep(struct cws_guest *guest)
{
    enum cws_guest_state awake = CWS_GUEST_AWAKE;
    if (!guest->loop)
        return;
    cws_turn_wait_begin(cws_loop_turn(guest->loop));
    if (!atomic_compare_exchange_strong(&guest->state, &awake,
                                        CWS_GUEST_ASLEEP)) /* notified meanwhile */
        cws_turn_wait_end(cws_loop_turn(guest->loop), false);
}

void cws_guest_notify(struct cws_guest *guest)
{
    if (atomic_exchange(&guest->state, CWS_GUEST_NOTIFIED) == CWS_GUEST_ASLEEP)
        cws_turn_wait_end(cws_loop_turn(guest->loop), true);
}

void cws_guest_rise(struct cws_guest *guest)
{
    if (atomic_exchange(&guest->state, CWS_GUEST_AWAKE) == CWS_GUEST_ASLEEP)
        cws_turn_wait_end(cws_loop_turn(guest->loop), false);
}

void cws_loop_rely_begin(struct cws_loop *loop)
{
    cws_turn_wait_begin(cws_loop_turn(loop));
}

void cws_loop_rely_end(struct cws_loop *loop)
{
    cws_turn_wait_end(cws_loop_turn(loop), false);
}
