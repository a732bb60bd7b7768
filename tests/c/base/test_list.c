/* base/list. */
#include "support/unit.h"

#include "base/list.h"

struct item {
    int value;
    struct cws_list node;
};

static void fill(struct cws_list *list, struct item *items, int count, int first)
{
    for (int i = 0; i < count; i++) {
        items[i].value = first + i;
        cws_list_push_back(list, &items[i].node);
    }
}

/* The list has exactly first, first + 1, …, and its links agree in both directions. */
static void assert_holds(const struct cws_list *list, int first, int count)
{
    const struct cws_list *node = list->next;
    for (int i = 0; i < count; i++, node = node->next) {
        assert_true(node != list);
        assert_int_equal(cws_list_entry(node, const struct item, node)->value, first + i);
        assert_ptr_equal(node->next->prev, node);
    }
    assert_ptr_equal(node, list);
}

static void test_first_in_first_out(void **state)
{
    (void)state;
    struct cws_list list;
    struct item items[5];
    cws_list_init(&list);
    assert_true(cws_list_is_empty(&list));
    assert_null(cws_list_pop_front(&list));
    fill(&list, items, 5, 0);
    assert_false(cws_list_is_empty(&list));
    assert_holds(&list, 0, 5);
    for (int i = 0; i < 5; i++) {
        struct cws_list *node = cws_list_pop_front(&list);
        assert_int_equal(cws_list_entry(node, struct item, node)->value, i);
        assert_true(cws_list_is_empty(node)); /* in no list any more */
    }
    assert_null(cws_list_pop_front(&list));
}

static void test_remove_anywhere_and_twice(void **state)
{
    (void)state;
    struct cws_list list;
    struct item items[3];
    cws_list_init(&list);
    fill(&list, items, 3, 0);
    cws_list_remove(&items[1].node);
    cws_list_remove(&items[1].node);
    assert_ptr_equal(items[0].node.next, &items[2].node);
    assert_ptr_equal(items[2].node.prev, &items[0].node);
    cws_list_remove(&items[0].node);
    assert_holds(&list, 2, 1);
    cws_list_remove(&items[2].node);
    assert_true(cws_list_is_empty(&list));
}

static void test_splice(void **state)
{
    (void)state;
    struct cws_list to, from;
    struct item first[3], second[2];
    cws_list_init(&to);
    cws_list_init(&from);
    cws_list_splice(&to, &from); /* nothing to nothing */
    assert_true(cws_list_is_empty(&to));
    fill(&from, first, 3, 0);
    cws_list_splice(&to, &from); /* onto an empty list */
    assert_true(cws_list_is_empty(&from));
    assert_holds(&to, 0, 3);
    fill(&from, second, 2, 3);
    cws_list_splice(&to, &from); /* at the end of what is there */
    assert_holds(&to, 0, 5);
    cws_list_splice(&to, &from); /* nothing onto something */
    assert_holds(&to, 0, 5);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_first_in_first_out),
    UNIT_TEST(test_remove_anywhere_and_twice),
    UNIT_TEST(test_splice),
};

UNIT_MAIN(tests)
