#include "box/file_op.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "box/pipe.h"
#include "values/bounds.h"

/* Of one file at a time, so that it cannot keep the loop from the others. */
#define MOVES_AT_ONCE 16

/* For files that do not say how much they have, such as those in /proc. */
#define MIN_ROOM 4096

struct cwsd_file_op {
    struct cwsd_box *box;          /* NULL: its turn is over */
    struct cws_claim turn;         /* of the box's file_ops */
    struct cws_claim share;        /* of the box's file_bytes, while it reads */
    struct cwsd_occupant occupant; /* of the box, once it is attached */
    const struct cwsd_file_op_events *events;
    void *ctx;
    struct cwsd_request start, kill;
    struct cwsd_watch pipe;
    const char *path;
    bool writes;

    struct cws_error
        *refusal;  /* where a failure to begin goes; NULL once cwsd_file_op_... returned */
    bool attached; /* it has an id */
    bool started;
    bool exited;
    bool told;     /* the last event was sent */
    bool freed;    /* no events any more; the memory goes when the kernel and the init are done */
    unsigned busy; /* it is still used below on the stack */

    struct {
        size_t max;
        struct cwsi_file_head head;
        size_t head_len;
        uint8_t *room; /* where what comes next goes */
        size_t room_len;
        size_t len;    /* of the content so far */
        size_t needed; /* the room that is to be asked for */
    } in;
    struct {
        const uint8_t *content; /* what the pipe has not taken yet */
        size_t len;
    } out;
};

/* ---- the end -------------------------------------------------------------------------------- */

static void release_if_done(struct cwsd_file_op *op)
{
    if (op->freed && !op->box && !op->pipe.busy && !op->busy)
        cws_free(op);
}

static void on_pipe_closed(struct cwsd_watch *watch)
{
    release_if_done(cws_container_of(watch, struct cwsd_file_op, pipe));
}

/* Others may begin from inside this call, and tell of it. */
static void end_turn(struct cwsd_file_op *op)
{
    struct cwsd_box *box = op->box;
    op->box = NULL;
    cwsd_request_done(&op->start);
    cwsd_request_done(&op->kill);
    if (op->attached)
        cwsd_box_detach(box, &op->occupant);
    op->busy++;
    cws_claim_end(&op->share);
    cws_claim_end(&op->turn);
    op->busy--;
}

static void fail(struct cwsd_file_op *op, const struct cwsd_file_op_failure *failure)
{
    cwsd_watch_close(&op->pipe, on_pipe_closed);
    if (op->freed || op->told)
        return;
    op->told = true;
    op->events->on_failed(op->ctx, failure);
}

static void fail_with(struct cwsd_file_op *op, int number)
{
    struct cwsd_file_op_failure failure = {.number = number};
    if (number == CWSI_FILE_TOO_LARGE)
        failure.size = op->in.head.size > op->in.max ? op->in.head.size : op->in.max + 1;
    fail(op, &failure);
}

/* All that was read has arrived, and the child has said that this is all. */
static void finish_if_read(struct cwsd_file_op *op)
{
    if (op->freed || op->told || !op->exited || op->pipe.fd >= 0)
        return;
    if (op->in.head_len < sizeof(op->in.head)) {
        struct cwsd_file_op_failure failure = {0};
        cws_error_set(&failure.err, CWS_PROTOCOL, "the sandbox's init sent no file");
        fail(op, &failure);
        return;
    }
    op->told = true;
    op->events->on_done(op->ctx, op->in.len);
}

static void on_share(struct cws_claim *claim)
{
    struct cwsd_file_op *op = cws_container_of(claim, struct cwsd_file_op, share);
    op->events->on_need(op->ctx, op->in.needed);
}

static void on_no_share(struct cws_claim *claim)
{
    struct cwsd_file_op *op = cws_container_of(claim, struct cwsd_file_op, share);
    struct cwsd_file_op_failure failure = {0};
    cws_error_set(&failure.err, CWS_TOO_LARGE,
                  "files of %zu MiB are being read in sandbox %s, and have been for %d s",
                  CWSD_MAX_ARRIVING_FILE_BYTES / CWSD_MIB, op->box->id,
                  CWSD_FILE_PATIENCE_MS / 1000);
    fail(op, &failure);
}

static bool on_started(struct cwsd_occupant *occupant)
{
    struct cwsd_file_op *op = cws_container_of(occupant, struct cwsd_file_op, occupant);
    bool expected = !op->started;
    op->started = true;
    return expected;
}

static void take_end(struct cwsd_file_op *op, int wait_status)
{
    if (WIFSIGNALED(wait_status)) {
        struct cwsd_file_op_failure failure = {0};
        cws_error_set(&failure.err, CWS_SYSTEM, "the process that did it was killed by signal %d",
                      WTERMSIG(wait_status));
        fail(op, &failure);
    } else if (WEXITSTATUS(wait_status)) {
        fail_with(op, WEXITSTATUS(wait_status));
    } else if (op->writes) {
        cwsd_watch_close(&op->pipe, on_pipe_closed);
        op->told = true;
        op->events->on_done(op->ctx, 0);
    } else {
        finish_if_read(op);
    }
}

static bool on_exited(struct cwsd_occupant *occupant, int wait_status)
{
    struct cwsd_file_op *op = cws_container_of(occupant, struct cwsd_file_op, occupant);
    if (!op->started || op->exited)
        return false;
    bool waits = cws_claim_waits(&op->share);
    op->exited = true;
    end_turn(op);
    if (waits) /* nothing holds up any more what is left in the pipe */
        on_share(&op->share);
    if (op->freed)
        release_if_done(op);
    else if (!op->told)
        take_end(op, wait_status);
    return true;
}

static void on_lost(struct cwsd_occupant *occupant, const struct cws_error *err)
{
    struct cwsd_file_op *op = cws_container_of(occupant, struct cwsd_file_op, occupant);
    const struct cwsd_file_op_failure failure = {.err = *err};
    end_turn(op);
    if (op->freed)
        release_if_done(op);
    else
        fail(op, &failure);
}

static bool on_failed(struct cwsd_occupant *occupant, const struct cws_error *err)
{
    if (cws_container_of(occupant, struct cwsd_file_op, occupant)->started)
        return false;
    on_lost(occupant, err);
    return true;
}

/* The init has never heard of it. */
static void on_start_refused(struct cwsd_request *request, const struct cws_error *err)
{
    on_lost(&cws_container_of(request, struct cwsd_file_op, start)->occupant, err);
}

static const struct cwsd_occupant_events occupant_events = {
    .started = on_started,
    .exited = on_exited,
    .failed = on_failed,
    .lost = on_lost,
};

/* ---- reading -------------------------------------------------------------------------------- */

/* One byte more than the file seems to have: that it has no more is seen without asking again. */
static void need(struct cwsd_file_op *op, uint64_t len)
{
    size_t most = op->in.max + 1 - op->in.len;
    size_t more = len < MIN_ROOM ? MIN_ROOM : (size_t)len + 1;
    cwsd_watch_for(&op->pipe, 0);
    op->in.needed = more < most ? more : most;
    if (op->box)
        cws_claim_more(&op->share, &op->box->file_bytes, op->in.needed);
    else
        on_share(&op->share); /* the child has ended: the rest is in the pipe */
}

static void take_head(struct cwsd_file_op *op, size_t len)
{
    op->in.head_len += len;
    if (op->in.head_len < sizeof(op->in.head))
        return;
    if (op->in.head.size > op->in.max)
        fail_with(op, CWSI_FILE_TOO_LARGE);
    else
        need(op, op->in.head.size);
}

static void take_content(struct cwsd_file_op *op, size_t len)
{
    op->in.len += len;
    op->in.room += len;
    op->in.room_len -= len;
    if (op->in.len > op->in.max)
        fail_with(op, CWSI_FILE_TOO_LARGE);
    else if (op->in.room_len == 0)
        need(op, op->in.len);
}

/* False when there is nothing to read, or nowhere to put it. */
static bool read_some(struct cwsd_file_op *op)
{
    bool head = op->in.head_len < sizeof(op->in.head);
    uint8_t *to = head ? (uint8_t *)&op->in.head + op->in.head_len : op->in.room;
    size_t room = head ? sizeof(op->in.head) - op->in.head_len : op->in.room_len;
    ssize_t len = room ? read(op->pipe.fd, to, room) : 0;
    if (!room || (len < 0 && errno == EAGAIN))
        return false;
    if (len < 0)
        return errno == EINTR;
    if (len == 0)
        cwsd_watch_close(&op->pipe, on_pipe_closed);
    else if (head)
        take_head(op, (size_t)len);
    else
        take_content(op, (size_t)len);
    return true;
}

static void on_readable(struct cwsd_watch *watch, int events)
{
    struct cwsd_file_op *op = cws_container_of(watch, struct cwsd_file_op, pipe);
    (void)events;
    /* If it is freed in there, its memory stays until its handle is closed. */
    for (int i = 0; i < MOVES_AT_ONCE && watch->fd >= 0 && read_some(op); i++)
        ;
    if (watch->fd < 0)
        finish_if_read(op);
}

void cwsd_file_op_give(struct cwsd_file_op *op, uint8_t *memory, size_t len)
{
    op->in.room = memory;
    op->in.room_len = len;
    cwsd_watch_for(&op->pipe, UV_READABLE);
}

/* ---- writing -------------------------------------------------------------------------------- */

static void on_writable(struct cwsd_watch *watch, int events)
{
    struct cwsd_file_op *op = cws_container_of(watch, struct cwsd_file_op, pipe);
    bool open = true;
    (void)events;
    for (int i = 0; i < MOVES_AT_ONCE && open && op->out.len; i++) {
        ssize_t written = write(watch->fd, op->out.content, op->out.len);
        if (written < 0 && errno == EAGAIN)
            break;
        open = written >= 0 || errno == EINTR; /* else the child has given up, and says why */
        if (written > 0) {
            op->out.content += written;
            op->out.len -= (size_t)written;
        }
    }
    if (open && op->out.len)
        cwsd_watch_for(watch, UV_WRITABLE);
    else
        cwsd_watch_close(watch, on_pipe_closed);
}

/* ---- the beginning -------------------------------------------------------------------------- */

static enum cws_status launch(struct cwsd_file_op *op, struct cws_error *err)
{
    struct cwsd_box *box = op->box;
    uint32_t flag = op->writes ? CWSI_STDIN : CWSI_STDOUT;
    size_t size = op->writes ? op->out.len : op->in.max;
    enum cws_status status = cwsd_box_attach(box, &op->occupant, err);
    if (status != CWS_OK)
        return status;
    op->attached = true;
    op->start.packet.id = op->kill.packet.id = op->occupant.id;
    status = cwsd_request_set_file(&op->start, size, box->working_dir, op->path, err);
    if (status == CWS_OK)
        status = cwsd_pipe_open(box, &op->start, flag, &op->pipe,
                                op->writes ? on_writable : on_readable, err);
    if (status != CWS_OK)
        return status;
    cwsd_line_send(&box->line, &op->start);
    if (op->writes)
        on_writable(&op->pipe, UV_WRITABLE); /* most files fit into the pipe */
    else
        cwsd_watch_for(&op->pipe, UV_READABLE);
    return CWS_OK;
}

static void on_turn(struct cws_claim *claim)
{
    struct cwsd_file_op *op = cws_container_of(claim, struct cwsd_file_op, turn);
    struct cwsd_file_op_failure failure = {0};
    if (launch(op, op->refusal ? op->refusal : &failure.err) == CWS_OK)
        return;
    end_turn(op);
    if (!op->refusal)
        fail(op, &failure);
}

/* The box ended before it was its turn. */
static void on_no_turn(struct cws_claim *claim)
{
    struct cwsd_file_op *op = cws_container_of(claim, struct cwsd_file_op, turn);
    struct cwsd_file_op_failure failure = {0};
    cws_error_set(&failure.err, CWS_CLOSED, "sandbox %s ended before that", op->box->id);
    end_turn(op);
    fail(op, &failure);
}

static struct cwsd_file_op *new_op(bool writes, const char *path,
                                   const struct cwsd_file_op_events *events, void *ctx)
{
    struct cwsd_file_op *op = cws_calloc(1, sizeof(*op));
    if (!op)
        return NULL;
    op->writes = writes;
    op->path = path;
    op->events = events;
    op->ctx = ctx;
    op->pipe.fd = -1;
    op->occupant.events = &occupant_events;
    op->turn.granted = on_turn;
    op->turn.refused = on_no_turn;
    op->share.granted = on_share;
    op->share.refused = on_no_share;
    cwsd_request_init(&op->start, writes ? CWSI_WRITE_FILE : CWSI_READ_FILE, 0);
    cwsd_request_init(&op->kill, CWSI_KILL, 0);
    op->start.refused = on_start_refused;
    return op;
}

static enum cws_status begin(struct cwsd_file_op *op, struct cwsd_box *box,
                             struct cwsd_file_op **out_op, struct cws_error *err)
{
    if (!op)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for a file operation");
    if (box->state != CWSD_BOX_RUNNING) {
        cws_free(op);
        return cws_error_set(err, CWS_CLOSED, "sandbox %s does not run", box->id);
    }
    op->box = box;
    op->refusal = err;
    cws_claim_more(&op->turn, &box->file_ops, 1);
    op->refusal = NULL;
    if (!op->box) {
        enum cws_status status = err->status;
        cwsd_file_op_free(op);
        return status;
    }
    *out_op = op;
    return CWS_OK;
}

enum cws_status cwsd_file_op_read(struct cwsd_box *box, const char *path, size_t max,
                                  const struct cwsd_file_op_events *events, void *ctx,
                                  struct cwsd_file_op **out_op, struct cws_error *err)
{
    struct cwsd_file_op *op = new_op(false, path, events, ctx);
    if (op)
        op->in.max = max;
    return begin(op, box, out_op, err);
}

enum cws_status cwsd_file_op_write(struct cwsd_box *box, const char *path, const uint8_t *content,
                                   size_t len, const struct cwsd_file_op_events *events, void *ctx,
                                   struct cwsd_file_op **out_op, struct cws_error *err)
{
    struct cwsd_file_op *op = new_op(true, path, events, ctx);
    if (op) {
        op->out.content = content;
        op->out.len = len;
    }
    return begin(op, box, out_op, err);
}

void cwsd_file_op_free(struct cwsd_file_op *op)
{
    op->freed = true;
    /* The child sees the end of the pipe. One that writes a file removes what is unfinished then;
     * it is not killed, since it would leave that behind. */
    cwsd_watch_close(&op->pipe, on_pipe_closed);
    op->busy++;
    cws_claim_end(&op->share);
    op->busy--;
    if (op->box && (!op->attached || !cws_list_is_empty(&op->start.node)))
        end_turn(op); /* the init has not heard of it yet */
    else if (op->box && !op->writes)
        cwsd_line_send(&op->box->line, &op->kill);
    release_if_done(op);
}
