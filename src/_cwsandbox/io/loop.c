#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/shortcut.h"
#include "io/loop_private.h"
#include "io/scratch.h"
#include "io/turn.h"
#include "io/uv.h"

struct cws_loop {
    uv_loop_t uv;
    uv_async_t wakeup; /* tasks were posted, or stop was asked for */
    uv_timer_t timer;  /* the earliest deadline */
    uv_prepare_t before_poll;

    struct cws_stack tasks;
    atomic_bool stopping;
    _Atomic(pthread_t) runner; /* whose loop thread this is; valid while running */
    atomic_bool running;
    pthread_t thread; /* made by cws_loop_start; valid while has_thread */
    bool has_thread;

    struct cws_registry registry;
    struct cws_turn turn; /* always the owner's if the loop runs in its caller's thread */

    /* loop thread */
    bool stopped; /* `stopping` has come through */
    size_t holds; /* threads that will still post to it */
    struct cws_list deferred;
    struct cws_list flushes; /* deferred, too, for after the others */
    struct cws_timers timers;
    uint64_t timer_due_ns;               /* what `timer` is set to, CWS_NO_DEADLINE: not set */
    uint8_t *scratch[CWS_SCRATCH_COUNT]; /* made at first use */
};

enum cws_status cws_error_set_uv(struct cws_error *err, enum cws_status status, int uv_code,
                                 const char *what)
{
    return cws_error_set(err, status, "%s: %s", what, uv_strerror(uv_code));
}

uv_loop_t *cws_loop_uv(struct cws_loop *loop)
{
    return &loop->uv;
}

int cws_loop_reserve(struct cws_loop *loop, int fd)
{
    /* libuv finds the descriptor registered already, which it can handle, and then sets the events
     * and the data. Until it does, it must ignore what the kernel tells (a hang-up it always
     * tells), as it ignores -1: it aborts over a descriptor that it has no watcher for. */
    struct epoll_event nothing = {.data.fd = -1};
    if (epoll_ctl(uv_backend_fd(&loop->uv), EPOLL_CTL_ADD, fd, &nothing) == 0 || errno == EEXIST)
        return 0;
    return uv_translate_sys_error(errno);
}

int cws_loop_reserve_handle(struct cws_loop *loop, const uv_handle_t *handle)
{
    uv_os_fd_t fd;
    return uv_fileno(handle, &fd) == 0 ? cws_loop_reserve(loop, fd) : 0;
}

uint8_t *cws_loop_scratch(struct cws_loop *loop, enum cws_scratch which)
{
    assert(cws_loop_is_current(loop));
    if (!loop->scratch[which])
        loop->scratch[which] = cws_malloc(CWS_SCRATCH_SIZE);
    return loop->scratch[which];
}

struct cws_registry *cws_loop_registry(struct cws_loop *loop)
{
    return &loop->registry;
}

struct cws_timers *cws_loop_timers(struct cws_loop *loop)
{
    return &loop->timers;
}

struct cws_turn *cws_loop_turn(struct cws_loop *loop)
{
    return &loop->turn;
}

/* ---- tasks ---------------------------------------------------------------------------------- */

static void wake(struct cws_loop *loop)
{
    uv_async_send(&loop->wakeup);
    cws_turn_call(&loop->turn);
}

void cws_loop_post(struct cws_loop *loop, struct cws_task *task)
{
    if (cws_stack_push(&loop->tasks, &task->node)) /* in one order with turns: cws_turn_call */
        wake(loop);
}

static void run_tasks(struct cws_loop *loop)
{
    struct cws_stack_node *node = cws_stack_take(&loop->tasks);
    while (node) {
        struct cws_task *task = cws_container_of(node, struct cws_task, node);
        node = node->next;
        task->run(task);
    }
}

static void on_wakeup(uv_async_t *wakeup)
{
    struct cws_loop *loop = wakeup->data;
    /* Read before the tasks: what was posted before stop is in the queue by then. */
    bool stopping = atomic_exchange_explicit(&loop->stopping, false, memory_order_acq_rel);
    run_tasks(loop);
    if (stopping) {
        loop->stopped = true;
        uv_stop(&loop->uv);
    }
}

/* ---- deferred work and timers --------------------------------------------------------------- */

void cws_loop_defer(struct cws_loop *loop, struct cws_deferred *deferred)
{
    assert(cws_loop_is_current(loop));
    cws_list_push_back(&loop->deferred, &deferred->node);
}

void cws_loop_defer_flush(struct cws_loop *loop, struct cws_deferred *deferred)
{
    assert(cws_loop_is_current(loop));
    cws_list_push_back(&loop->flushes, &deferred->node);
}

void cws_loop_run_deferred(struct cws_loop *loop)
{
    struct cws_list *node;
    while ((node = cws_list_pop_front(&loop->deferred)) != NULL ||
           (node = cws_list_pop_front(&loop->flushes)) != NULL) {
        struct cws_deferred *deferred = cws_list_entry(node, struct cws_deferred, node);
        deferred->run(deferred);
    }
}

static void on_before_poll(uv_prepare_t *prepare)
{
    cws_loop_run_deferred(prepare->data);
}

static void on_timer(uv_timer_t *handle);

static void set_uv_timer(struct cws_loop *loop, uint64_t now_ns)
{
    if (loop->timers.count == 0) {
        uv_timer_stop(&loop->timer);
        loop->timer_due_ns = CWS_NO_DEADLINE;
        return;
    }
    uint64_t due = loop->timers.heap[0]->due_ns;
    /* Rounded up: firing early would find nothing due and set the timer again and again. */
    uint64_t wait_ms = due > now_ns ? (due - now_ns + CWS_NS_PER_MS - 1) / CWS_NS_PER_MS : 0;
    uv_update_time(&loop->uv);
    uv_timer_start(&loop->timer, on_timer, wait_ms, 0);
    loop->timer_due_ns = due;
}

static void on_timer(uv_timer_t *handle)
{
    struct cws_loop *loop = handle->data;
    uint64_t now = cws_clock_now_ns();
    struct cws_timer *timer;
    while ((timer = cws_timers_pop_due(&loop->timers, now)) != NULL)
        timer->fire(timer);
    set_uv_timer(loop, cws_clock_now_ns());
}

void cws_loop_timers_changed(struct cws_loop *loop)
{
    if (loop->timers.count && loop->timers.heap[0]->due_ns < loop->timer_due_ns)
        set_uv_timer(loop, cws_clock_now_ns());
}

/* ---- life ----------------------------------------------------------------------------------- */

/* What libuv watches for itself: wake-ups and signals. */
static int reserve_own(struct cws_loop *loop)
{
    int rc = cws_loop_reserve(loop, loop->uv.async_io_watcher.fd);
    if (rc == 0 && loop->uv.signal_pipefd[0] >= 0)
        rc = cws_loop_reserve(loop, loop->uv.signal_pipefd[0]);
    return rc;
}

enum cws_status cws_loop_new(struct cws_loop **out_loop, struct cws_error *err)
{
    struct cws_loop *loop = cws_calloc(1, sizeof(*loop));
    if (!loop)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for a loop");
    int rc = uv_loop_init(&loop->uv);
    if (rc < 0) {
        cws_free(loop);
        return cws_error_set_uv(err, CWS_SYSTEM, rc, "event loop");
    }
    rc = reserve_own(loop);
    if (rc == 0)
        rc = uv_async_init(&loop->uv, &loop->wakeup, on_wakeup);
    if (rc < 0) {
        uv_loop_close(&loop->uv);
        cws_free(loop);
        return cws_error_set_uv(err, CWS_SYSTEM, rc, "event loop wake-up");
    }
    uv_timer_init(&loop->uv, &loop->timer);
    uv_prepare_init(&loop->uv, &loop->before_poll);
    uv_prepare_start(&loop->before_poll, on_before_poll);
    loop->wakeup.data = loop->timer.data = loop->before_poll.data = loop;
    cws_list_init(&loop->deferred);
    cws_list_init(&loop->flushes);
    cws_list_init(&loop->registry.entries);
    pthread_mutex_init(&loop->registry.lock, NULL);
    cws_stack_init(&loop->tasks);
    atomic_init(&loop->stopping, false);
    atomic_init(&loop->running, false);
    cws_turn_init(&loop->turn);
    loop->timer_due_ns = CWS_NO_DEADLINE;
    *out_loop = loop;
    return CWS_OK;
}

static void set_runner(struct cws_loop *loop, pthread_t thread)
{
    atomic_store_explicit(&loop->runner, thread, memory_order_relaxed);
    atomic_store_explicit(&loop->running, true, memory_order_release);
}

void cws_loop_set_runner(struct cws_loop *loop)
{
    set_runner(loop, pthread_self());
}

void cws_loop_run(struct cws_loop *loop)
{
    cws_loop_set_runner(loop);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void cws_loop_step(struct cws_loop *loop)
{
    uv_run(&loop->uv, UV_RUN_NOWAIT);
}

int cws_loop_backend_fd(const struct cws_loop *loop)
{
    return uv_backend_fd(&loop->uv);
}

int cws_loop_backend_timeout(const struct cws_loop *loop)
{
    return uv_backend_timeout(&loop->uv);
}

bool cws_loop_has_stopped(const struct cws_loop *loop)
{
    return loop->stopped;
}

bool cws_loop_has_work(void *ctx)
{
    struct cws_loop *loop = ctx;
    return !cws_stack_is_empty(&loop->tasks) || atomic_load(&loop->stopping) || loop->stopped ||
           uv_backend_timeout(&loop->uv) == 0;
}

static void *thread_main(void *arg)
{
    struct cws_loop *loop = arg;
    pthread_setname_np(pthread_self(), "cwsandbox-io");
    while (!loop->stopped) {
        cws_loop_set_runner(loop);
        uv_run(&loop->uv, UV_RUN_ONCE);
        cws_loop_run_deferred(loop);
        if (cws_shortcut_is_on(CWS_SHORTCUT_GUEST))
            cws_turn_offer(&loop->turn, cws_loop_has_work, loop);
    }
    return NULL;
}

enum cws_status cws_loop_start(struct cws_loop *loop, struct cws_error *err)
{
    /* Signals belong to the program's own threads; SIGPIPE is never raised by our writes but by TLS
     * and libuv on some paths, and stays blocked here. */
    sigset_t all, before;
    loop->stopped = false;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&loop->thread, NULL, thread_main, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc)
        return cws_error_set_errno(err, CWS_SYSTEM, rc, "the I/O thread could not be started");
    loop->has_thread = true;
    set_runner(loop, loop->thread); /* it does so itself, but perhaps later than the caller asks */
    return CWS_OK;
}

void cws_loop_stop(struct cws_loop *loop)
{
    atomic_store(&loop->stopping, true);
    wake(loop);
}

bool cws_loop_is_current(const struct cws_loop *loop)
{
    return !atomic_load_explicit(&loop->running, memory_order_acquire) ||
           pthread_equal(atomic_load_explicit(&loop->runner, memory_order_relaxed), pthread_self());
}

void cws_loop_join(struct cws_loop *loop)
{
    if (loop->has_thread)
        pthread_join(loop->thread, NULL);
    loop->has_thread = false;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void drop_entries(struct cws_registry *registry)
{
    struct cws_list *node;
    while ((node = cws_list_pop_front(&registry->entries)) != NULL) {
        struct cws_registry_entry *entry = cws_list_entry(node, struct cws_registry_entry, node);
        entry->drop(entry);
    }
}

void cws_loop_hold(struct cws_loop *loop)
{
    assert(cws_loop_is_current(loop));
    loop->holds++;
}

void cws_loop_release(struct cws_loop *loop)
{
    assert(cws_loop_is_current(loop) && loop->holds > 0);
    loop->holds--;
}

void cws_loop_free(struct cws_loop *loop)
{
    if (!loop)
        return;
    cws_loop_join(loop);
    atomic_store(&loop->running, false); /* whoever frees is the loop's thread now */
    do {
        run_tasks(loop);
        cws_loop_run_deferred(loop);
        if (loop->holds)
            uv_run(&loop->uv, UV_RUN_ONCE);
    } while (loop->holds || !cws_stack_is_empty(&loop->tasks));
    drop_entries(&loop->registry);
    uv_walk(&loop->uv, close_handle, NULL);
    while (uv_run(&loop->uv, UV_RUN_NOWAIT))
        ;
    int rc = uv_loop_close(&loop->uv);
    assert(rc == 0);
    (void)rc;
    for (size_t i = 0; i < CWS_SCRATCH_COUNT; i++)
        cws_free(loop->scratch[i]);
    pthread_mutex_destroy(&loop->registry.lock);
    cws_turn_done(&loop->turn);
    cws_free(loop->timers.heap);
    cws_free(loop);
}
