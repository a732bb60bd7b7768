#include "host/egress_stack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cwsandbox-init/protocol.h"
#include "host/program.h"
#include "values/text.h"

/* What no rule leads to anyway, so that it is in nobody's way. Its own gateway is in there. */
#define NETWORK "169.254.192.0/24"
#define MTU     "65520"

/* The descriptors that cwsd_child_spawn gives it. */
#define READY_FD        "3"
#define USER_NAMESPACE  "/proc/self/fd/4"
#define OTHER_NAMESPACE "/proc/self/fd/5"
_Static_assert(CWSI_SOCKET == 3 && CWSI_PROGRAM == 4 && CWSI_NETWORK == 5,
               "as they are named here");

struct cwsd_egress_stack {
    struct cwsd_egress_stack_options options;
    struct cwsd_child child;
    struct cwsd_watch ready; /* of a pipe, until it is */
    int said_fd;             /* a pipe, its stderr: what does not fit into it is lost */
    bool ended, stopped;
};

static void release(struct cwsd_egress_stack *stack)
{
    struct cws_loop *loop = stack->options.loop;
    if (!stack->ended || !stack->stopped || stack->ready.busy)
        return;
    if (stack->said_fd >= 0)
        close(stack->said_fd);
    cws_free(stack);
    cws_loop_release(loop);
}

static void on_ready_closed(struct cwsd_watch *watch)
{
    release(cws_container_of(watch, struct cwsd_egress_stack, ready));
}

/* It writes one byte, or ends without. */
static void on_ready(struct cwsd_watch *watch, int events)
{
    struct cwsd_egress_stack *stack = cws_container_of(watch, struct cwsd_egress_stack, ready);
    char byte;
    (void)events;
    ssize_t got = read(watch->fd, &byte, 1);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    cwsd_watch_close(watch, on_ready_closed);
    if (got == 1)
        stack->options.on_ready(stack->options.ctx);
}

/* All of it on one line. */
static void read_said(const struct cwsd_egress_stack *stack, char *text, size_t size)
{
    ssize_t got = read(stack->said_fd, text, size - 1);
    size_t len = got > 0 ? (size_t)got : 0;
    while (len && text[len - 1] == '\n')
        len--;
    text[len] = '\0';
    for (char *end = strchr(text, '\n'); end; end = strchr(end, '\n'))
        *end = ';';
    cwsd_text_clean(text);
}

static void on_end(struct cwsd_child *child, int wait_status)
{
    struct cwsd_egress_stack *stack = cws_container_of(child, struct cwsd_egress_stack, child);
    char said[200];
    read_said(stack, said, sizeof(said));
    cwsd_program_ended(wait_status, said, sizeof(said));
    stack->ended = true;
    cwsd_watch_close(&stack->ready, on_ready_closed);
    if (!stack->stopped)
        stack->options.on_end(stack->options.ctx, said);
    else
        release(stack);
}

/* ---- start ---------------------------------------------------------------------------------- */

static enum cws_status spawn(struct cwsd_egress_stack *stack, int ready_fd, int said_fd,
                             struct cws_error *err)
{
    char parent[16];
    char *const argv[] = {(char *)stack->options.init_path,
                          (char *)"helper",
                          parent,
                          (char *)"0",
                          (char *)stack->options.program,
                          (char *)"--configure",
                          (char *)"--mtu=" MTU,
                          (char *)"--cidr=" NETWORK,
                          (char *)"--disable-host-loopback",
                          (char *)"--disable-dns",
                          (char *)"--enable-seccomp",
                          (char *)"--ready-fd=" READY_FD,
                          (char *)"--userns-path=" USER_NAMESPACE,
                          (char *)"--netns-type=path",
                          (char *)OTHER_NAMESPACE,
                          (char *)"eth0",
                          NULL};
    const struct cwsd_spawn_options options = {.argv = argv,
                                               .stderr_fd = said_fd,
                                               .socket_fd = ready_fd,
                                               .program_fd = stack->options.user_namespace,
                                               .network_fd = stack->options.network_namespace};
    snprintf(parent, sizeof(parent), "%d", (int)getpid());
    return cwsd_child_spawn(stack->options.loop, &stack->child, &options, on_end, err);
}

static void close_pair(int pipe[2])
{
    for (int i = 0; i < 2; i++)
        if (pipe[i] >= 0)
            close(pipe[i]);
}

static enum cws_status open_all(struct cwsd_egress_stack *stack, struct cws_error *err)
{
    int ready[2] = {-1, -1}, said[2] = {-1, -1};
    enum cws_status status = CWS_OK;
    if (pipe2(ready, O_CLOEXEC) < 0 || pipe2(said, O_CLOEXEC | O_NONBLOCK) < 0)
        status = cws_error_set_errno(err, CWS_SYSTEM, errno, "pipes for a sandbox's network");
    if (status == CWS_OK)
        status = cwsd_watch_open(stack->options.loop, &stack->ready, ready[0], on_ready, err);
    if (status == CWS_OK) {
        ready[0] = -1; /* the watch's */
        status = spawn(stack, ready[1], said[1], err);
    }
    if (status == CWS_OK) {
        stack->said_fd = said[0];
        said[0] = -1;
        cwsd_watch_for(&stack->ready, UV_READABLE);
    }
    close_pair(ready);
    close_pair(said);
    return status;
}

enum cws_status cwsd_egress_stack_start(const struct cwsd_egress_stack_options *options,
                                        struct cwsd_egress_stack **out_stack, struct cws_error *err)
{
    struct cwsd_egress_stack *stack = cws_calloc(1, sizeof(*stack));
    if (!stack)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for a sandbox");
    stack->options = *options;
    stack->ready.fd = stack->said_fd = -1;
    cws_loop_hold(options->loop);
    if (open_all(stack, err) == CWS_OK) {
        *out_stack = stack;
        return CWS_OK;
    }
    /* Its memory may still be the watch's. */
    stack->ended = stack->stopped = true;
    cwsd_watch_close(&stack->ready, on_ready_closed);
    release(stack);
    return err->status;
}

void cwsd_egress_stack_stop(struct cwsd_egress_stack *stack)
{
    if (!stack)
        return;
    stack->stopped = true;
    cwsd_child_kill_all(&stack->child);
    cwsd_watch_close(&stack->ready, on_ready_closed);
    release(stack);
}
