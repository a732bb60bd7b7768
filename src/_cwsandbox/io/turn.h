/*
 * Whose turn it is to run a loop that has a thread of its own: that thread's (the owner), or for a
 * while a thread that would else sleep until the owner has done something for it (a guest). Nobody
 * but who has the turn touches the loop.
 *
 * For a program that starts one command after the other and waits for each, waking the owner for
 * every request and being woken by it for every reply costs more than all the rest. So the owner
 * steps back once it has served the one thread that waited, and nobody else waits; the turn is then
 * nobody's, and whoever comes next may take it without waking anyone. When a short while passes
 * without a guest, or somebody waits who is no guest, the turn is the owner's again.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum cws_turn_state {
    CWS_TURN_OWNER,  /* the owner's */
    CWS_TURN_VACANT, /* nobody's: a guest may take it. Nobody relies on the owner */
    CWS_TURN_CALLED, /* nobody's: the owner is about to take it, so no guest may */
    CWS_TURN_GUEST,  /* a guest's: the owner looks up from time to time */
    CWS_TURN_STAYED, /* a guest's who has had it for long: the owner sleeps until it leaves */
};

/* turn.c has the table of what leads from one state to the next. */
struct cws_turn {
    pthread_cond_t owner_called; /* the owner sleeps on it */
    struct {
        pthread_mutex_t lock; /* guards the rest; `state` may be read without it */
        _Atomic(enum cws_turn_state) state;
        size_t waiting;       /* threads and event loops that rely on the owner */
        unsigned company;     /* services left before the owner steps back: several waited at once
                                 not long ago */
        unsigned long guests; /* turns that guests have taken */
        bool has_served;      /* a thread that could have been a guest was served */
    } synced;
    atomic_bool has_posted; /* a guest has posted, and nobody has asked for what came of it yet */
};

void cws_turn_init(struct cws_turn *turn);
void cws_turn_done(struct cws_turn *turn);

/* What a guest wants with the turn. */
enum cws_visit {
    CWS_VISIT_WAIT, /* to run the loop until what it waits for is there */
    CWS_VISIT_POST, /* to run one task: only once until a guest has waited, so that many posts in a
                       row make one batch */
};

/* Any thread but the owner: takes the turn if it is nobody's and nobody else waits. Never
 * blocks. */
bool cws_turn_enter(struct cws_turn *turn, enum cws_visit visit);

/* The guest gives the turn back. `has_work` is asked under the lock, after the turn was given up:
 * whether something came that nobody else would look at; then the owner is called. */
void cws_turn_leave(struct cws_turn *turn, enum cws_visit visit, bool (*has_work)(void *ctx),
                    void *ctx);

/* Any thread has asked for an outcome and found it there: it is not posting many requests in a
 * row. */
static inline void cws_turn_note_outcome(struct cws_turn *turn)
{
    atomic_store_explicit(&turn->has_posted, false, memory_order_relaxed);
}

/* The owner, between two iterations: steps back if it may, and returns when the turn is its own
 * again. */
void cws_turn_offer(struct cws_turn *turn, bool (*has_work)(void *ctx), void *ctx);

/* Any thread, after something to do was left where who has the turn finds it: sees to it that
 * somebody has it. */
void cws_turn_call(struct cws_turn *turn);

/* Any thread: begins and ends to rely on the owner. `served`: it ends because what was waited for
 * is there, and the thread could have been a guest. */
void cws_turn_wait_begin(struct cws_turn *turn);
void cws_turn_wait_end(struct cws_turn *turn, bool served);
