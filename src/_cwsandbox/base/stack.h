/*
 * A lock-free stack: any number of threads push nodes, and one takes all of them at once, oldest
 * first. Nodes are embedded in the objects that are pushed.
 *
 * Push and take are sequentially consistent, so that callers can order them with the flag that says
 * who empties the stack.
 */
#pragma once

#include <stdatomic.h>

#include "base/base.h"

struct cws_stack_node {
    struct cws_stack_node *next;
};

struct cws_stack {
    _Atomic(struct cws_stack_node *) top; /* newest first */
};

static inline void cws_stack_init(struct cws_stack *stack)
{
    atomic_init(&stack->top, NULL);
}

static inline bool cws_stack_is_empty(struct cws_stack *stack)
{
    return !atomic_load(&stack->top);
}

/* Any thread. True if the stack was empty. The node may be taken, and freed, before this
 * returns. */
static inline bool cws_stack_push(struct cws_stack *stack, struct cws_stack_node *node)
{
    struct cws_stack_node *top = atomic_load_explicit(&stack->top, memory_order_relaxed);
    do
        node->next = top;
    while (!atomic_compare_exchange_weak(&stack->top, &top, node));
    return !top;
}

/* Any thread: takes all nodes, linked by `next`, oldest first; NULL if the stack is empty. */
static inline struct cws_stack_node *cws_stack_take(struct cws_stack *stack)
{
    struct cws_stack_node *newest = atomic_exchange(&stack->top, NULL);
    struct cws_stack_node *oldest = NULL;
    while (newest) {
        struct cws_stack_node *older = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = older;
    }
    return oldest;
}
