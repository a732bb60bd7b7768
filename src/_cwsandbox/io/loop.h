/*
 * A libuv loop and the thread it runs on.
 *
 * The client has one loop per process with an own thread (cws_loop_default): started at first use,
 * never holding a Python lock, never blocking. The daemon and the C tests run a loop in the thread
 * they are in. Everything not marked "any thread" is for the loop thread alone and asserts it.
 */
#pragma once

#include <pthread.h>

#include "base/list.h"
#include "base/status.h"

struct cws_loop;

/* Work handed to the loop thread; embedded in what the work is about. */
struct cws_task {
    struct cws_task *next;
    void (*run)(struct cws_task *task); /* on the loop thread; may free the task's memory */
};

/* A new loop that runs nowhere yet. Any thread. */
enum cws_status cws_loop_new(struct cws_loop **out_loop, struct cws_error *err) CWS_MUST_CHECK;

/* Runs the loop in a new thread with all signals blocked / in the calling thread until
 * cws_loop_stop. */
enum cws_status cws_loop_start(struct cws_loop *loop, struct cws_error *err) CWS_MUST_CHECK;
void cws_loop_run(struct cws_loop *loop);

/* Any thread: the loop leaves cws_loop_run after the iteration it is in. Tasks posted before are
 * run. A loop that a thread of its caller runs may be run again. */
void cws_loop_stop(struct cws_loop *loop);

/* After cws_loop_stop: waits for the loop's thread to end. */
void cws_loop_join(struct cws_loop *loop);

/* After the loop has stopped: joins its thread, runs the tasks that are left, drops what its
 * registry keeps, closes what is open in it, frees it. NULL is allowed. */
void cws_loop_free(struct cws_loop *loop);

/* Loop thread: another thread is at work for this loop and will post its last task to it.
 * cws_loop_free waits until that task has released the loop again. */
void cws_loop_hold(struct cws_loop *loop);
void cws_loop_release(struct cws_loop *loop);

/* Any thread, lock-free: hands `task` to the loop. Tasks of one thread run in order. The loop is
 * woken only if no task was waiting. The task must stay valid until it has run. */
void cws_loop_post(struct cws_loop *loop, struct cws_task *task);

/* Any thread. */
bool cws_loop_is_current(const struct cws_loop *loop);

/* Runs once just before the loop next waits for events: the place to flush what many small events
 * queued up. `node` must be in no list; remove it with cws_list_remove to take the wish back. */
struct cws_deferred {
    struct cws_list node;
    void (*run)(struct cws_deferred *deferred);
};
void cws_loop_defer(struct cws_loop *loop, struct cws_deferred *deferred);
/* The same, once nothing else is deferred any more: for a flush that others are yet to add to. */
void cws_loop_defer_flush(struct cws_loop *loop, struct cws_deferred *deferred);

/* Things of which a loop has one for each key, kept here by their owners under this lock. Any
 * thread. */
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

/* Any thread: the process's own loop, with its thread, made at the first call. NULL with *err set
 * when the thread cannot be started or the interpreter is ending (cws_loop_default_shutdown was
 * called). */
struct cws_loop *cws_loop_default(struct cws_error *err);

/* Stops and joins the default loop's thread; later calls of cws_loop_default fail with CWS_CLOSED.
 * The loop's memory stays, since objects that outlive it may still post to it; nothing posted then
 * runs. */
void cws_loop_default_shutdown(void);

/* In the child after fork(): forgets the parent's loop (its descriptors are closed here without a
 * word to the peers, its memory is left alone) and counts the fork. The next cws_loop_default
 * starts afresh. */
void cws_loop_after_fork(void);

/* Any thread: number of forks this process is away from the one that was started. What was made
 * under another number is lost to this process and must not be touched. */
unsigned cws_loop_generation(void);
