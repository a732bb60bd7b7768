/*
 * Which thread runs a loop that has a thread of its own. Usually that thread does (the owner). For
 * a while it can be a thread that would otherwise sleep until the owner has done something for it
 * (a guest). Only the thread that has the turn touches the loop.
 *
 * Consider a program that starts one command after the other and waits for each. Waking the owner
 * for every request, and being woken by it for every reply, costs more than everything else. So the
 * owner steps back once it has served the only thread that waited. The turn is then nobody's, and
 * the next guest may take it without waking anyone. The owner takes the turn back when no guest
 * comes for a short while, or when somebody waits who cannot be a guest.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum cws_turn_state {
    CWS_TURN_OWNER,  /* the owner has it */
    CWS_TURN_VACANT, /* nobody has it: a guest may take it. Nobody relies on the owner */
    CWS_TURN_CALLED, /* nobody has it: the owner is about to take it, so no guest may */
    CWS_TURN_GUEST,  /* a guest has it: the owner checks from time to time */
    CWS_TURN_STAYED, /* a guest has had it for long: the owner sleeps until it leaves */
};

/* turn.c has the table of transitions. */
struct cws_turn {
    pthread_cond_t owner_called; /* the owner sleeps on it */
    struct {
        pthread_mutex_t lock; /* guards the rest; `state` may be read without it */
        _Atomic(enum cws_turn_state) state;
        size_t waiting;       /* threads and event loops that rely on the owner */
        unsigned company;     /* several waited at once not long ago: how many more waits the owner
                                 serves before it steps back */
        unsigned long guests; /* turns that guests have taken */
        bool has_served;      /* a thread that could have been a guest was served */
    } synced;
    atomic_bool has_posted; /* a guest has posted, and nobody has asked for the outcome yet */
};

void cws_turn_init(struct cws_turn *turn);
void cws_turn_done(struct cws_turn *turn);

/* What a guest wants the turn for. */
enum cws_visit {
    CWS_VISIT_WAIT, /* to run the loop until the awaited result arrives */
    CWS_VISIT_POST, /* to run one task; granted only once until a guest has waited, so that many
                       posts in a row form one batch */
};

/* Any thread but the owner: takes the turn if nobody has it and nobody else waits. True if taken.
 * Never blocks. */
bool cws_turn_enter(struct cws_turn *turn, enum cws_visit visit);

/* The guest gives the turn back. `has_work` is called under the lock, after the turn was given up.
 * If it says that work has arrived which nobody else would notice, the owner is called. */
void cws_turn_leave(struct cws_turn *turn, enum cws_visit visit, bool (*has_work)(void *ctx),
                    void *ctx);

/* Any thread: it asked for an outcome and found it ready. So it is not posting many requests in a
 * row. */
static inline void cws_turn_note_outcome(struct cws_turn *turn)
{
    atomic_store_explicit(&turn->has_posted, false, memory_order_relaxed);
}

/* The owner, between two iterations: steps back if it may, and returns when it has the turn
 * again. */
void cws_turn_offer(struct cws_turn *turn, bool (*has_work)(void *ctx), void *ctx);

/* Any thread, after it has left work where the thread with the turn finds it: makes sure that some
 * thread has the turn or takes it. */
void cws_turn_call(struct cws_turn *turn);

/* Any thread: begins, and ceases, to rely on the owner. `served`: the awaited result has arrived,
 * and the thread could have been a guest. */
void cws_turn_wait_begin(struct cws_turn *turn);
void cws_turn_wait_end(struct cws_turn *turn, bool served);
