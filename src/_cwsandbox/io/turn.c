#include "io/turn.h"

#include <errno.h>
#include <time.h>

#include "base/clock.h"

/* How long the turn stays nobody's, at most: so much later, too, is done what nobody waits for. */
#define VACANCY_NS (2 * CWS_NS_PER_MS)

/* After several have waited at once the owner serves so many more before it steps back. */
#define COMPANY 32

void cws_turn_init(struct cws_turn *turn)
{
    pthread_condattr_t attr;
    *turn = (struct cws_turn){.holder = CWS_TURN_OWNER};
    pthread_mutex_init(&turn->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&turn->owner_called, &attr);
    pthread_condattr_destroy(&attr);
}

void cws_turn_done(struct cws_turn *turn)
{
    pthread_cond_destroy(&turn->owner_called);
    pthread_mutex_destroy(&turn->lock);
}

static enum cws_turn_holder holder_of(struct cws_turn *turn)
{
    return atomic_load_explicit(&turn->holder, memory_order_relaxed);
}

/* Sequentially consistent, for who leaves work behind and then asks whether somebody has the turn
 * (cws_turn_call). */
static void set_holder(struct cws_turn *turn, enum cws_turn_holder holder)
{
    atomic_store(&turn->holder, holder);
}

static void call_owner(struct cws_turn *turn)
{
    turn->called = true;
    pthread_cond_signal(&turn->owner_called);
}

/* ---- guests --------------------------------------------------------------------------------- */

bool cws_turn_enter(struct cws_turn *turn, enum cws_visit visit)
{
    bool may_enter = false;
    if (holder_of(turn) != CWS_TURN_NOBODY)
        return false; /* the usual case, without the lock */
    pthread_mutex_lock(&turn->lock);
    if (holder_of(turn) == CWS_TURN_NOBODY && !turn->waiting && !turn->called &&
        !(visit == CWS_VISIT_POST &&
          atomic_load_explicit(&turn->has_posted, memory_order_relaxed))) {
        may_enter = true;
        /* Who only posts does not look at what comes in, so the owner must. */
        turn->guests += visit == CWS_VISIT_WAIT;
        set_holder(turn, CWS_TURN_GUEST);
    }
    pthread_mutex_unlock(&turn->lock);
    return may_enter;
}

void cws_turn_leave(struct cws_turn *turn, enum cws_visit visit, bool (*has_work)(void *ctx),
                    void *ctx)
{
    pthread_mutex_lock(&turn->lock);
    atomic_store_explicit(&turn->has_posted, visit == CWS_VISIT_POST, memory_order_relaxed);
    set_holder(turn, CWS_TURN_NOBODY);
    if (turn->called || turn->waiting || has_work(ctx)) {
        call_owner(turn);
    } else if (turn->owner_is_off) { /* it is to take the turn if no other guest comes */
        turn->owner_is_off = false;
        pthread_cond_signal(&turn->owner_called);
    }
    pthread_mutex_unlock(&turn->lock);
}

/* ---- the owner ------------------------------------------------------------------------------ */

/* False when VACANCY_NS have passed. */
static bool sleep_for_vacancy(struct cws_turn *turn)
{
    uint64_t due_ns = cws_clock_now_ns() + VACANCY_NS;
    struct timespec due = {.tv_sec = (time_t)(due_ns / CWS_NS_PER_S),
                           .tv_nsec = (long)(due_ns % CWS_NS_PER_S)};
    return pthread_cond_timedwait(&turn->owner_called, &turn->lock, &due) != ETIMEDOUT;
}

/* Until the owner is called or no guest has come for a while. */
static void await_turn(struct cws_turn *turn)
{
    unsigned long seen = turn->guests;
    while (!turn->called || holder_of(turn) == CWS_TURN_GUEST) {
        if (turn->owner_is_off || turn->called) {
            pthread_cond_wait(&turn->owner_called, &turn->lock);
        } else if (!sleep_for_vacancy(turn)) {
            if (turn->guests != seen)
                seen = turn->guests;
            else if (holder_of(turn) == CWS_TURN_GUEST)
                turn->owner_is_off = true;
            else
                return;
        }
    }
}

void cws_turn_offer(struct cws_turn *turn, bool (*has_work)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&turn->lock);
    bool may_offer = turn->has_served && !turn->waiting && !turn->called;
    turn->has_served = false;
    if (may_offer && turn->company)
        turn->company--;
    else if (may_offer) {
        cws_turn_note_outcome(turn);
        set_holder(turn, CWS_TURN_NOBODY);
        if (!has_work(ctx))
            await_turn(turn);
        turn->owner_is_off = false;
        set_holder(turn, CWS_TURN_OWNER);
    }
    turn->called = false;
    pthread_mutex_unlock(&turn->lock);
}

/* ---- any thread ----------------------------------------------------------------------------- */

void cws_turn_call(struct cws_turn *turn)
{
    if (atomic_load(&turn->holder) != CWS_TURN_NOBODY)
        return; /* who has the turn finds it, at the latest when giving the turn back */
    pthread_mutex_lock(&turn->lock);
    if (holder_of(turn) == CWS_TURN_NOBODY)
        call_owner(turn);
    pthread_mutex_unlock(&turn->lock);
}

void cws_turn_wait_begin(struct cws_turn *turn)
{
    pthread_mutex_lock(&turn->lock);
    if (turn->waiting++ || holder_of(turn) == CWS_TURN_GUEST)
        turn->company = COMPANY;
    if (holder_of(turn) == CWS_TURN_NOBODY)
        call_owner(turn);
    pthread_mutex_unlock(&turn->lock);
}

void cws_turn_wait_end(struct cws_turn *turn, bool served)
{
    pthread_mutex_lock(&turn->lock);
    turn->waiting--;
    turn->has_served |= served;
    pthread_mutex_unlock(&turn->lock);
}
