#include "base/pages.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/shortcut.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* the kernel's number, which not every libc knows */
#endif

enum {
    PAGE = CWS_PAGE,
    BLOCK = 2 * 1024 * 1024, /* a huge page */
    /* A huge page that takes longer than this costs more than its 512 small ones: the kernel had to
     * move memory to make it, or runs in a virtual machine whose host has yet to find it. Seen: 0.2
     * ms when there is one, 5 ms when not; 0.7 ms for 512 small pages. */
    DEAR_NS = 1000 * 1000,
    /* Blocks made of small pages after that, doubled as long as the next huge page is no
     * cheaper. */
    FEWEST_SMALL = 32,
    MOST_SMALL = 256,
};

static atomic_uint small_left;                /* blocks until a huge page is tried again */
static atomic_uint small_next = FEWEST_SMALL; /* how many it will be after the next slow one */

size_t cws_pages_round(size_t size)
{
    return (size + PAGE - 1) & ~(size_t)(PAGE - 1);
}

/* ---- huge or small -------------------------------------------------------------------------- */

/* CPU time, which the time of such a stall counts as, and being preempted does not. */
static uint64_t thread_time_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * CWS_NS_PER_S + (uint64_t)time.tv_nsec;
}

/* Threads may get in each other's way here: then a block is of the other kind than it might be, and
 * that is all. */
static bool may_be_huge(void)
{
    unsigned left = atomic_load_explicit(&small_left, memory_order_relaxed);
    if (left == 0)
        return true;
    atomic_store_explicit(&small_left, left - 1, memory_order_relaxed);
    return false;
}

static void note_huge(uint64_t took_ns)
{
    unsigned next = FEWEST_SMALL;
    if (took_ns > DEAR_NS) {
        unsigned count = atomic_load_explicit(&small_next, memory_order_relaxed);
        atomic_store_explicit(&small_left, count, memory_order_relaxed);
        next = count < MOST_SMALL ? count * 2 : MOST_SMALL;
    }
    atomic_store_explicit(&small_next, next, memory_order_relaxed);
}

static void populate(uint8_t *pages, size_t size)
{
    /* Linux before 5.14 does not know it: then there will be faults. */
    (void)madvise(pages, size, MADV_POPULATE_WRITE);
}

static void prepare_block(uint8_t *block)
{
    if (!may_be_huge()) {
        populate(block, BLOCK);
        return;
    }
    uint64_t start = thread_time_ns();
    (void)madvise(block, BLOCK, MADV_HUGEPAGE);
    populate(block, BLOCK);
    note_huge(thread_time_ns() - start);
}

void cws_pages_prepare(void *memory, size_t size)
{
    uintptr_t at = cws_pages_round((uintptr_t)memory);
    uintptr_t end = ((uintptr_t)memory + size) & ~(uintptr_t)(PAGE - 1);
    while (at < end) {
        uintptr_t next = (at + BLOCK) & ~(uintptr_t)(BLOCK - 1);
        if (next > end)
            next = end;
        if (next - at == BLOCK)
            prepare_block((uint8_t *)at);
        else
            populate((uint8_t *)at, next - at);
        at = next;
    }
}

/* ---- new pages ------------------------------------------------------------------------------ */

static uint8_t *map(size_t size)
{
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

/* At the border of a block, as huge pages are. */
static uint8_t *map_aligned(size_t size)
{
    uint8_t *pages = map(size);
    size_t beyond = (uintptr_t)pages % BLOCK;
    if (!pages || beyond == 0)
        return pages;
    munmap(pages, size);
    if (size > SIZE_MAX - BLOCK || !(pages = map(size + BLOCK)))
        return NULL;
    beyond = (BLOCK - (uintptr_t)pages % BLOCK) % BLOCK;
    if (beyond)
        munmap(pages, beyond);
    munmap(pages + beyond + size, BLOCK - beyond);
    return pages + beyond;
}

uint8_t *cws_pages_new(size_t size)
{
    /* Counted with the other allocations, and failing with them in tests. */
    if (!cws_alloc_count_pages())
        return NULL;
    uint8_t *pages = size < BLOCK ? map(size) : map_aligned(size);
    if (!pages)
        cws_alloc_uncount_pages();
    else if (size >= BLOCK)
        cws_pages_prepare(pages, size);
    return pages;
}

void cws_pages_free(uint8_t *pages, size_t size)
{
    munmap(pages, size);
    cws_alloc_uncount_pages();
}

enum cws_pages_given cws_pages_give(uint8_t *pages, size_t size, size_t at, size_t len, uint8_t *to)
{
    if (!cws_shortcut_is_on(CWS_SHORTCUT_PAGES))
        return CWS_PAGES_KEPT;
    if (mremap(pages + at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to) != MAP_FAILED) {
        /* Not in one go: another thread may have got what was in between. */
        if (at > 0)
            munmap(pages, at);
        if (at + len < size)
            munmap(pages + at + len, size - at - len);
        cws_alloc_uncount_pages();
        return CWS_PAGES_GIVEN;
    }
    if (msync(to, len, MS_ASYNC) == 0) /* refused before anything was done */
        return CWS_PAGES_KEPT;
    /* It failed after the kernel had taken away what was at `to`: others' memory must not be left
     * with a hole. */
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    void *filled = mmap(to, len, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (filled == to)
        return CWS_PAGES_KEPT;
    if (filled != MAP_FAILED) /* a kernel that treats the address as a hint */
        munmap(filled, len);
    return CWS_PAGES_LOST;
}
