/*
 * A libuv loop and the thread it runs on.
 *
 * The client has one loop per process, with a thread of its own (cws_loop_default). That thread is
 * started at first use, never holds a Python lock and never blocks. The daemon and the C tests run
 * a loop in their own thread. Everything not marked "any thread" is for the loop thread alone, and
 * asserts it.
 */
#pragma once

#include <pthread.h>

#include "base/list.h"
#include "base/stack.h"
#include "base/status.h"

struct cws_loop;

/* Work handed to the loop thread; embedded in the object that the work is about. */
struct cws_task {
    struct cws_stack_node node;
    void (*run)(struct cws_task *task); /* on the loop thread; may free the task's memory */
};

/* A new loop that no thread runs yet. Any thread. */
enum cws_status cws_loop_new(struct cws_loop **out_loop, struct cws_error *err) CWS_MUST_CHECK;

/* Run the loop until cws_loop_stop: in a new thread, with all signals blocked, or in the calling
 * thread. CWS_SYSTEM: the thread cannot be started. */
enum cws_status cws_loop_start(struct cws_loop *loop, struct cws_error *err) CWS_MUST_CHECK;
void cws_loop_run(struct cws_loop *loop);

/* Any thread: makes cws_loop_run return after the current iteration. Tasks posted before this call
 * are run. A loop that runs in its caller's thread may be run again. */
void cws_loop_stop(struct cws_loop *loop);

/* After cws_loop_stop: waits for the loop's thread to end. */
void cws_loop_join(struct cws_loop *loop);

/* After the loop has stopped: joins its thread, runs the tasks that are left, drops what its
 * registry keeps, closes what is open in it, frees it. NULL is allowed. */
void cws_loop_free(struct cws_loop *loop);

/* Loop thread: another thread works for this loop and will post one last task to it. cws_loop_free
 * waits until that task has called cws_loop_release. */
void cws_loop_hold(struct cws_loop *loop);
void cws_loop_release(struct cws_loop *loop);

/* Any thread, lock-free: hands `task` to the loop. Tasks posted by one thread run in order. The
 * loop is woken only if no task was waiting already. The task must stay valid until it runs. */
void cws_loop_post(struct cws_loop *loop, struct cws_task *task);

/* Any thread. */
bool cws_loop_is_current(const struct cws_loop *loop);

/* Runs once, just before the loop next waits for events: the place to flush what many small events
 * have queued. `node` must not be in a list; cws_list_remove cancels it. */
struct cws_deferred {
    struct cws_list node;
    void (*run)(struct cws_deferred *deferred);
};
void cws_loop_defer(struct cws_loop *loop, struct cws_deferred *deferred);
/* The same, but runs after everything in the first list: for a flush that the others still add
 * to. */
void cws_loop_defer_flush(struct cws_loop *loop, struct cws_deferred *deferred);

/* Objects of which a loop has at most one per key. Their owners keep them here, under this lock.
 * Any thread. */
struct cws_registry {
    pthread_mutex_t lock;
    struct cws_list entries; /* struct cws_registry_entry */
};
struct cws_registry_entry {
    struct cws_list node;
    void (*drop)(
        struct cws_registry_entry *entry); /* the loop is being freed: frees what it is in */
};
struct cws_registry *cws_loop_registry(struct cws_loop *loop);

/* Any thread: the process's own loop. The first call creates it and its thread. NULL with *err set
 * if the thread cannot be started, or after cws_loop_default_shutdown (the interpreter is
 * ending). */
struct cws_loop *cws_loop_default(struct cws_error *err);

/* Stops and joins the default loop's thread; later calls of cws_loop_default fail with CWS_CLOSED.
 * The loop's memory stays, since objects that outlive it may still post to it; such tasks never
 * run. */
void cws_loop_default_shutdown(void);

/* In the child after fork(): abandons the parent's loop and counts the fork. The child's copies of
 * its descriptors are closed without telling the peers; its memory is left alone. The next
 * cws_loop_default starts afresh. */
void cws_loop_after_fork(void);

/* Any thread: the number of forks between the original process and this one. An object made under
 * another number does not work in this process and must not be touched. */
unsigned cws_loop_generation(void);
