/* Intrusive doubly linked list. A node that is in no list points at itself. Not thread-safe. */
#pragma once

#include "base/base.h"

struct cws_list {
    struct cws_list *next;
    struct cws_list *prev;
};

static inline void cws_list_init(struct cws_list *node)
{
    node->next = node->prev = node;
}

static inline bool cws_list_is_empty(const struct cws_list *list)
{
    return list->next == list;
}

static inline void cws_list_push_back(struct cws_list *list, struct cws_list *node)
{
    node->prev = list->prev;
    node->next = list;
    list->prev->next = node;
    list->prev = node;
}

static inline void cws_list_push_front(struct cws_list *list, struct cws_list *node)
{
    cws_list_push_back(list->next, node);
}

/* Takes the node out of the list it is in; harmless if it is in none. */
static inline void cws_list_remove(struct cws_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    cws_list_init(node);
}

/* The first node, taken out; NULL when empty. */
static inline struct cws_list *cws_list_pop_front(struct cws_list *list)
{
    struct cws_list *node = list->next;
    if (node == list)
        return NULL;
    cws_list_remove(node);
    return node;
}

/* Moves all nodes of `from` to the end of `to`; `from` is empty afterwards. */
static inline void cws_list_splice(struct cws_list *to, struct cws_list *from)
{
    if (cws_list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    cws_list_init(from);
}

#define cws_list_entry(node, type, member) cws_container_of(node, type, member)
