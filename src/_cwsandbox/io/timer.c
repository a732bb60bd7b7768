#include "io/timer.h"

#include "base/alloc.h"
#include "io/loop_private.h"

void cws_timer_init(struct cws_timer *timer, void (*fire)(struct cws_timer *timer))
{
    *timer = (struct cws_timer){.due_ns = CWS_NO_DEADLINE, .fire = fire};
}

static void place(struct cws_timers *timers, struct cws_timer *timer, size_t at)
{
    timers->heap[at] = timer;
    timer->index = at + 1;
}

static void sift_up(struct cws_timers *timers, struct cws_timer *timer, size_t at)
{
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (timers->heap[parent]->due_ns <= timer->due_ns)
            break;
        place(timers, timers->heap[parent], at);
        at = parent;
    }
    place(timers, timer, at);
}

static void sift_down(struct cws_timers *timers, struct cws_timer *timer, size_t at)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= timers->count)
            break;
        if (child + 1 < timers->count &&
            timers->heap[child + 1]->due_ns < timers->heap[child]->due_ns)
            child++;
        if (timer->due_ns <= timers->heap[child]->due_ns)
            break;
        place(timers, timers->heap[child], at);
        at = child;
    }
    place(timers, timer, at);
}

static void fix(struct cws_timers *timers, struct cws_timer *timer, size_t at)
{
    if (at > 0 && timers->heap[(at - 1) / 2]->due_ns > timer->due_ns)
        sift_up(timers, timer, at);
    else
        sift_down(timers, timer, at);
}

static void take_out(struct cws_timers *timers, struct cws_timer *timer)
{
    size_t at = timer->index - 1;
    struct cws_timer *last = timers->heap[--timers->count];
    timer->index = 0;
    if (last != timer)
        fix(timers, last, at);
}

enum cws_status cws_timer_set(struct cws_loop *loop, struct cws_timer *timer, uint64_t due_ns)
{
    assert(cws_loop_is_current(loop));
    struct cws_timers *timers = cws_loop_timers(loop);
    if (due_ns == CWS_NO_DEADLINE) {
        cws_timer_cancel(loop, timer);
        return CWS_OK;
    }
    if (timer->index) {
        timer->due_ns = due_ns;
        fix(timers, timer, timer->index - 1);
    } else {
        if (timers->count == timers->cap) {
            size_t cap = timers->cap ? timers->cap * 2 : 64;
            struct cws_timer **heap = cws_realloc(timers->heap, cap * sizeof(*heap));
            if (!heap)
                return CWS_NO_MEMORY;
            timers->heap = heap;
            timers->cap = cap;
        }
        timer->due_ns = due_ns;
        sift_up(timers, timer, timers->count++);
    }
    cws_loop_timers_changed(loop);
    return CWS_OK;
}

void cws_timer_cancel(struct cws_loop *loop, struct cws_timer *timer)
{
    /* The libuv timer is left as it is: waking once for nothing is cheaper than moving it for each
     * call. */
    if (timer->index)
        take_out(cws_loop_timers(loop), timer);
}

struct cws_timer *cws_timers_pop_due(struct cws_timers *timers, uint64_t now_ns)
{
    if (timers->count == 0 || timers->heap[0]->due_ns > now_ns)
        return NULL;
    struct cws_timer *timer = timers->heap[0];
    take_out(timers, timer);
    return timer;
}
