#include "io/resolve.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

#ifndef AI_IDN
#define AI_IDN 0 /* musl: names are looked up as they are */
#endif

struct cws_resolve {
    struct cws_task task; /* posted by the thread at its end */
    struct cws_loop *loop;
    cws_resolve_done_fn done; /* NULL: cancelled; loop thread */
    void *ctx;
    int rc;     /* getaddrinfo's */
    int errnum; /* errno, for EAI_SYSTEM */
    struct addrinfo *found;
    char service[8];
    char host[];
};

static void *look_up(void *arg)
{
    struct cws_resolve *resolve = arg;
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_IDN};
    pthread_setname_np(pthread_self(), "cwsandbox-dns");
    resolve->rc = getaddrinfo(resolve->host, resolve->service, &hints, &resolve->found);
    resolve->errnum = errno;
    cws_loop_post(resolve->loop, &resolve->task);
    return NULL;
}

static void tell_error(const struct cws_resolve *resolve, struct cws_error *err)
{
    if (resolve->rc == EAI_MEMORY)
        cws_error_set(err, CWS_NO_MEMORY, "%s", cws_status_text(CWS_NO_MEMORY));
    else if (resolve->rc == EAI_SYSTEM)
        cws_error_set_errno(err, CWS_RESOLVE, resolve->errnum, "name look-up failed");
    else
        cws_error_set(err, CWS_RESOLVE, "name look-up failed: %s", gai_strerror(resolve->rc));
}

static void run_done(struct cws_task *task)
{
    struct cws_resolve *resolve = cws_container_of(task, struct cws_resolve, task);
    cws_resolve_done_fn done = resolve->done;
    void *ctx = resolve->ctx;
    struct addrinfo *found = resolve->rc == 0 ? resolve->found : NULL;
    struct cws_error err = {.status = CWS_OK};
    if (!found)
        tell_error(resolve, &err);
    cws_loop_release(resolve->loop);
    cws_free(resolve);
    if (done)
        done(ctx, found, &err);
    else if (found)
        freeaddrinfo(found);
}

/* A detached thread that takes no signals; 0 or an errno. */
static int start_thread(struct cws_resolve *resolve)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&thread, NULL, look_up, resolve);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        pthread_detach(thread);
    return rc;
}

struct cws_resolve *cws_resolve_start(struct cws_loop *loop, const char *host, uint16_t port,
                                      cws_resolve_done_fn done, void *ctx, struct cws_error *err)
{
    size_t size = strlen(host) + 1;
    struct cws_resolve *resolve = cws_calloc(1, sizeof(*resolve) + size);
    if (!resolve) {
        cws_error_set(err, CWS_NO_MEMORY, "%s", cws_status_text(CWS_NO_MEMORY));
        return NULL;
    }
    resolve->task.run = run_done;
    resolve->loop = loop;
    resolve->done = done;
    resolve->ctx = ctx;
    snprintf(resolve->service, sizeof(resolve->service), "%u", port);
    memcpy(resolve->host, host, size);
    cws_loop_hold(loop);
    int rc = start_thread(resolve);
    if (rc == 0)
        return resolve;
    cws_loop_release(loop);
    cws_free(resolve);
    cws_error_set_errno(err, CWS_RESOLVE, rc, "name look-up failed: no thread could be started");
    return NULL;
}

void cws_resolve_cancel(struct cws_resolve *resolve)
{
    resolve->done = NULL;
}
