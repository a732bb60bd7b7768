/* io/timer: deadlines fire in order, and the heap keeps its shape whatever is set, moved and
 * cancelled. */
#include "support/peer.h"

#include "io/loop_private.h"
#include "io/timer.h"

enum { MANY = 500 };

struct fixture {
    struct cws_loop *loop;
    size_t live;
    unsigned fired;
    uint64_t last_due;
};

struct alarm_clock {
    struct cws_timer timer;
    struct fixture *f;
    unsigned fired;
    uint64_t due_ns;
    void (*also)(struct alarm_clock *clock);
    struct alarm_clock *other;
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    f->live = cws_alloc_live();
    f->loop = loop_open();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    cws_alloc_fail_at(0);
    loop_close(f->loop);
    bool clean = cws_alloc_live() == f->live;
    test_free(f);
    return clean ? 0 : -1;
}

static void on_fire(struct cws_timer *timer)
{
    struct alarm_clock *clock = cws_container_of(timer, struct alarm_clock, timer);
    assert_true(cws_clock_now_ns() >= clock->due_ns); /* never early */
    assert_int_equal(timer->index, 0);                /* unset by then */
    clock->fired++;
    clock->f->fired++;
    if (clock->also) {
        clock->also(clock);
        return;
    }
    assert_true(clock->due_ns >= clock->f->last_due); /* the earliest first */
    clock->f->last_due = clock->due_ns;
}

static void clock_init(struct alarm_clock *clock, struct fixture *f)
{
    *clock = (struct alarm_clock){.f = f};
    cws_timer_init(&clock->timer, on_fire);
}

static void clock_set(struct alarm_clock *clock, uint64_t due_ns)
{
    clock->due_ns = due_ns;
    assert_int_equal(cws_timer_set(clock->f->loop, &clock->timer, due_ns), CWS_OK);
}

/* Each parent is due no later than its children, and every timer knows its place. */
static void check_heap(struct cws_loop *loop, size_t count)
{
    struct cws_timers *timers = cws_loop_timers(loop);
    assert_int_equal(timers->count, count);
    for (size_t i = 0; i < timers->count; i++) {
        assert_int_equal(timers->heap[i]->index, i + 1);
        if (i > 0)
            assert_true(timers->heap[(i - 1) / 2]->due_ns <= timers->heap[i]->due_ns);
    }
}

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

static void test_the_heap_keeps_its_shape(void **state)
{
    struct fixture *f = *state;
    struct alarm_clock *clocks = test_calloc(MANY, sizeof(*clocks));
    bool set[MANY] = {false};
    size_t count = 0;
    uint64_t far = cws_clock_now_ns() + 3600 * CWS_NS_PER_S, seed = 7;
    for (size_t i = 0; i < MANY; i++)
        clock_init(&clocks[i], f);
    for (int round = 0; round < 20000; round++) {
        size_t i = next_random(&seed) % MANY;
        if (next_random(&seed) % 3) {
            clock_set(&clocks[i], far + next_random(&seed) % 1000);
            count += !set[i];
            set[i] = true;
        } else {
            cws_timer_cancel(f->loop, &clocks[i].timer);
            count -= set[i];
            set[i] = false;
        }
        if (round % 50 == 0)
            check_heap(f->loop, count);
    }
    uint64_t before = 0;
    for (struct cws_timer *t; (t = cws_timers_pop_due(cws_loop_timers(f->loop), far + 1000));
         count--) {
        assert_true(t->due_ns >= before);
        before = t->due_ns;
    }
    assert_int_equal(count, 0);
    check_heap(f->loop, 0);
    test_free(clocks);
}

static void test_only_what_is_due_is_popped(void **state)
{
    struct fixture *f = *state;
    struct alarm_clock clock;
    uint64_t far = cws_clock_now_ns() + 3600 * CWS_NS_PER_S;
    clock_init(&clock, f);
    struct cws_timers *timers = cws_loop_timers(f->loop);
    assert_null(cws_timers_pop_due(timers, UINT64_MAX));
    clock_set(&clock, far);
    assert_null(cws_timers_pop_due(timers, far - 1));
    assert_ptr_equal(cws_timers_pop_due(timers, far), &clock.timer);
    assert_null(cws_timers_pop_due(timers, far));
}

static void test_timers_fire_in_order(void **state)
{
    struct fixture *f = *state;
    struct alarm_clock *clocks = test_calloc(MANY, sizeof(*clocks));
    uint64_t now = cws_clock_now_ns(), seed = 3;
    for (size_t i = 0; i < MANY; i++) {
        clock_init(&clocks[i], f);
        clock_set(&clocks[i], now + next_random(&seed) % (20 * CWS_NS_PER_MS));
    }
    PUMP_UNTIL(f->loop, f->fired == MANY);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(clocks[i].fired, 1);
    check_heap(f->loop, 0);
    test_free(clocks);
}

static void test_a_past_deadline_fires_at_the_next_turn(void **state)
{
    struct fixture *f = *state;
    struct alarm_clock clock;
    clock_init(&clock, f);
    clock_set(&clock, 0);
    assert_int_equal(clock.fired, 0); /* not from inside set */
    PUMP_UNTIL(f->loop, clock.fired);
    assert_int_equal(clock.fired, 1);
}

static void test_moving_a_timer(void **state)
{
    struct fixture *f = *state;
    struct alarm_clock late, soon;
    uint64_t far = cws_clock_now_ns() + 3600 * CWS_NS_PER_S;
    clock_init(&late, f);
    clock_init(&soon, f);
    clock_set(&late, far);
    clock_set(&soon, 0);
    clock_set(&soon, far - 1); /* later than it was */
    settle(f->loop);
    assert_int_equal(f->fired, 0);
    clock_set(&late, cws_clock_now_ns()); /* earlier, ahead of the other */
    PUMP_UNTIL(f->loop, late.fired);
    assert_int_equal(soon.fired, 0);
    check_heap(f->loop, 1);
    cws_timer_cancel(f->loop, &soon.timer);
}

static void test_cancelled_timers_do_not_fire(void **state)
{
    struct fixture *f = *state;
    struct alarm_clock gone, unset, last;
    uint64_t now = cws_clock_now_ns();
    clock_init(&gone, f);
    clock_init(&unset, f);
    clock_init(&last, f);
    cws_timer_cancel(f->loop, &gone.timer); /* not set: harmless */
    clock_set(&gone, now);
    clock_set(&unset, now);
    clock_set(&last, now + 2 * CWS_NS_PER_MS);
    cws_timer_cancel(f->loop, &gone.timer);
    cws_timer_cancel(f->loop, &gone.timer);
    assert_int_equal(cws_timer_set(f->loop, &unset.timer, CWS_NO_DEADLINE), CWS_OK);
    PUMP_UNTIL(f->loop, last.fired);
    assert_int_equal(f->fired, 1);
}

static void cancel_other(struct alarm_clock *clock)
{
    cws_timer_cancel(clock->f->loop, &clock->other->timer);
}

static void test_a_timer_may_cancel_one_that_is_due_with_it(void **state)
{
    struct fixture *f = *state;
    struct alarm_clock a, b;
    clock_init(&a, f);
    clock_init(&b, f);
    a.other = &b;
    b.other = &a;
    a.also = b.also = cancel_other;
    clock_set(&a, 5);
    clock_set(&b, 5);
    PUMP_UNTIL(f->loop, f->fired);
    settle(f->loop);
    assert_int_equal(f->fired, 1);
}

static void set_again(struct alarm_clock *clock)
{
    if (clock->fired < 5)
        clock_set(clock, cws_clock_now_ns() + CWS_NS_PER_MS);
}

static void test_a_timer_may_set_itself_again(void **state)
{
    struct fixture *f = *state;
    struct alarm_clock clock;
    clock_init(&clock, f);
    clock.also = set_again;
    clock_set(&clock, 0);
    PUMP_UNTIL(f->loop, clock.fired == 5);
    check_heap(f->loop, 0);
}

static void free_itself(struct alarm_clock *clock)
{
    test_free(clock);
}

static void test_a_timer_may_free_itself(void **state)
{
    struct fixture *f = *state;
    struct alarm_clock *clock = test_malloc(sizeof(*clock));
    clock_init(clock, f);
    clock->also = free_itself;
    clock_set(clock, 0);
    PUMP_UNTIL(f->loop, f->fired);
}

static void set_other_soon(struct alarm_clock *clock)
{
    clock_set(clock->other, cws_clock_now_ns() + CWS_NS_PER_MS);
}

/* Set from inside another one's fire, after the loop's own timer had been due far later. */
static void test_a_timer_set_by_another_is_not_late(void **state)
{
    struct fixture *f = *state;
    struct alarm_clock first, second, far;
    clock_init(&first, f);
    clock_init(&second, f);
    clock_init(&far, f);
    clock_set(&far, cws_clock_now_ns() + 3600 * CWS_NS_PER_S);
    first.also = set_other_soon;
    first.other = &second;
    clock_set(&first, 0);
    PUMP_UNTIL(f->loop, second.fired); /* the far one would be waited for in vain */
    cws_timer_cancel(f->loop, &far.timer);
}

static void test_failed_memory_leaves_the_timer_unset(void **state)
{
    struct fixture *f = *state;
    struct alarm_clock clock;
    clock_init(&clock, f);
    cws_alloc_fail_at(1);
    assert_int_equal(cws_timer_set(f->loop, &clock.timer, 1), CWS_NO_MEMORY);
    assert_int_equal(clock.timer.index, 0);
    check_heap(f->loop, 0);
    cws_timer_cancel(f->loop, &clock.timer);
    clock_set(&clock, 1);
    cws_alloc_fail_at(1); /* moving one needs no memory */
    clock_set(&clock, 2);
    cws_alloc_fail_at(0);
    PUMP_UNTIL(f->loop, clock.fired);
}

#define TIMER_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TIMER_TEST(test_the_heap_keeps_its_shape),
        TIMER_TEST(test_only_what_is_due_is_popped),
        TIMER_TEST(test_timers_fire_in_order),
        TIMER_TEST(test_a_past_deadline_fires_at_the_next_turn),
        TIMER_TEST(test_moving_a_timer),
        TIMER_TEST(test_cancelled_timers_do_not_fire),
        TIMER_TEST(test_a_timer_may_cancel_one_that_is_due_with_it),
        TIMER_TEST(test_a_timer_may_set_itself_again),
        TIMER_TEST(test_a_timer_may_free_itself),
        TIMER_TEST(test_a_timer_set_by_another_is_not_late),
        TIMER_TEST(test_failed_memory_leaves_the_timer_unset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
