#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "io/uv.h"

/* The process's loop. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct cws_loop *default_loop;
static bool is_shut_down;
static atomic_uint generation;

struct cws_loop *cws_loop_default(struct cws_error *err)
{
    pthread_mutex_lock(&lock);
    struct cws_loop *loop = default_loop;
    if (is_shut_down) {
        cws_error_set(err, CWS_CLOSED, "the program is ending");
        loop = NULL;
    } else if (!loop && cws_loop_new(&loop, err) == CWS_OK) {
        if (cws_loop_start(loop, err) == CWS_OK) {
            default_loop = loop;
        } else {
            cws_loop_free(loop);
            loop = NULL;
        }
    }
    pthread_mutex_unlock(&lock);
    return loop;
}

void cws_loop_default_shutdown(void)
{
    pthread_mutex_lock(&lock);
    struct cws_loop *loop = is_shut_down ? NULL : default_loop;
    is_shut_down = true;
    pthread_mutex_unlock(&lock);
    if (loop) {
        cws_loop_stop(loop);
        cws_loop_join(loop);
    }
}

static void close_descriptor(uv_handle_t *handle, void *arg)
{
    (void)arg;
    uv_os_fd_t fd;
    if (uv_fileno(handle, &fd) == 0 && fd > 2)
        close(fd);
}

void cws_loop_after_fork(void)
{
    atomic_fetch_add(&generation, 1);
    /* The thread that may have held the lock is not in this process. */
    pthread_mutex_init(&lock, NULL);
    struct cws_loop *parents = default_loop;
    default_loop = NULL;
    is_shut_down = false;
    if (!parents)
        return;
    /* The child's copies of the sockets must go, or the peer would not see the parent close them.
     * Raw close(): no TLS or HTTP/2 good-bye, no epoll_ctl on the epoll instance that is shared
     * with the parent. */
    uv_walk(cws_loop_uv(parents), close_descriptor, NULL);
    close(uv_backend_fd(cws_loop_uv(parents)));
}

unsigned cws_loop_generation(void)
{
    return atomic_load_explicit(&generation, memory_order_relaxed);
}
