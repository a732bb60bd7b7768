#include "io/turn.h"

#include <errno.h>
#include <time.h>

#include "base/clock.h"

/* How long the turn stays vacant, at most: work that nobody waits for is done that much later. */
#define VACANCY_NS (2 * CWS_NS_PER_MS)

/* After several have waited at once, the owner serves this many more before it steps back. */
#define COMPANY 32

void cws_turn_init(struct cws_turn *turn)
{
    pthread_condattr_t attr;
    *turn = (struct cws_turn){.synced.state = CWS_TURN_OWNER};
    pthread_mutex_init(&turn->synced.lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&turn->owner_called, &attr);
    pthread_condattr_destroy(&attr);
}

void cws_turn_done(struct cws_turn *turn)
{
    pthread_cond_destroy(&turn->owner_called);
    pthread_mutex_destroy(&turn->synced.lock);
}

/* ---- states --------------------------------------------------------------------------------- */

enum event {
    EVENT_OFFER, /* the owner steps back */
    EVENT_ENTER, /* a guest takes the turn */
    EVENT_LEAVE, /* … and gives it back */
    EVENT_CALL,  /* there is work, or somebody relies on the owner */
    EVENT_PAUSE, /* VACANCY_NS have passed without a guest that looks at what arrives */
    EVENT_TAKE,  /* the owner would like to have it */
    EVENT_COUNT,
};

enum effect {
    IGNORE, /* the event means nothing in this state */
    MOVE,
    WAKE, /* move, and wake the owner */
};

/* Whoever has the turn finds work by itself, at the latest when giving the turn back. So OWNER,
 * GUEST and STAYED ignore calls. */
static const struct {
    enum effect effect;
    enum cws_turn_state next;
} transitions[][EVENT_COUNT] = {
    [CWS_TURN_OWNER] =
        {
            [EVENT_OFFER] = {MOVE, CWS_TURN_VACANT},
        },
    [CWS_TURN_VACANT] =
        {
            [EVENT_ENTER] = {MOVE, CWS_TURN_GUEST},
            [EVENT_CALL] = {WAKE, CWS_TURN_CALLED},
            [EVENT_PAUSE] = {MOVE, CWS_TURN_CALLED}, /* the owner itself has waited */
        },
    [CWS_TURN_CALLED] =
        {
            [EVENT_TAKE] = {MOVE, CWS_TURN_OWNER},
        },
    [CWS_TURN_GUEST] =
        {
            [EVENT_LEAVE] = {MOVE, CWS_TURN_VACANT}, /* the owner checks soon enough */
            [EVENT_PAUSE] = {MOVE, CWS_TURN_STAYED},
        },
    [CWS_TURN_STAYED] =
        {
            [EVENT_LEAVE] = {WAKE, CWS_TURN_VACANT}, /* to wait for a while only */
        },
};

static enum cws_turn_state state_of(struct cws_turn *turn)
{
    return atomic_load_explicit(&turn->synced.state, memory_order_relaxed);
}

/* False: the event is ignored. The store is sequentially consistent for threads that leave work
 * behind and then ask whether somebody has the turn (cws_turn_call). */
static bool happen_lock_held(struct cws_turn *turn, enum event event)
{
    enum cws_turn_state state = state_of(turn);
    if (transitions[state][event].effect == IGNORE)
        return false;
    atomic_store(&turn->synced.state, transitions[state][event].next);
    if (transitions[state][event].effect == WAKE)
        pthread_cond_signal(&turn->owner_called);
    return true;
}

/* ---- guests --------------------------------------------------------------------------------- */

/* A second post in a row goes to the owner, as one of a batch. */
static bool may_visit(struct cws_turn *turn, enum cws_visit visit)
{
    return visit == CWS_VISIT_WAIT ||
           !atomic_load_explicit(&turn->has_posted, memory_order_relaxed);
}

bool cws_turn_enter(struct cws_turn *turn, enum cws_visit visit)
{
    if (state_of(turn) != CWS_TURN_VACANT)
        return false; /* the usual case, without the lock */
    pthread_mutex_lock(&turn->synced.lock);
    bool has_entered = may_visit(turn, visit) && happen_lock_held(turn, EVENT_ENTER);
    /* A guest that only posts does not look at what arrives, so the owner must. */
    turn->synced.guests += has_entered && visit == CWS_VISIT_WAIT;
    pthread_mutex_unlock(&turn->synced.lock);
    return has_entered;
}

void cws_turn_leave(struct cws_turn *turn, enum cws_visit visit, bool (*has_work)(void *ctx),
                    void *ctx)
{
    pthread_mutex_lock(&turn->synced.lock);
    atomic_store_explicit(&turn->has_posted, visit == CWS_VISIT_POST, memory_order_relaxed);
    happen_lock_held(turn, EVENT_LEAVE);
    if (turn->synced.waiting || has_work(ctx))
        happen_lock_held(turn, EVENT_CALL);
    pthread_mutex_unlock(&turn->synced.lock);
}

/* ---- the owner ------------------------------------------------------------------------------ */

/* False when VACANCY_NS have passed. */
static bool sleep_for_vacancy(struct cws_turn *turn)
{
    uint64_t due_ns = cws_clock_now_ns() + VACANCY_NS;
    struct timespec due = {.tv_sec = (time_t)(due_ns / CWS_NS_PER_S),
                           .tv_nsec = (long)(due_ns % CWS_NS_PER_S)};
    return pthread_cond_timedwait(&turn->owner_called, &turn->synced.lock, &due) != ETIMEDOUT;
}

/* Until the owner is called or no guest has come for a while. */
static void take_lock_held(struct cws_turn *turn)
{
    unsigned long seen = turn->synced.guests;
    while (!happen_lock_held(turn, EVENT_TAKE)) {
        if (state_of(turn) == CWS_TURN_STAYED)
            pthread_cond_wait(&turn->owner_called, &turn->synced.lock);
        else if (!sleep_for_vacancy(turn)) {
            if (turn->synced.guests == seen)
                happen_lock_held(turn, EVENT_PAUSE);
            seen = turn->synced.guests;
        }
    }
}

void cws_turn_offer(struct cws_turn *turn, bool (*has_work)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&turn->synced.lock);
    bool may_offer = turn->synced.has_served && !turn->synced.waiting;
    turn->synced.has_served = false;
    if (may_offer && turn->synced.company)
        turn->synced.company--;
    else if (may_offer) {
        cws_turn_note_outcome(turn);
        happen_lock_held(turn, EVENT_OFFER);
        if (has_work(ctx))
            happen_lock_held(turn, EVENT_CALL);
        take_lock_held(turn);
    }
    pthread_mutex_unlock(&turn->synced.lock);
}

/* ---- any thread ----------------------------------------------------------------------------- */

void cws_turn_call(struct cws_turn *turn)
{
    enum cws_turn_state state = atomic_load(&turn->synced.state);
    if (state != CWS_TURN_VACANT && state != CWS_TURN_CALLED)
        return; /* without the lock: the event would be ignored */
    pthread_mutex_lock(&turn->synced.lock);
    happen_lock_held(turn, EVENT_CALL);
    pthread_mutex_unlock(&turn->synced.lock);
}

void cws_turn_wait_begin(struct cws_turn *turn)
{
    pthread_mutex_lock(&turn->synced.lock);
    enum cws_turn_state state = state_of(turn);
    if (turn->synced.waiting++ || state == CWS_TURN_GUEST || state == CWS_TURN_STAYED)
        turn->synced.company = COMPANY;
    happen_lock_held(turn, EVENT_CALL);
    pthread_mutex_unlock(&turn->synced.lock);
}

void cws_turn_wait_end(struct cws_turn *turn, bool served)
{
    pthread_mutex_lock(&turn->synced.lock);
    turn->synced.waiting--;
    turn->synced.has_served |= served;
    pthread_mutex_unlock(&turn->synced.lock);
}
