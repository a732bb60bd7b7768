/* io/allowance: who gets how much when, and who waits in vain. */
#include "io/allowance.h"
#include "io/uv.h"
#include "support/failing.h"
#include "support/unit.h"

#define MIB   ((size_t)1 << 20)
#define SMALL ((size_t)1 << 18)
#define TOTAL (10 * MIB)
#define LONG  (60 * CWS_NS_PER_S)

struct holder {
    struct cws_claim claim;
    unsigned granted, refused;
    bool ends; /* when it is granted */
};

struct world {
    struct cws_loop *loop;
    struct cws_allowance allowance;
    struct holder holders[4];
};

static void on_granted(struct cws_claim *claim)
{
    struct holder *holder = cws_container_of(claim, struct holder, claim);
    holder->granted++;
    if (holder->ends)
        cws_claim_end(claim);
}

static void on_refused(struct cws_claim *claim)
{
    cws_container_of(claim, struct holder, claim)->refused++;
}

static void open_world(struct world *world, uint64_t patience_ns)
{
    struct cws_error err;
    *world = (struct world){0};
    if (cws_loop_new(&world->loop, &err) != CWS_OK)
        fail_msg("%s", err.text);
    cws_allowance_init(&world->allowance, world->loop, TOTAL, SMALL, patience_ns);
    for (size_t i = 0; i < CWS_ARRAY_LEN(world->holders); i++)
        world->holders[i].claim = (struct cws_claim){.granted = on_granted, .refused = on_refused};
}

static void close_world(struct world *world)
{
    for (size_t i = 0; i < CWS_ARRAY_LEN(world->holders); i++)
        cws_claim_end(&world->holders[i].claim);
    assert_int_equal(world->allowance.left, TOTAL);
    assert_true(cws_list_is_empty(&world->allowance.waiting));
    cws_loop_free(world->loop);
}

static void ask(struct world *world, size_t i, size_t more)
{
    cws_claim_more(&world->holders[i].claim, &world->allowance, more);
}

static void who_comes_first_is_served_first(void **state)
{
    (void)state;
    struct world world;
    struct holder *holders = world.holders;
    open_world(&world, LONG);
    ask(&world, 0, TOTAL);
    ask(&world, 1, 8 * MIB);
    ask(&world, 2, MIB);
    ask(&world, 3, 2 * MIB);
    assert_true(holders[0].granted && !holders[1].granted && !holders[2].granted);
    cws_claim_end(&holders[0].claim);
    assert_true(holders[1].granted && holders[2].granted && !holders[3].granted);
    cws_claim_end(&holders[2].claim);
    assert_true(holders[3].granted);
    ask(&world, 0, 1 * MIB);
    assert_int_equal(holders[0].granted, 1); /* there is nothing left */
    ask(&world, 2, 100);
    assert_int_equal(holders[2].granted, 2); /* what is small does not wait */
    close_world(&world);
}

static void the_small_is_not_counted_until_it_grows(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, LONG);
    ask(&world, 0, SMALL - 1);
    ask(&world, 0, 1);
    assert_int_equal(world.allowance.left, TOTAL);
    ask(&world, 0, 1);
    assert_int_equal(world.allowance.left, TOTAL - SMALL - 1);
    ask(&world, 0, 7);
    assert_int_equal(world.allowance.left, TOTAL - SMALL - 8);
    assert_int_equal(world.holders[0].granted, 4);
    close_world(&world);
}

static void who_leaves_lets_others_pass(void **state)
{
    (void)state;
    struct world world;
    struct holder *holders = world.holders;
    open_world(&world, LONG);
    ask(&world, 0, 6 * MIB);
    ask(&world, 1, 8 * MIB);
    ask(&world, 2, 4 * MIB);
    assert_false(holders[2].granted);
    cws_claim_end(&holders[1].claim);
    assert_true(holders[2].granted && !holders[1].granted);
    holders[1].ends = holders[3].ends = true; /* from inside the event */
    ask(&world, 1, 8 * MIB);
    ask(&world, 3, 8 * MIB);
    cws_claim_end(&holders[0].claim);
    cws_claim_end(&holders[2].claim);
    assert_true(holders[1].granted && holders[3].granted);
    close_world(&world);
}

static void who_waits_too_long_is_refused(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, CWS_NS_PER_MS);
    ask(&world, 0, TOTAL);
    ask(&world, 1, MIB);
    while (!world.holders[1].refused)
        uv_run(cws_loop_uv(world.loop), UV_RUN_ONCE);
    assert_int_equal(world.holders[1].granted, 0);
    cws_claim_end(&world.holders[1].claim);
    cws_claim_end(&world.holders[0].claim);
    assert_int_equal(world.holders[1].granted, 0);
    close_world(&world);
}

static void without_memory_for_the_wait(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, LONG);
    ask(&world, 0, TOTAL);
    cws_alloc_fail_at(1);
    ask(&world, 1, MIB);
    assert_true(failing_was_reached(1));
    assert_int_equal(world.holders[1].refused, 1);
    close_world(&world);

    open_world(&world, CWS_NO_DEADLINE); /* a wait without an end needs none */
    ask(&world, 0, TOTAL);
    cws_alloc_fail_at(1);
    ask(&world, 1, MIB);
    failing_was_reached(1);
    assert_true(cws_claim_waits(&world.holders[1].claim) && !world.holders[1].refused);
    cws_claim_end(&world.holders[0].claim);
    assert_int_equal(world.holders[1].granted, 1);
    assert_false(cws_claim_waits(&world.holders[1].claim));
    close_world(&world);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(who_comes_first_is_served_first), UNIT_TEST(the_small_is_not_counted_until_it_grows),
    UNIT_TEST(who_leaves_lets_others_pass),     UNIT_TEST(who_waits_too_long_is_refused),
    UNIT_TEST(without_memory_for_the_wait),
};

UNIT_MAIN(tests)
