#include "base/alloc.h"

#include <stdatomic.h>
#include <string.h>

static atomic_size_t live;
static atomic_size_t fail_countdown;

/* Counts down to the allocation that is to fail; almost always just one relaxed load. */
static bool told_to_fail(void)
{
    if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) == 0)
        return false;
    return atomic_fetch_sub(&fail_countdown, 1) == 1;
}

static void *counted(void *block)
{
    if (block)
        atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    return block;
}

void *cws_malloc(size_t size)
{
    return told_to_fail() ? NULL : counted(malloc(size));
}

void *cws_calloc(size_t count, size_t size)
{
    return told_to_fail() ? NULL : counted(calloc(count, size));
}

void *cws_realloc(void *block, size_t size)
{
    if (!block)
        return cws_malloc(size);
    return told_to_fail() ? NULL : realloc(block, size);
}

void cws_free(void *block)
{
    if (block)
        atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    free(block);
}

char *cws_strndup(const char *text, size_t len)
{
    char *copy = cws_malloc(len + 1);
    if (copy) {
        if (len)
            memcpy(copy, text, len);
        copy[len] = '\0';
    }
    return copy;
}

char *cws_strdup(const char *text)
{
    return cws_strndup(text, strlen(text));
}

size_t cws_alloc_live(void)
{
    return atomic_load_explicit(&live, memory_order_relaxed);
}

void cws_alloc_fail_at(size_t n)
{
    atomic_store(&fail_countdown, n);
}

bool cws_alloc_count_pages(void)
{
    if (told_to_fail())
        return false;
    atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    return true;
}

void cws_alloc_uncount_pages(void)
{
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
}
