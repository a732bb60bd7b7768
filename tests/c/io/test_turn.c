/* io/turn: who may run the loop, and that somebody always does when there is something to do. */
#include "support/unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "io/turn.h"

static bool no_work(void *ctx)
{
    (void)ctx;
    return false;
}

static bool work(void *ctx)
{
    (void)ctx;
    return true;
}

static void serve(struct cws_turn *turn)
{
    cws_turn_wait_begin(turn);
    cws_turn_wait_end(turn, true);
}

/* An owner that has served somebody each time before it offers the turn. */
struct owner {
    struct cws_turn turn;
    void *before; /* unit_set_up's */
    pthread_t thread;
    atomic_bool quit;
    atomic_size_t offers;
};

static void *run_owner(void *arg)
{
    struct owner *owner = arg;
    while (!atomic_load(&owner->quit)) {
        serve(&owner->turn);
        cws_turn_offer(&owner->turn, no_work, NULL);
        atomic_fetch_add(&owner->offers, 1);
    }
    return NULL;
}

static int owner_start(void **state)
{
    unit_set_up(state);
    struct owner *owner = test_calloc(1, sizeof(*owner));
    owner->before = *state;
    cws_turn_init(&owner->turn);
    *state = owner;
    return pthread_create(&owner->thread, NULL, run_owner, owner);
}

static int owner_join(void **state)
{
    struct owner *owner = *state;
    atomic_store(&owner->quit, true);
    pthread_join(owner->thread, NULL);
    cws_turn_done(&owner->turn);
    *state = owner->before;
    test_free(owner);
    return unit_tear_down(state);
}

#define OWNER_TEST(function) cmocka_unit_test_setup_teardown(function, owner_start, owner_join)

static void enter(struct owner *owner, enum cws_visit visit)
{
    while (!cws_turn_enter(&owner->turn, visit))
        sched_yield();
}

static void await_offer(struct owner *owner, size_t before)
{
    while (atomic_load(&owner->offers) == before)
        sched_yield();
}

static void test_nobody_enters_while_the_owner_has_the_turn(void **state)
{
    (void)state;
    struct cws_turn turn;
    cws_turn_init(&turn);
    assert_false(cws_turn_enter(&turn, CWS_VISIT_WAIT));
    assert_false(cws_turn_enter(&turn, CWS_VISIT_POST));
    cws_turn_offer(&turn, no_work, NULL); /* nobody was served: it keeps the turn */
    assert_false(cws_turn_enter(&turn, CWS_VISIT_WAIT));
    cws_turn_done(&turn);
}

static void test_an_owner_with_work_keeps_the_turn(void **state)
{
    (void)state;
    struct cws_turn turn;
    cws_turn_init(&turn);
    serve(&turn);
    cws_turn_offer(&turn, work, NULL);
    assert_false(cws_turn_enter(&turn, CWS_VISIT_WAIT));
    cws_turn_done(&turn);
}

static void test_an_owner_whom_others_wait_for_keeps_the_turn(void **state)
{
    (void)state;
    struct cws_turn turn;
    cws_turn_init(&turn);
    cws_turn_wait_begin(&turn);
    serve(&turn);
    cws_turn_offer(&turn, no_work, NULL);
    assert_false(cws_turn_enter(&turn, CWS_VISIT_WAIT));
    cws_turn_wait_end(&turn, false);
    cws_turn_done(&turn);
}

static void test_several_who_waited_at_once_keep_the_owner_for_a_while(void **state)
{
    (void)state;
    struct cws_turn turn;
    cws_turn_init(&turn);
    cws_turn_wait_begin(&turn);
    serve(&turn);
    cws_turn_wait_end(&turn, true);
    for (int i = 0; i < 10; i++) { /* returns at once each time, else nobody would end the test */
        serve(&turn);
        cws_turn_offer(&turn, no_work, NULL);
        assert_false(cws_turn_enter(&turn, CWS_VISIT_WAIT));
    }
    cws_turn_done(&turn);
}

/* --- what leads from one state to the next --- */

static void enter_to_wait(struct cws_turn *turn)
{
    bool may_enter = atomic_load(&turn->synced.state) == CWS_TURN_VACANT;
    assert_int_equal(cws_turn_enter(turn, CWS_VISIT_WAIT), may_enter);
}

static void leave(struct cws_turn *turn)
{
    cws_turn_leave(turn, CWS_VISIT_WAIT, no_work, NULL);
}

static void leave_work(struct cws_turn *turn)
{
    cws_turn_leave(turn, CWS_VISIT_WAIT, work, NULL);
}

static void begin_to_wait(struct cws_turn *turn)
{
    cws_turn_wait_begin(turn);
    cws_turn_wait_end(turn, false); /* who has called the owner cannot take it back */
}

static void test_states(void **state)
{
    (void)state;
    enum { OWNER, VACANT, CALLED, GUEST, STAYED }; /* as enum cws_turn_state */
    static const struct {
        void (*act)(struct cws_turn *turn);
        int next[5]; /* of each state */
    } rows[] = {
        {enter_to_wait, {OWNER, GUEST, CALLED, GUEST, STAYED}},
        {leave, {OWNER, VACANT, CALLED, VACANT, VACANT}},
        {leave_work, {OWNER, CALLED, CALLED, CALLED, CALLED}},
        {cws_turn_call, {OWNER, CALLED, CALLED, GUEST, STAYED}},
        {begin_to_wait, {OWNER, CALLED, CALLED, GUEST, STAYED}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        for (int from = OWNER; from <= STAYED; from++) {
            struct cws_turn turn;
            cws_turn_init(&turn);
            atomic_store(&turn.synced.state, (enum cws_turn_state)from);
            rows[i].act(&turn);
            assert_int_equal(atomic_load(&turn.synced.state), rows[i].next[from]);
            cws_turn_done(&turn);
        }
}

static void test_one_guest_at_a_time_and_the_owner_waits(void **state)
{
    struct owner *owner = *state;
    for (int i = 0; i < 100; i++) {
        enter(owner, CWS_VISIT_WAIT);
        size_t offers = atomic_load(&owner->offers);
        assert_false(cws_turn_enter(&owner->turn, CWS_VISIT_WAIT));
        sched_yield();
        assert_int_equal(atomic_load(&owner->offers), offers);
        cws_turn_leave(&owner->turn, CWS_VISIT_WAIT, no_work, NULL);
    }
}

static void test_the_owner_waits_for_a_guest_that_stays_long(void **state)
{
    struct owner *owner = *state;
    enter(owner, CWS_VISIT_WAIT);
    size_t offers = atomic_load(&owner->offers);
    while (atomic_load(&owner->turn.synced.state) != CWS_TURN_STAYED)
        sched_yield(); /* until the owner has given up looking */
    assert_int_equal(atomic_load(&owner->offers), offers);
    cws_turn_leave(&owner->turn, CWS_VISIT_WAIT, no_work, NULL);
    await_offer(owner, offers); /* nobody came: it took the turn by itself */
}

static void test_only_the_first_post_is_a_guests(void **state)
{
    struct owner *owner = *state;
    bool again = true;
    /* The owner may have taken and offered the turn in between, which lets a second one in: not
     * every time. */
    for (int i = 0; i < 1000 && again; i++) {
        enter(owner, CWS_VISIT_POST);
        cws_turn_leave(&owner->turn, CWS_VISIT_POST, no_work, NULL);
        again = cws_turn_enter(&owner->turn, CWS_VISIT_POST);
        if (again)
            cws_turn_leave(&owner->turn, CWS_VISIT_POST, no_work, NULL);
    }
    assert_false(again);
    enter(owner, CWS_VISIT_WAIT);
    cws_turn_leave(&owner->turn, CWS_VISIT_WAIT, no_work, NULL);
}

static void test_after_an_outcome_a_guest_may_post_again(void **state)
{
    struct owner *owner = *state;
    bool again = false;
    while (!again) { /* the owner may have taken the turn in between */
        enter(owner, CWS_VISIT_POST);
        cws_turn_leave(&owner->turn, CWS_VISIT_POST, no_work, NULL);
        cws_turn_note_outcome(&owner->turn);
        again = cws_turn_enter(&owner->turn, CWS_VISIT_POST);
        if (again)
            cws_turn_leave(&owner->turn, CWS_VISIT_POST, no_work, NULL);
    }
}

/* What comes in is to be looked at, however often a program writes without waiting for anything. */
static void test_who_only_posts_does_not_keep_the_owner_away(void **state)
{
    struct owner *owner = *state;
    enter(owner, CWS_VISIT_POST);
    size_t offers = atomic_load(&owner->offers);
    cws_turn_leave(&owner->turn, CWS_VISIT_POST, no_work, NULL);
    while (atomic_load(&owner->offers) == offers) {
        cws_turn_note_outcome(&owner->turn);
        if (cws_turn_enter(&owner->turn, CWS_VISIT_POST))
            cws_turn_leave(&owner->turn, CWS_VISIT_POST, no_work, NULL);
    }
}

static void test_work_left_by_a_guest_calls_the_owner(void **state)
{
    struct owner *owner = *state;
    for (int i = 0; i < 100; i++) {
        enter(owner, CWS_VISIT_WAIT);
        size_t offers = atomic_load(&owner->offers);
        cws_turn_leave(&owner->turn, CWS_VISIT_WAIT, work, NULL);
        await_offer(owner, offers);
    }
}

static void test_who_begins_to_wait_calls_the_owner(void **state)
{
    struct owner *owner = *state;
    enter(owner, CWS_VISIT_WAIT);
    size_t offers = atomic_load(&owner->offers);
    cws_turn_wait_begin(&owner->turn); /* while a guest has the turn: when it leaves */
    assert_int_equal(atomic_load(&owner->offers), offers);
    cws_turn_leave(&owner->turn, CWS_VISIT_WAIT, no_work, NULL);
    assert_false(cws_turn_enter(&owner->turn, CWS_VISIT_WAIT));
    await_offer(owner, offers);
    cws_turn_wait_end(&owner->turn, false);
}

static void test_a_call_while_nobody_has_the_turn_is_heard(void **state)
{
    struct owner *owner = *state;
    for (int i = 0; i < 100; i++) {
        enter(owner, CWS_VISIT_WAIT);
        size_t offers = atomic_load(&owner->offers);
        cws_turn_leave(&owner->turn, CWS_VISIT_WAIT, no_work, NULL);
        cws_turn_call(&owner->turn);
        await_offer(owner, offers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_nobody_enters_while_the_owner_has_the_turn),
        UNIT_TEST(test_an_owner_with_work_keeps_the_turn),
        UNIT_TEST(test_an_owner_whom_others_wait_for_keeps_the_turn),
        UNIT_TEST(test_several_who_waited_at_once_keep_the_owner_for_a_while),
        UNIT_TEST(test_states),
        OWNER_TEST(test_one_guest_at_a_time_and_the_owner_waits),
        OWNER_TEST(test_the_owner_waits_for_a_guest_that_stays_long),
        OWNER_TEST(test_only_the_first_post_is_a_guests),
        OWNER_TEST(test_after_an_outcome_a_guest_may_post_again),
        OWNER_TEST(test_who_only_posts_does_not_keep_the_owner_away),
        OWNER_TEST(test_work_left_by_a_guest_calls_the_owner),
        OWNER_TEST(test_who_begins_to_wait_calls_the_owner),
        OWNER_TEST(test_a_call_while_nobody_has_the_turn_is_heard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
