#include "box/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "box/box_private.h"
#include "box/environment.h"
#include "box/pipe.h"
#include "io/timer.h"
#include "values/bounds.h"

#define READ_SIZE (64 * 1024)

/* A client's message is at most 100 MiB, and the service takes no further one while something is
 * pending. */
#define MAX_PENDING_STDIN ((size_t)256 << 20)

struct output {
    struct cwsd_watch watch;
    struct cwsd_exec *exec;
    bool is_stderr;
    int last_bytes; /* once the command has ended: what it wrote and was not read yet */
};

struct cwsd_exec {
    struct cws_loop *loop;
    struct cwsd_box *box;          /* NULL: the id is given back */
    struct cwsd_occupant occupant; /* of the box */
    const struct cwsd_exec_events *events;
    void *ctx;
    struct cwsd_request start, kill, drain;
    bool is_connection; /* which is no command, and counts as none */
    bool has_terminal;
    bool hung_up;
    struct cwsd_request resize, hang_up; /* with a terminal */
    struct cws_timer grace;              /* after hang_up: then it is killed */
    unsigned resizing;                   /* sizes that the init has not reported yet */

    bool started;
    bool exited; /* wait_status is how */
    bool lost;   /* failure says why */
    bool told;   /* the last event was sent */
    bool freed;  /* no events any more; the memory goes when the kernel and the init are done with
                  * it */
    bool paused;
    int wait_status;
    struct cws_error failure;

    struct output outputs[2]; /* stdout, stderr */
    struct cwsd_watch stdin_watch;
    struct cws_buf stdin_queue;
    bool stdin_is_wide; /* its pipe was enlarged, and counts as such until the id is given back */
    bool stdin_ends;
};

/* ---- the end -------------------------------------------------------------------------------- */

static void release_if_done(struct cwsd_exec *exec)
{
    if (!exec->freed || exec->box || exec->outputs[0].watch.busy || exec->outputs[1].watch.busy ||
        exec->stdin_watch.busy || exec->drain.settled)
        return;
    cws_buf_done(&exec->stdin_queue);
    cws_free(exec);
}

static void on_output_closed(struct cwsd_watch *watch)
{
    release_if_done(cws_container_of(watch, struct output, watch)->exec);
}

static void on_stdin_closed(struct cwsd_watch *watch)
{
    release_if_done(cws_container_of(watch, struct cwsd_exec, stdin_watch));
}

static void close_stdin(struct cwsd_exec *exec)
{
    cws_buf_consume(&exec->stdin_queue, exec->stdin_queue.len);
    cwsd_watch_close(&exec->stdin_watch, on_stdin_closed);
}

/* Nothing more is written, but the pipe stays open: its end would be typed as the end of input. */
static void drop_stdin(struct cwsd_exec *exec)
{
    cws_buf_consume(&exec->stdin_queue, exec->stdin_queue.len);
    cwsd_watch_for(&exec->stdin_watch, 0);
    exec->stdin_ends = true;
}

static void give_back_id(struct cwsd_exec *exec)
{
    cwsd_request_done(&exec->start);
    cwsd_request_done(&exec->kill);
    cwsd_request_done(&exec->resize);
    cwsd_request_done(&exec->hang_up);
    cws_timer_cancel(exec->loop, &exec->grace);
    exec->box->wide_pipes -= exec->stdin_is_wide;
    cwsd_box_detach(exec->box, &exec->occupant);
    exec->box = NULL;
}

static void on_handed_over(struct cwsd_request *request)
{
    release_if_done(cws_container_of(request, struct cwsd_exec, drain));
}

/* The pipes that somebody can still write to are read by the init from now on: who was left in the
 * background, or got out of the process group that is killed, must not die of SIGPIPE. The exec may
 * be gone afterwards. */
static void hand_over_pipes(struct cwsd_exec *exec)
{
    struct pollfd pipes[2] = {{.fd = exec->outputs[0].watch.fd}, {.fd = exec->outputs[1].watch.fd}};
    if (poll(pipes, 2, 0) < 0)
        pipes[0].revents = pipes[1].revents = 0;
    for (size_t i = 0; i < 2; i++) {
        struct cwsd_watch *watch = &exec->outputs[i].watch;
        if (pipes[i].revents & POLLHUP)
            cwsd_watch_close(watch, on_output_closed);
        else if (watch->fd >= 0)
            exec->drain.fds[exec->drain.fd_count++] = cwsd_watch_take(watch, on_output_closed);
    }
    if (!exec->drain.fd_count)
        return;
    exec->drain.settled = on_handed_over;
    cwsd_line_send(&exec->box->line, &exec->drain);
}

/* Everything that will be read of it has been read. A command that was lost is read to its very
 * end: its pipes end with the box. One that exited may have left a process behind that keeps them
 * open. */
static bool is_drained(const struct output *output, const struct cwsd_exec *exec)
{
    return output->watch.fd < 0 || (exec->exited && output->last_bytes <= 0);
}

static void finish_if_drained(struct cwsd_exec *exec)
{
    if (exec->freed || exec->told || !(exec->exited || exec->lost) ||
        !is_drained(&exec->outputs[0], exec) || !is_drained(&exec->outputs[1], exec))
        return;
    exec->told = true;
    if (exec->box) {
        hand_over_pipes(exec);
        give_back_id(exec);
    }
    cwsd_watch_close(&exec->outputs[0].watch, on_output_closed);
    cwsd_watch_close(&exec->outputs[1].watch, on_output_closed);
    if (exec->exited)
        exec->events->on_exited(exec->ctx, cwsd_box_exit_code(exec->wait_status));
    else
        exec->events->on_failed(exec->ctx, &exec->failure);
}

/* The exec may be gone afterwards. */
static void finish_or_release(struct cwsd_exec *exec)
{
    if (exec->freed)
        release_if_done(exec);
    else
        finish_if_drained(exec);
}

static bool on_started(struct cwsd_occupant *occupant)
{
    struct cwsd_exec *exec = cws_container_of(occupant, struct cwsd_exec, occupant);
    if (exec->started)
        return false;
    exec->started = true;
    exec->box->execs.started += !exec->is_connection;
    exec->box->execs.running += !exec->is_connection;
    if (exec->freed)
        return true;
    exec->events->on_started(exec->ctx);
    cwsd_exec_pause(exec, exec->paused); /* what was written before is heard of after the start */
    return true;
}

static bool on_exited(struct cwsd_occupant *occupant, int wait_status)
{
    struct cwsd_exec *exec = cws_container_of(occupant, struct cwsd_exec, occupant);
    if (!exec->started || exec->exited)
        return false;
    exec->exited = true;
    exec->box->execs.running -= !exec->is_connection;
    exec->wait_status = wait_status;
    if (exec->freed)
        give_back_id(exec);
    close_stdin(exec);
    for (size_t i = 0; i < CWS_ARRAY_LEN(exec->outputs); i++) {
        struct output *output = &exec->outputs[i];
        if (output->watch.fd >= 0 && ioctl(output->watch.fd, FIONREAD, &output->last_bytes) < 0)
            output->last_bytes = 0;
    }
    finish_or_release(exec);
    return true;
}

static void on_lost(struct cwsd_occupant *occupant, const struct cws_error *err)
{
    struct cwsd_exec *exec = cws_container_of(occupant, struct cwsd_exec, occupant);
    if (exec->started && !exec->exited)
        exec->box->execs.running -= !exec->is_connection;
    give_back_id(exec);
    if (exec->exited)
        return; /* only its output was still being read */
    exec->lost = true;
    exec->failure = *err;
    close_stdin(exec);
    /* Without a start, too, the pipes have an end to be read. */
    if (!exec->started && !exec->freed)
        cwsd_exec_pause(exec, exec->paused);
    finish_or_release(exec);
}

static void on_resized(struct cwsd_occupant *occupant);

static bool on_failed(struct cwsd_occupant *occupant, const struct cws_error *err)
{
    if (cws_container_of(occupant, struct cwsd_exec, occupant)->started)
        return false;
    on_lost(occupant, err);
    return true;
}

/* The init has never heard of it. */
static void on_start_refused(struct cwsd_request *request, const struct cws_error *err)
{
    on_lost(&cws_container_of(request, struct cwsd_exec, start)->occupant, err);
}

static const struct cwsd_occupant_events occupant_events = {
    .started = on_started,
    .exited = on_exited,
    .failed = on_failed,
    .lost = on_lost,
    .resized = on_resized,
};

/* ---- output --------------------------------------------------------------------------------- */

/* A connection that was never made, or is over, has closed its stdin before its output. */
static bool still_reads(const struct cwsd_exec *exec)
{
    struct pollfd input = {.fd = exec->stdin_watch.fd};
    return exec->is_connection && !exec->exited && input.fd >= 0 && poll(&input, 1, 0) == 0;
}

static void on_readable(struct cwsd_watch *watch, int events)
{
    struct output *output = cws_container_of(watch, struct output, watch);
    struct cwsd_exec *exec = output->exec;
    uint8_t data[READ_SIZE];
    (void)events;
    ssize_t len = read(watch->fd, data, sizeof(data));
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (len <= 0) {
        cwsd_watch_close(watch, on_output_closed);
        if (still_reads(exec) && exec->events->on_output_ended)
            exec->events->on_output_ended(exec->ctx);
    } else {
        if (exec->exited) /* before that it counts nothing, and would overflow after 2 GiB */
            output->last_bytes -= (int)len;
        exec->events->on_output(exec->ctx, output->is_stderr, data, (size_t)len);
    }
    /* If it was freed in there, its memory stays until its handles, this one too, are closed. */
    finish_if_drained(exec);
}

void cwsd_exec_pause(struct cwsd_exec *exec, bool paused)
{
    exec->paused = paused;
    for (size_t i = 0; i < CWS_ARRAY_LEN(exec->outputs); i++)
        cwsd_watch_for(&exec->outputs[i].watch, paused ? 0 : UV_READABLE);
}

/* ---- input ---------------------------------------------------------------------------------- */

/* Writes what the pipe takes. False when the command will read no more. */
static bool write_some(struct cwsd_exec *exec, const uint8_t *data, size_t len, size_t *out_written)
{
    *out_written = 0;
    while (*out_written < len) {
        ssize_t written = write(exec->stdin_watch.fd, data + *out_written, len - *out_written);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return errno == EAGAIN;
        *out_written += (size_t)written;
    }
    return true;
}

/* Once the pipe has been full. A command that reads quickly then finds enough in it for its whole
 * turn on the CPU, and need not wait every 64 KiB until the daemon has had one. False if it stays
 * as it is: the sandbox, or the user, has too much in pipes already. */
static bool widen(struct cwsd_exec *exec)
{
    if (exec->stdin_is_wide || !exec->box || exec->box->wide_pipes >= CWSD_MAX_WIDE_PIPES ||
        fcntl(exec->stdin_watch.fd, F_SETPIPE_SZ, CWSD_STDIN_PIPE) < 0)
        return false;
    exec->stdin_is_wide = true;
    exec->box->wide_pipes++;
    return true;
}

static void write_queued(struct cwsd_exec *exec)
{
    struct cwsd_watch *watch = &exec->stdin_watch;
    size_t written;
    bool open =
        write_some(exec, cws_buf_bytes(&exec->stdin_queue), exec->stdin_queue.len, &written);
    cws_buf_consume(&exec->stdin_queue, written);
    if (!open)
        cws_buf_consume(&exec->stdin_queue, exec->stdin_queue.len);
    if (exec->stdin_queue.len) {
        cwsd_watch_for(watch, UV_WRITABLE);
        return;
    }
    if (!open || exec->stdin_ends)
        close_stdin(exec);
    else
        cwsd_watch_for(watch, 0);
    exec->events->on_stdin_drained(exec->ctx);
}

static void on_writable(struct cwsd_watch *watch, int events)
{
    (void)events;
    write_queued(cws_container_of(watch, struct cwsd_exec, stdin_watch));
}

enum cws_status cwsd_exec_write(struct cwsd_exec *exec, const uint8_t *data, size_t len)
{
    if (exec->stdin_watch.fd < 0 || exec->stdin_ends)
        return CWS_OK;
    size_t written = 0, more = 0;
    if (exec->stdin_queue.len == 0 && !exec->resizing) {
        bool open = write_some(exec, data, len, &written);
        if (open && written < len && widen(exec))
            open = write_some(exec, data + written, len - written, &more);
        if (!open) {
            close_stdin(exec);
            return CWS_OK;
        }
        written += more;
    }
    if (written == len)
        return CWS_OK;
    enum cws_status status = cws_buf_append(&exec->stdin_queue, data + written, len - written);
    if (status == CWS_OK && !exec->resizing)
        cwsd_watch_for(&exec->stdin_watch, UV_WRITABLE);
    return status;
}

size_t cwsd_exec_stdin_pending(const struct cwsd_exec *exec)
{
    return exec->stdin_queue.len;
}

void cwsd_exec_close_stdin(struct cwsd_exec *exec)
{
    exec->stdin_ends = true;
    if (exec->stdin_queue.len == 0 && !exec->resizing)
        close_stdin(exec);
}

/* ---- the terminal --------------------------------------------------------------------------- */

static bool can_be_asked(const struct cwsd_exec *exec)
{
    return exec->has_terminal && exec->box && !exec->exited;
}

/* The later one counts if the init has not been sent the earlier one. Input goes another way than
 * sizes. What comes after a size waits for the init's report of it, so that a program that is told
 * something by its user already knows the size that the user saw. */
void cwsd_exec_resize(struct cwsd_exec *exec, const struct cwsd_exec_size *size)
{
    if (!can_be_asked(exec))
        return;
    exec->resize.packet.value = CWSI_SIZE(size->columns, size->rows);
    if (!cws_list_is_empty(&exec->resize.node))
        return;
    exec->resizing++;
    cwsd_watch_for(&exec->stdin_watch, 0);
    cwsd_line_send(&exec->box->line, &exec->resize);
}

static void on_resized(struct cwsd_occupant *occupant)
{
    struct cwsd_exec *exec = cws_container_of(occupant, struct cwsd_exec, occupant);
    if (!exec->started || exec->resizing == 0 || --exec->resizing || exec->freed ||
        exec->stdin_watch.fd < 0 || exec->hung_up)
        return;
    if (exec->stdin_queue.len || exec->stdin_ends)
        write_queued(exec);
}

static void kill_it(struct cws_timer *timer)
{
    struct cwsd_exec *exec = cws_container_of(timer, struct cwsd_exec, grace);
    cwsd_line_send(&exec->box->line, &exec->kill);
}

void cwsd_exec_hang_up(struct cwsd_exec *exec)
{
    if (!can_be_asked(exec) || exec->hung_up)
        return;
    exec->hung_up = true;
    drop_stdin(exec);
    cwsd_line_send(&exec->box->line, &exec->hang_up);
    uint64_t due = cws_clock_now_ns() + CWSD_HANG_UP_GRACE_MS * CWS_NS_PER_MS;
    if (cws_timer_set(exec->loop, &exec->grace, due) != CWS_OK)
        kill_it(&exec->grace);
}

/* ---- the beginning -------------------------------------------------------------------------- */

static char term_text[] = CWSD_EXEC_TERM;
static char *term_items[] = {term_text, NULL};
static const struct cwsd_string_list term = {.items = term_items, .count = 1};

static enum cws_status set_command(struct cwsd_exec *exec, const struct cwsd_exec_options *options,
                                   struct cws_error *err)
{
    const char *working_dir = options->working_dir ? options->working_dir : exec->box->working_dir;
    struct cwsd_string_list environment = exec->box->environment;
    char **merged = NULL, **with_term = NULL;
    enum cws_status status = CWS_OK;
    if (options->environment.count) {
        status = cwsd_environment_merge(&exec->box->environment, &options->environment, &merged,
                                        &environment.count);
        environment.items = merged;
    }
    if (status == CWS_OK && options->terminal) {
        status = cwsd_environment_merge(&term, &environment, &with_term, &environment.count);
        environment.items = with_term;
    }
    if (status == CWS_OK)
        status = cwsd_request_set_command(&exec->start, &options->command, &environment,
                                          working_dir, err);
    else
        cws_error_set(err, CWS_NO_MEMORY, "out of memory for a command");
    cws_free(merged);
    cws_free(with_term);
    return status;
}

static void set_terminal(struct cwsd_exec *exec, const struct cwsd_exec_size *size)
{
    exec->has_terminal = true;
    exec->start.packet.flags |= CWSI_TTY;
    exec->start.packet.value = CWSI_SIZE(size->columns, size->rows);
}

static enum cws_status prepare(struct cwsd_exec *exec, const struct cwsd_exec_options *options,
                               struct cws_error *err)
{
    bool two_pipes = options->terminal || options->port;
    enum cws_status status = options->port ? cwsd_request_set_port(&exec->start, options->port, err)
                                           : set_command(exec, options, err);
    if (status == CWS_OK && (options->with_stdin || two_pipes))
        status = cwsd_pipe_open(exec->box, &exec->start, CWSI_STDIN, &exec->stdin_watch,
                                on_writable, err);
    if (status == CWS_OK)
        status = cwsd_pipe_open(exec->box, &exec->start, CWSI_STDOUT, &exec->outputs[0].watch,
                                on_readable, err);
    if (status == CWS_OK && !two_pipes)
        status = cwsd_pipe_open(exec->box, &exec->start, CWSI_STDERR, &exec->outputs[1].watch,
                                on_readable, err);
    if (options->terminal)
        set_terminal(exec, options->terminal); /* flags that bring no descriptor come last */
    return status;
}

enum cws_status cwsd_exec_start(struct cwsd_box *box, const struct cwsd_exec_options *options,
                                const struct cwsd_exec_events *events, void *ctx,
                                struct cwsd_exec **out_exec, struct cws_error *err)
{
    struct cwsd_exec *exec = cws_calloc(1, sizeof(*exec));
    if (!exec)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for a command");
    exec->loop = box->loop;
    exec->events = events;
    exec->ctx = ctx;
    exec->occupant.events = &occupant_events;
    cws_buf_init(&exec->stdin_queue, MAX_PENDING_STDIN);
    exec->stdin_watch.fd = -1;
    for (size_t i = 0; i < CWS_ARRAY_LEN(exec->outputs); i++)
        exec->outputs[i] = (struct output){.watch.fd = -1, .exec = exec, .is_stderr = i == 1};
    enum cws_status status = cwsd_box_attach(box, &exec->occupant, err);
    if (status != CWS_OK) {
        cws_free(exec);
        return status;
    }
    exec->box = box;
    exec->is_connection = options->port != 0;
    cwsd_request_init(&exec->start, exec->is_connection ? CWSI_CONNECT : CWSI_START,
                      exec->occupant.id);
    exec->start.refused = on_start_refused;
    cwsd_request_init(&exec->kill, CWSI_KILL, exec->occupant.id);
    cwsd_request_init(&exec->drain, CWSI_DRAIN, exec->occupant.id);
    cwsd_request_init(&exec->resize, CWSI_RESIZE, exec->occupant.id);
    cwsd_request_init(&exec->hang_up, CWSI_HANG_UP, exec->occupant.id);
    cws_timer_init(&exec->grace, kill_it);
    status = prepare(exec, options, err);
    if (status != CWS_OK) {
        give_back_id(exec);
        cwsd_exec_free(exec);
        return status;
    }
    cwsd_line_send(&box->line, &exec->start);
    *out_exec = exec;
    return CWS_OK;
}

/* The init has not heard of it yet. */
static bool is_queued(const struct cwsd_exec *exec)
{
    return !cws_list_is_empty(&exec->start.node);
}

void cwsd_exec_free(struct cwsd_exec *exec)
{
    exec->freed = true;
    bool hangs_up = can_be_asked(exec) && !is_queued(exec);
    if (!hangs_up)
        close_stdin(exec);
    if (exec->box && is_queued(exec)) {
        give_back_id(exec);
    } else if (exec->box) {
        if (hangs_up)
            cwsd_exec_hang_up(exec);
        else if (!exec->exited)
            cwsd_line_send(&exec->box->line, &exec->kill);
        hand_over_pipes(exec);
        if (exec->exited)
            give_back_id(exec);
    }
    cwsd_watch_close(&exec->outputs[0].watch, on_output_closed);
    cwsd_watch_close(&exec->outputs[1].watch, on_output_closed);
    release_if_done(exec);
}
