#include "py/stats.h"

#include "base/alloc.h"
#include "grpc/channel.h"
#include "py/bridge.h"

/* Asks the I/O thread for what only it may look at. */
struct census {
    struct cws_task task;
    struct cws_loop *loop;
    PyThread_type_lock done;
    size_t connections;
    size_t streams;
};

static void run_census(struct cws_task *task)
{
    struct census *census = cws_container_of(task, struct census, task);
    cws_channel_count(census->loop, &census->connections, &census->streams);
    PyThread_release_lock(census->done);
}

/* Zeros when there is no I/O thread: it is not started for this. */
static int take_census(struct py_state *state, struct census *census)
{
    census->connections = census->streams = 0;
    if (!state->loop || state->stopped)
        return 0;
    census->done = PyThread_allocate_lock();
    if (!census->done) {
        PyErr_NoMemory();
        return -1;
    }
    PyThread_acquire_lock(census->done, NOWAIT_LOCK);
    census->task.run = run_census;
    census->loop = state->loop;
    Py_BEGIN_ALLOW_THREADS
    cws_loop_post(state->loop, &census->task);
    /* Not to be interrupted: the task lies on this stack. The I/O thread never blocks. */
    PyThread_acquire_lock(census->done, WAIT_LOCK);
    Py_END_ALLOW_THREADS
    PyThread_free_lock(census->done);
    return 0;
}

PyObject *py_stats(struct py_state *state)
{
    struct census census;
    if (take_census(state, &census) < 0)
        return NULL;
    return Py_BuildValue("{s:n,s:n,s:n,s:n,s:n}", "allocations", (Py_ssize_t)cws_alloc_live(),
                         "operations", state->live_operations, "connections",
                         (Py_ssize_t)census.connections, "streams", (Py_ssize_t)census.streams,
                         "mailboxes", state->live_bridges);
}
