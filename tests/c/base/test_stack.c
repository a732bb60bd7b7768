/* base/stack: from many threads to one. */
#include "base/stack.h"

#include <pthread.h>

#include "support/unit.h"

enum { THREADS = 4, EACH = 2000 };

struct item {
    struct cws_stack_node node;
    int number;
};

static int number_of(const struct cws_stack_node *node)
{
    return cws_container_of(node, const struct item, node)->number;
}

static void test_oldest_first(void **state)
{
    (void)state;
    struct cws_stack stack;
    struct item items[] = {{.number = 0}, {.number = 1}, {.number = 2}};
    cws_stack_init(&stack);
    assert_true(cws_stack_is_empty(&stack));
    assert_null(cws_stack_take(&stack));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++)
            assert_int_equal(cws_stack_push(&stack, &items[i].node), i == 0);
        assert_false(cws_stack_is_empty(&stack));
        const struct cws_stack_node *node = cws_stack_take(&stack);
        for (int i = 0; i < 3; i++, node = node->next)
            assert_int_equal(number_of(node), i);
        assert_null(node);
        assert_true(cws_stack_is_empty(&stack));
    }
}

static struct {
    struct cws_stack stack;
    pthread_barrier_t start;
    struct item items[THREADS][EACH];
    atomic_int found_empty;
} crowd;

static void *push_each(void *arg)
{
    int which = (int)(intptr_t)arg;
    pthread_barrier_wait(&crowd.start);
    for (int i = 0; i < EACH; i++) {
        crowd.items[which][i].number = which * EACH + i;
        if (cws_stack_push(&crowd.stack, &crowd.items[which][i].node))
            atomic_fetch_add(&crowd.found_empty, 1);
    }
    return NULL;
}

/* Nothing is lost, each thread's are in their order, and each batch had one push that began it. */
static void test_from_many_threads(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    int next[THREADS] = {0}, batches = 0;
    cws_stack_init(&crowd.stack);
    pthread_barrier_init(&crowd.start, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, push_each, (void *)(intptr_t)i), 0);
    for (int taken = 0; taken < THREADS * EACH;) {
        const struct cws_stack_node *node = cws_stack_take(&crowd.stack);
        batches += node != NULL;
        for (; node; node = node->next, taken++) {
            int which = number_of(node) / EACH;
            assert_int_equal(number_of(node) % EACH, next[which]++);
        }
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(cws_stack_is_empty(&crowd.stack));
    assert_int_equal(batches, atomic_load(&crowd.found_empty));
    pthread_barrier_destroy(&crowd.start);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_oldest_first),
        UNIT_TEST(test_from_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
