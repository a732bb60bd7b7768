#include "box/box_private.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "box/host_private.h"
#include "values/bounds.h"
#include "values/text.h"

/* Ten milliseconds are usual; a host that pages or a mount that hangs must not leave a box in
 * creation for ever. */
#define CREATE_TIMEOUT_NS (60 * CWS_NS_PER_S)

/* The pause between checks whether a box's last process has ended, when no event reports it. */
#define LINGER_NS (5 * CWS_NS_PER_MS)

int cwsd_box_exit_code(int wait_status)
{
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

/* ---- the end -------------------------------------------------------------------------------- */

static void release(struct cwsd_box *box)
{
    cwsd_request_done(&box->setup);
    cwsd_request_done(&box->go);
    cwsd_request_done(&box->main);
    cwsd_request_done(&box->term);
    cwsd_request_done(&box->usage);
    if (box->stderr_fd >= 0)
        close(box->stderr_fd);
    cwsd_volumes_done(box);
    if (!box->room)
        cwsd_users_give_back(box->host->users, box->user);
    cwsd_string_list_done(&box->environment);
    cws_free(box->slots);
    cws_free(box->working_dir);
    cws_free(box->id);
    cws_free(box);
}

static void fail(struct cwsd_box *box, const struct cws_error *err)
{
    if (box->failure.status == CWS_OK)
        box->failure = *err;
}

/* Ends every process of the box. An init that is on its way up ends once it is there: bubblewrap
 * itself must not be killed meanwhile, for the reason in layout.c. */
static void kill_all(struct cwsd_box *box)
{
    if (box->host->isolation != CWSD_ISOLATION_NONE && box->init.fd >= 0)
        syscall(SYS_pidfd_send_signal, box->init.fd, SIGKILL, NULL, 0);
    cwsd_line_end(&box->line);
}

/* What bubblewrap, or the init before it was ready, wrote to stderr: its first line. */
static void read_complaint(struct cwsd_box *box, char *line, size_t size)
{
    ssize_t len = box->stderr_fd < 0 ? 0 : read(box->stderr_fd, line, size - 1);
    line[len > 0 ? len : 0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    cwsd_text_clean(line);
}

static const char *step_name(uint32_t op)
{
    switch (op) {
    case 0:
        return "giving up privileges";
    case CWSI_STEP_PRIVATE:
        return "making the mounts private";
    case CWSI_STEP_OVERLAY:
        return "mounting an overlay on";
    case CWSI_STEP_VIEW:
    case CWSI_STEP_BIND:
        return "binding";
    case CWSI_STEP_MOUNT_FILE:
        return "putting the file";
    case CWSI_STEP_MKDIR:
    case CWSI_STEP_ENSURE_DIR:
        return "making the directory";
    case CWSI_STEP_SEAL_PROC:
    case CWSI_STEP_SEAL_DEV:
        return "protecting";
    case CWSI_STEP_RESIZE:
    case CWSI_STEP_LIMIT:
        return "limiting";
    case CWSI_STEP_VOLUME:
        return "making the volume";
    case CWSI_STEP_AWAIT:
        return "waiting for the content of";
    case CWSI_STEP_LEND:
        return "lending the volume";
    case CWSI_STEP_ADOPT:
    case CWSI_STEP_TAKE:
    case CWSI_STEP_MOUNT_VOLUME:
        return "mounting a volume at";
    case CWSI_STEP_DETACH:
        return "taking away";
    case CWSI_STEP_SETTING:
        return "changing the setting";
    default:
        return "setting up";
    }
}

/* Why a box never ran: the most informative of the known reasons. */
static void explain(struct cwsd_box *box, struct cws_error *err)
{
    char complaint[200];
    const struct cwsi_report *fault = &box->fault;
    const char *tool = box->host->bwrap ? "bubblewrap" : "cwsandbox-init";
    read_complaint(box, complaint, sizeof(complaint));
    if (box->failure.status != CWS_OK)
        *err = box->failure;
    else if (fault->op && box->setup.packet.op == 0)
        cws_error_set_errno(err, CWS_INVALID, fault->value, "the %s \"%s\"",
                            box->main.packet.flags & CWSI_IDLE ? "working directory"
                                                               : "main command",
                            cwsd_text_short(fault->path).text);
    else if (fault->op)
        cws_error_set_errno(err, CWS_SYSTEM, fault->value, "cwsandbox-init, %s %s",
                            step_name(fault->detail), fault->path);
    else if (complaint[0])
        cws_error_set(err, CWS_SYSTEM, "%s", complaint); /* begins with who says it */
    else if (box->killed)
        cws_error_set(err, CWS_CANCELLED, "stopped before its main command ran");
    else
        cws_error_set(err, CWS_SYSTEM, "%s ended with %d before the main command ran", tool,
                      cwsd_box_exit_code(box->child.wait_status));
}

static void tell_exited(struct cwsd_box *box)
{
    if (!box->told_exited)
        box->events->on_exited(box->ctx, box->exit_code);
    box->told_exited = true;
}

/* False for a moment if bubblewrap was killed from outside and its second process, which we cannot
 * watch, is still exiting. */
static bool is_reaped(struct cwsd_box *box)
{
    if (cwsd_child_reap_rest(&box->child))
        return true;
    box->lingers = cws_timer_set(box->loop, &box->timer, cws_clock_now_ns() + LINGER_NS) == CWS_OK;
    return !box->lingers;
}

/* Nothing of the box is left once bubblewrap was reaped, nobody holds the socket, and the pid
 * namespace's first process, which the kernel lets go as the last one, is gone, and reaped by
 * bubblewrap or, when that went first, by us. */
static void check_gone(struct cwsd_box *box)
{
    struct cws_error err = box->failure;
    if (box->child.watch.busy || box->line.watch.busy || box->init.busy || !is_reaped(box))
        return;
    cws_timer_cancel(box->loop, &box->timer);
    if (box->state == CWSD_BOX_CREATING)
        explain(box, &err);
    else if (box->failure.status == CWS_OK && box->killed && !box->exited)
        box->exit_code = 128 + SIGKILL;
    if (box->state != CWSD_BOX_CREATING && err.status == CWS_OK)
        tell_exited(box);
    box->events->on_gone(box->ctx, err.status == CWS_OK ? NULL : &err);
}

static void lose_commands(struct cwsd_box *box)
{
    struct cws_error err = box->failure;
    if (err.status == CWS_OK)
        cws_error_set(&err, CWS_CLOSED, "sandbox %s ended while the command ran", box->id);
    if (box->state == CWSD_BOX_RUNNING)
        box->state = CWSD_BOX_ENDING;
    for (uint32_t id = 1; id < box->slot_count; id++) {
        struct cwsd_occupant *occupant = box->slots[id].occupant;
        if (occupant)
            occupant->events->lost(occupant, &err);
    }
    cws_allowance_refuse(&box->file_ops);
}

static void on_line_closed(struct cwsd_watch *watch)
{
    check_gone(cws_container_of(watch, struct cwsd_box, line.watch));
}

static void on_init_closed(struct cwsd_watch *watch)
{
    check_gone(cws_container_of(watch, struct cwsd_box, init));
}

static void on_init_gone(struct cwsd_watch *watch, int events)
{
    (void)events;
    cwsd_watch_close(watch, on_init_closed);
}

void cwsd_box_note_child_end(struct cwsd_child *child, int wait_status)
{
    struct cwsd_box *box = cws_container_of(child, struct cwsd_box, child);
    (void)wait_status;
    if (!child->dismissed)
        kill_all(box); /* it may have been killed from outside, and be the only one that is gone */
    check_gone(box);
}

/* ---- what the init says --------------------------------------------------------------------- */

static bool on_hello(struct cwsd_box *box, int pidfd)
{
    struct cws_error err;
    /* Before any command runs in there, so it is our init's own. */
    if (pidfd < 0 || box->init.busy || box->state != CWSD_BOX_CREATING)
        return false;
    if (cwsd_watch_open(box->loop, &box->init, pidfd, on_init_gone, &err) != CWS_OK) {
        fail(box, &err);
        return false;
    }
    cwsd_watch_for(&box->init, UV_READABLE);
    if (!cwsd_volumes_are_due(box))
        cwsd_line_take_no_fds(&box->line);
    if (box->killed)
        kill_all(box);
    return true;
}

static bool on_volume(struct cwsd_box *box, const struct cwsi_report *report, int fd)
{
    if (!cwsd_volumes_take(box, report, fd))
        return false;
    if (!cwsd_volumes_are_due(box))
        cwsd_line_take_no_fds(&box->line);
    if (box->killed || box->volumes_reported < box->volume_count)
        return true;
    if (box->holds_volumes && !box->lent_reported) {
        cws_timer_cancel(box->loop, &box->timer);
        box->events->on_volumes(box->ctx);
    } else if (box->lend_count && box->lent_reported == box->lend_count) {
        box->events->on_lent(box->ctx);
    }
    return true;
}

static bool on_main_started(struct cwsd_box *box)
{
    if (box->state != CWSD_BOX_CREATING || !box->init.busy || box->setup.packet.op || box->fault.op)
        return false;
    if (box->killed)
        return true;
    box->state = CWSD_BOX_RUNNING;
    cws_timer_cancel(box->loop, &box->timer);
    close(box->stderr_fd);
    box->stderr_fd = -1;
    box->events->on_running(box->ctx);
    /* All that bubblewrap still does is to wait for the init, whose end we see, and which we can
     * wait for ourselves. */
    if (box->host->isolation != CWSD_ISOLATION_NONE)
        cwsd_child_dismiss(&box->child);
    return true;
}

static bool on_main_exited(struct cwsd_box *box, int wait_status)
{
    if (box->state != CWSD_BOX_RUNNING || box->exited)
        return box->killed;
    box->exited = true;
    box->exit_code = cwsd_box_exit_code(wait_status);
    kill_all(box); /* an init that is not ours any more would stay */
    lose_commands(box);
    tell_exited(box);
    return true;
}

static bool on_ready(struct cwsd_box *box)
{
    bool expected = box->setup.packet.op == CWSI_SETUP && !cwsd_volumes_are_due(box);
    box->setup.packet.op = 0; /* done */
    return expected;
}

/* NULL: the id is nobody's. */
static struct cwsd_occupant *find_occupant(const struct cwsd_box *box, uint32_t id)
{
    return id < box->slot_count ? box->slots[id].occupant : NULL;
}

static bool on_failed(struct cwsd_box *box, const struct cwsi_report *report)
{
    if (report->id != CWSI_MAIN) {
        struct cws_error err;
        struct cwsd_occupant *occupant = find_occupant(box, report->id);
        if (report->value == ENOSPC)
            cws_error_set(&err, CWS_TOO_LARGE, "no more terminals in sandbox %s", box->id);
        else
            cws_error_set_errno(&err, CWS_SYSTEM, report->value, "starting a command in sandbox %s",
                                box->id);
        return occupant ? occupant->events->failed(occupant, &err)
                        : box->state == CWSD_BOX_ENDING; /* lost already */
    }
    bool expected = box->state == CWSD_BOX_CREATING && !box->fault.op;
    box->fault = *report;
    cwsd_text_clean(box->fault.path);
    return expected;
}

static bool on_command_report(struct cwsd_box *box, const struct cwsi_report *report)
{
    struct cwsd_occupant *occupant = find_occupant(box, report->id);
    if (!occupant)
        return box->state == CWSD_BOX_ENDING; /* lost already */
    return report->op == CWSI_STARTED ? occupant->events->started(occupant)
                                      : occupant->events->exited(occupant, report->value);
}

static bool on_resized(struct cwsd_box *box, const struct cwsi_report *report)
{
    struct cwsd_occupant *occupant = find_occupant(box, report->id);
    if (occupant && occupant->events->resized)
        occupant->events->resized(occupant);
    return true;
}

static bool on_used(struct cwsd_box *box, const struct cwsi_report *report)
{
    if (!box->usage_asked)
        return false;
    box->usage_asked = false;
    if (box->state == CWSD_BOX_RUNNING)
        box->events->on_usage(box->ctx, &report->usage);
    return true;
}

static bool take_report(struct cwsd_box *box, const struct cwsi_report *report, int fd)
{
    switch (report->op) {
    case CWSI_HELLO:
        return on_hello(box, fd);
    case CWSI_READY:
        return on_ready(box);
    case CWSI_FAILED:
        return on_failed(box, report);
    case CWSI_USED:
        return on_used(box, report);
    case CWSI_VOLUME:
        return on_volume(box, report, fd);
    case CWSI_RESIZED:
        return on_resized(box, report);
    case CWSI_STARTED:
        return report->id == CWSI_MAIN ? on_main_started(box) : on_command_report(box, report);
    default:
        return report->id == CWSI_MAIN ? on_main_exited(box, report->value)
                                       : on_command_report(box, report);
    }
}

static void on_line_end(struct cwsd_line *line, const struct cws_error *err)
{
    struct cwsd_box *box = cws_container_of(line, struct cwsd_box, line);
    struct cws_error ended;
    if (err) {
        fail(box, err);
    } else if (box->state == CWSD_BOX_RUNNING && !box->killed) {
        cws_error_set(&ended, CWS_SYSTEM, "cwsandbox-init of sandbox %s ended unexpectedly",
                      box->id);
        fail(box, &ended);
    }
    kill_all(box);
    lose_commands(box);
    cwsd_line_close(line, on_line_closed);
}

static void on_report(struct cwsd_line *line, const struct cwsi_report *report, int fd)
{
    struct cwsd_box *box = cws_container_of(line, struct cwsd_box, line);
    struct cws_error err;
    if (take_report(box, report, fd))
        return;
    if (fd >= 0 && box->init.fd != fd)
        close(fd);
    cws_error_set(&err, CWS_PROTOCOL,
                  "cwsandbox-init of sandbox %s reported %u for command %u out of turn", box->id,
                  report->op, report->id);
    on_line_end(line, &err);
}

/* ---- the commands' ids ---------------------------------------------------------------------- */

static enum cws_status grow_slots(struct cwsd_box *box)
{
    uint32_t count = box->slot_count ? box->slot_count * 2 : 8;
    struct cwsd_slot *slots = cws_realloc(box->slots, count * sizeof(*slots));
    if (!slots)
        return CWS_NO_MEMORY;
    for (uint32_t id = box->slot_count ? box->slot_count : 1; id < count; id++)
        slots[id] = (struct cwsd_slot){.next_free = id + 1 < count ? id + 1 : 0};
    slots[0] = (struct cwsd_slot){0};
    box->first_free = box->slot_count ? box->slot_count : 1;
    box->slots = slots;
    box->slot_count = count;
    return CWS_OK;
}

enum cws_status cwsd_box_attach(struct cwsd_box *box, struct cwsd_occupant *occupant,
                                struct cws_error *err)
{
    if (box->state != CWSD_BOX_RUNNING || box->killed)
        return cws_error_set(err, CWS_CLOSED, "sandbox %s does not run", box->id);
    if (!box->first_free && box->slot_count >= CWSI_MAX_COMMANDS)
        return cws_error_set(err, CWS_TOO_LARGE,
                             "sandbox %s runs %u commands; more are not possible at a time",
                             box->id, CWSI_MAX_COMMANDS - 1);
    if (!box->first_free && grow_slots(box) != CWS_OK)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for a command");
    uint32_t id = box->first_free;
    box->first_free = box->slots[id].next_free;
    box->slots[id].occupant = occupant;
    occupant->id = id;
    return CWS_OK;
}

void cwsd_box_detach(struct cwsd_box *box, const struct cwsd_occupant *occupant)
{
    box->slots[occupant->id] = (struct cwsd_slot){.next_free = box->first_free};
    box->first_free = occupant->id;
}

/* ---- the beginning -------------------------------------------------------------------------- */

void cwsd_box_abandon(struct cwsd_box *box, const struct cws_error *err)
{
    fail(box, err);
    cwsd_child_kill_all(&box->child);
    cwsd_line_close(&box->line, on_line_closed); /* whoever holds the other end */
    box->killed = true;
    kill_all(box);
}

static void on_setup_refused(struct cwsd_request *request, const struct cws_error *err)
{
    cwsd_box_abandon(cws_container_of(request, struct cwsd_box, setup), err);
}

static void on_main_refused(struct cwsd_request *request, const struct cws_error *err)
{
    cwsd_box_abandon(cws_container_of(request, struct cwsd_box, main), err);
}

static void on_timer(struct cws_timer *timer)
{
    struct cwsd_box *box = cws_container_of(timer, struct cwsd_box, timer);
    struct cws_error err;
    if (box->lingers) {
        check_gone(box);
    } else if (box->state == CWSD_BOX_CREATING) {
        cws_error_set(&err, CWS_TIMED_OUT, "sandbox %s was not set up within %llu s", box->id,
                      CREATE_TIMEOUT_NS / CWS_NS_PER_S);
        cwsd_box_abandon(box, &err);
    } else {
        box->killed = true;
        kill_all(box);
    }
}

/* A box that failed before it had a child: its line, if open, still has to close. */
static void on_unused_closed(struct cwsd_watch *watch)
{
    release(cws_container_of(watch, struct cwsd_box, line.watch));
}

enum cws_status cwsd_box_new(struct cws_loop *loop, const struct cwsd_host *host,
                             const struct cwsd_box_options *options,
                             const struct cwsd_box_events *events, void *ctx,
                             struct cwsd_box **out_box, struct cws_error *err)
{
    struct cwsd_box *box = cws_calloc(1, sizeof(*box));
    if (!box)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for a sandbox");
    box->loop = loop;
    box->host = host;
    box->events = events;
    box->ctx = ctx;
    box->stderr_fd = box->init.fd = box->line.watch.fd = -1;
    box->line.on_report = on_report;
    box->line.on_end = on_line_end;
    cws_timer_init(&box->timer, on_timer);
    cws_allowance_init(&box->file_ops, loop, CWSD_MAX_FILE_OPS, 0, CWS_NO_DEADLINE);
    cws_allowance_init(&box->file_bytes, loop, CWSD_MAX_ARRIVING_FILE_BYTES, CWSD_STREAM_HIGH_WATER,
                       CWSD_FILE_PATIENCE_MS * CWS_NS_PER_MS);
    cwsd_request_init(&box->setup, CWSI_SETUP, CWSI_MAIN);
    cwsd_request_init(&box->go, CWSI_GO, CWSI_MAIN);
    cwsd_request_init(&box->main, CWSI_START, CWSI_MAIN);
    cwsd_request_init(&box->term, CWSI_SIGNAL, CWSI_MAIN);
    cwsd_request_init(&box->usage, CWSI_USAGE, CWSI_MAIN);
    box->setup.refused = on_setup_refused;
    box->main.refused = on_main_refused;
    enum cws_status status = CWS_OK;
    if (cws_timer_set(loop, &box->timer, cws_clock_now_ns() + CREATE_TIMEOUT_NS) != CWS_OK)
        status = cws_error_set(err, CWS_NO_MEMORY, "out of memory for a sandbox");
    if (status == CWS_OK)
        status = cwsd_box_start(box, options, err);
    if (status != CWS_OK) {
        cws_timer_cancel(loop, &box->timer);
        if (box->line.watch.fd >= 0)
            cwsd_line_close(&box->line, on_unused_closed);
        else
            release(box);
        return status;
    }
    *out_box = box;
    return CWS_OK;
}

void cwsd_box_go(struct cwsd_box *box)
{
    if (box->state != CWSD_BOX_CREATING || box->killed || box->line.watch.fd < 0)
        return;
    if (cws_timer_set(box->loop, &box->timer, cws_clock_now_ns() + CREATE_TIMEOUT_NS) != CWS_OK) {
        struct cws_error err;
        cws_error_set(&err, CWS_NO_MEMORY, "out of memory for a sandbox");
        cwsd_box_abandon(box, &err);
        return;
    }
    cwsd_line_send(&box->line, &box->go);
    cwsd_line_send(&box->line, &box->main);
}

void cwsd_box_stop(struct cwsd_box *box, uint64_t grace_ms)
{
    if (box->state == CWSD_BOX_ENDING || box->killed)
        return;
    uint64_t now = cws_clock_now_ns();
    uint64_t due = grace_ms < (CWS_NO_DEADLINE - now) / CWS_NS_PER_MS
                       ? now + grace_ms * CWS_NS_PER_MS
                       : CWS_NO_DEADLINE;
    bool now_already = box->state == CWSD_BOX_CREATING || grace_ms == 0;
    if (!now_already && (!box->timer.index || due < box->timer.due_ns))
        now_already = cws_timer_set(box->loop, &box->timer, due) != CWS_OK; /* rather than never */
    if (now_already) {
        box->killed = true;
        kill_all(box);
        return;
    }
    if (!box->stop_asked) {
        box->stop_asked = true;
        box->term.packet.value = SIGTERM;
        cwsd_line_send(&box->line, &box->term);
    }
}

bool cwsd_box_ask_usage(struct cwsd_box *box)
{
    if (box->state != CWSD_BOX_RUNNING || box->killed || box->usage_asked ||
        box->host->isolation == CWSD_ISOLATION_NONE)
        return false;
    box->usage_asked = true;
    cwsd_line_send(&box->line, &box->usage);
    return true;
}

struct cwsd_box_execs cwsd_box_execs(const struct cwsd_box *box)
{
    return box->execs;
}

void cwsd_box_free(struct cwsd_box *box)
{
    if (!box)
        return;
    assert(!box->child.watch.busy && !box->line.watch.busy && !box->init.busy);
    release(box);
}
