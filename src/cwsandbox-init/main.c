/*
 * cwsandbox-init: PID 1 of a sandbox. It sets the sandbox up, starts commands when the daemon says
 * so, reaps whatever ends, and ends itself, and the sandbox with it, when the main command or the
 * daemon does.
 *
 * With arguments it executes a program instead; become.c has them.
 */
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/poll.h>
#include <linux/prctl.h>
#include <linux/signal.h>
#include <linux/signalfd.h>
#include <linux/time_types.h>
#include <linux/wait.h>

#include "init.h"
#include "message.h"

struct init {
    bool container;
    bool idle; /* we are the main command, too: there is nothing to run */
    int null_fd;
    int signal_fd;               /* the end of a child */
    int term_fd;                 /* TERM and INT, which commands may send us */
    uint32_t used;               /* ids below it have been used */
    int pids[CWSI_MAX_COMMANDS]; /* 0: the id is free */
};

static struct init init;

/* ---- the end -------------------------------------------------------------------------------- */

__attribute__((noreturn)) static void end(int code)
{
    if (!init.container) {
        /* No namespace ends with us: end every descendant. Orphans come to us, a subreaper. */
        do
            proc_kill_children();
        while (SYS4(wait4, -1, NULL, __WALL, NULL) > 0);
    }
    for (;;)
        SYS1(exit_group, code);
}

__attribute__((noreturn)) static void die(const char *why)
{
    char line[160] = "cwsandbox-init: ";
    text_append(line, sizeof(line) - 1, why);
    text_append(line, sizeof(line), "\n");
    SYS3(write, 2, line, text_len(line));
    end(1);
}

/* ---- reports -------------------------------------------------------------------------------- */

static long try_report(const struct cwsi_report *report, int fd)
{
    struct message_part part = {.base = (void *)report, .len = sizeof(*report)};
    struct control control = {.len = offsetof(struct control, fds) + sizeof(int),
                              .level = SOL_SOCKET_LEVEL,
                              .type = SCM_RIGHTS_TYPE,
                              .fds = {fd}};
    struct message message = {.parts = &part, .part_count = 1};
    if (fd >= 0) {
        message.control = &control;
        message.control_len = (control.len + 7) & ~(size_t)7;
    }
    return SYS3(sendmsg, CWSI_SOCKET, &message, MSG_NO_SIGNAL);
}

enum { SEND_PATIENCE_MS = 5000, SEND_PAUSE_MS = 2 };

/* The kernel limits how many descriptors a user may have in flight on Unix sockets. The daemon
 * waits as long. */
long report_descriptor(const struct cwsi_report *report, int fd)
{
    struct __kernel_timespec pause = {.tv_nsec = SEND_PAUSE_MS * 1000000};
    long rc = try_report(report, fd);
    for (int waited = 0; rc == -ETOOMANYREFS && waited < SEND_PATIENCE_MS;
         waited += SEND_PAUSE_MS) {
        SYS2(nanosleep, &pause, NULL);
        rc = try_report(report, fd);
    }
    return rc;
}

static void send_report(const struct cwsi_report *report)
{
    if (try_report(report, -1) < 0)
        end(1);
}

static void report(uint32_t op, uint32_t id, int value)
{
    struct cwsi_report packet = {.op = op, .id = id, .value = value};
    send_report(&packet);
}

static void report_fault(uint32_t id, long error, const struct fault *fault)
{
    struct cwsi_report packet = {
        .op = CWSI_FAILED, .id = id, .value = (int)error, .detail = fault->detail};
    if (fault->path)
        text_append(packet.path, sizeof(packet.path), fault->path);
    send_report(&packet);
}

/* ---- requests ------------------------------------------------------------------------------- */

struct received {
    struct cwsi_request request;
    char *inline_block; /* NULL: it is in the first descriptor, if there is one at all */
    int fds[CWSI_MAX_FDS];
    unsigned fd_count;
};

/* False when the daemon is gone. */
static bool receive(struct received *received)
{
    static char block[CWSI_MAX_INLINE] __attribute__((aligned(8)));
    const long size = sizeof(received->request);
    struct message_part parts[] = {{.base = &received->request, .len = (size_t)size},
                                   {.base = block, .len = sizeof(block)}};
    struct control control = {0};
    struct message message = {
        .parts = parts, .part_count = 2, .control = &control, .control_len = sizeof(control)};
    long got = SYS3(recvmsg, CWSI_SOCKET, &message, MSG_CLOSE_ON_EXEC);
    if (got == 0 || got == -ECONNRESET)
        return false;
    received->inline_block = got > size ? block : NULL;
    if (got < size || message.flags & MSG_CUT ||
        (received->inline_block && (uint64_t)(got - size) != received->request.size))
        die("a request of the wrong size");
    received->fd_count = 0;
    if (message.control_len >= offsetof(struct control, fds))
        received->fd_count =
            (unsigned)((control.len - offsetof(struct control, fds)) / sizeof(int));
    memcpy(received->fds, control.fds, sizeof(control.fds));
    return true;
}

/* Memory from a file, or shared with children; NULL when there is none. */
static void *map(uint64_t size, int flags, int fd)
{
    long address = SYS6(mmap, NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    return address < 0 && address > -4096 ? NULL : (void *)address;
}

/* The block to write to; NULL when there is no memory for it. */
static char *open_block(const struct received *received)
{
    if (received->inline_block)
        return received->inline_block;
    return map(received->request.size, MAP_PRIVATE, received->fds[0]);
}

static void close_block(const struct received *received, char *block)
{
    if (block && !received->inline_block)
        SYS2(munmap, block, received->request.size);
}

static void set_up(const struct received *received)
{
    struct fault fault = {0};
    char *block = NULL;
    int rc = 0;
    init.container = received->request.flags & CWSI_CONTAINER;
    if (!init.container)
        rc = (int)SYS5(prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    if (received->request.size) {
        block = open_block(received);
        rc = block ? setup_run(block, received->request.size, &fault) : -ENOMEM;
    }
    if (rc == 0) {
        fault = (struct fault){0};
        rc = (int)SYS4(openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
        init.null_fd = rc;
    }
    if (rc >= 0 && init.container)
        rc = guard_drop_privileges();
    if (rc >= 0 && init.container)
        rc = filter_calls();
    if (rc < 0) {
        report_fault(CWSI_MAIN, -rc, &fault);
        end(1);
    }
    guard_limits();
    if (received->request.flags & CWSI_RAISE_OOM)
        guard_oom();
    for (int fd = 0; fd < 3; fd++)
        SYS3(dup3, init.null_fd, fd, 0);
    close_block(received, block);
    report(CWSI_READY, CWSI_MAIN, 0);
}

/* The main command cannot be executed: nothing will ever run in here. */
static void give_up(const struct launch *launch)
{
    struct fault fault = {.path = launch->argv[0]};
    report_fault(CWSI_MAIN, *launch->error, &fault);
    end(1);
}

static void check_id(uint32_t id)
{
    if (id >= CWSI_MAX_COMMANDS)
        die("a command id out of range");
}

static void check_new_id(uint32_t id)
{
    check_id(id);
    if (init.pids[id])
        die("a command id that is in use");
}

/* `rc` is the pid, or a negative errno. */
static void answer_start(uint32_t id, long rc)
{
    const struct fault nothing = {0};
    if (rc <= 0) {
        report_fault(id, -rc, &nothing);
        return;
    }
    init.pids[id] = (int)rc;
    if (id >= init.used)
        init.used = id + 1;
    report(CWSI_STARTED, id, 0);
}

static void start(const struct received *received)
{
    const struct cwsi_request *request = &received->request;
    struct launch launch = {.die_with_us = !init.container};
    unsigned next = received->inline_block ? 0 : 1;
    check_new_id(request->id);
    for (unsigned i = 0; i < 3; i++)
        launch.fds[i] = request->flags & CWSI_STDIN << i ? received->fds[next++] : init.null_fd;
    const uint32_t pipes = CWSI_STDIN | CWSI_STDOUT | CWSI_STDERR;
    if (next != received->fd_count ||
        (request->flags & CWSI_TTY && (request->flags & pipes) != (CWSI_STDIN | CWSI_STDOUT)))
        die("descriptors that do not match their flags");
    if (request->flags & CWSI_TTY && request->id == CWSI_MAIN)
        die("a terminal for the main command");

    char *block = open_block(received);
    long rc = block ? command_read(&launch, block, request->size) : -ENOMEM;
    if (rc == 0 && !launch.argv[0])
        rc = -EINVAL;
    if (rc == 0 && request->id == CWSI_MAIN) {
        launch.error = map(sizeof(int), MAP_SHARED | MAP_ANONYMOUS, -1);
        rc = launch.error ? 0 : -ENOMEM;
    }
    if (rc == 0)
        rc = request->flags & CWSI_TTY ? terminal_start(&launch, request->id, launch.fds[0],
                                                        launch.fds[1], request->value)
                                       : command_start(&launch);
    if (rc > 0 && launch.error && *launch.error)
        give_up(&launch);
    answer_start(request->id, rc);
    if (launch.error)
        SYS2(munmap, launch.error, sizeof(int));
    close_block(received, block);
}

static void start_file(const struct received *received)
{
    const struct cwsi_request *request = &received->request;
    unsigned pipe = received->inline_block ? 0 : 1;
    check_new_id(request->id);
    if (received->fd_count != pipe + 1)
        die("descriptors that do not match their flags");
    char *block = open_block(received);
    long rc = block ? file_start(block, request->size, request->op == CWSI_WRITE_FILE,
                                 received->fds[pipe])
                    : -ENOMEM;
    answer_start(request->id, rc);
    close_block(received, block);
}

static void start_connection(const struct received *received)
{
    const struct cwsi_request *request = &received->request;
    check_new_id(request->id);
    if (request->id == CWSI_MAIN || !received->inline_block || received->fd_count != 2)
        die("a connection that makes no sense");
    answer_start(request->id, connect_start(received->inline_block, request->size, received->fds[0],
                                            received->fds[1], !init.container));
}

/* A main command that only waits costs no process. It is refused where a program would be. */
static void start_idle(const struct received *received)
{
    struct launch launch;
    const struct cwsi_request *request = &received->request;
    if (request->id != CWSI_MAIN || init.idle || init.pids[CWSI_MAIN])
        die("a second main command");
    char *block = open_block(received);
    long rc = block ? command_read(&launch, block, request->size) : -ENOMEM;
    struct fault fault = {.path = rc == 0 ? launch.working_dir : NULL};
    if (rc == 0)
        rc = SYS1(chdir, launch.working_dir);
    if (rc < 0) {
        report_fault(CWSI_MAIN, -rc, &fault);
        end(1);
    }
    SYS1(chdir, "/");
    close_block(received, block);
    init.idle = true;
    report(CWSI_STARTED, CWSI_MAIN, 0);
}

__attribute__((noreturn)) static void end_idle(int signal)
{
    report(CWSI_EXITED, CWSI_MAIN, signal == SIGTERM || signal == SIGINT ? 0 : signal);
    end(0);
}

/* PID 1 stands for the main command, as in any container: it gets what ends programs. */
static void pass_on_term(void)
{
    struct signalfd_siginfo info;
    if (SYS3(read, init.term_fd, &info, sizeof(info)) != sizeof(info))
        return;
    if (init.idle)
        end_idle((int)info.ssi_signo);
    if (init.pids[CWSI_MAIN])
        SYS2(kill, init.pids[CWSI_MAIN], info.ssi_signo);
}

static void pass_signal(const struct cwsi_request *request)
{
    check_id(request->id);
    if (request->id == CWSI_MAIN && init.idle)
        end_idle(request->op == CWSI_KILL ? SIGKILL : request->value);
    /* Not reaped yet, so the number is still this command's. It may not have come to make its
     * group; then it has no children either. */
    int pid = init.pids[request->id];
    if (pid)
        SYS2(kill, pid, request->op == CWSI_KILL ? SIGKILL : request->value);
    if (pid && request->op == CWSI_KILL)
        SYS2(kill, -pid, SIGKILL);
}

static void handle_terminal(const struct cwsi_request *request)
{
    check_id(request->id);
    if (request->op == CWSI_HANG_UP) {
        terminal_hang_up(request->id);
        return;
    }
    terminal_resize(request->id, request->value);
    report(CWSI_RESIZED, request->id, 0);
}

static void report_usage(void)
{
    struct cwsi_report packet = {.op = CWSI_USED, .id = CWSI_MAIN};
    if (!init.container)
        die("the usage of processes that are not told from others");
    usage_measure(&packet.usage);
    send_report(&packet);
}

static void take_pipes(struct received *received)
{
    if (received->request.size || received->fd_count == 0)
        die("a request of the wrong size");
    for (unsigned i = 0; i < received->fd_count; i++)
        drain_add(received->fds[i]);
    received->fd_count = 0;
}

static void handle(void)
{
    struct received received;
    if (!receive(&received))
        end(0);
    switch (received.request.op) {
    case CWSI_SETUP:
        set_up(&received);
        break;
    case CWSI_START:
        if (received.request.flags & CWSI_IDLE)
            start_idle(&received);
        else
            start(&received);
        break;
    case CWSI_READ_FILE:
    case CWSI_WRITE_FILE:
        start_file(&received);
        break;
    case CWSI_CONNECT:
        start_connection(&received);
        break;
    case CWSI_KILL:
    case CWSI_SIGNAL:
        pass_signal(&received.request);
        break;
    case CWSI_DRAIN:
        take_pipes(&received);
        break;
    case CWSI_USAGE:
        report_usage();
        break;
    case CWSI_RESIZE:
    case CWSI_HANG_UP:
        handle_terminal(&received.request);
        break;
    default:
        die("a request of an unknown kind");
    }
    for (unsigned i = 0; i < received.fd_count; i++)
        SYS1(close, received.fds[i]);
}

/* ---- children ------------------------------------------------------------------------------- */

/* The id of one of our commands, or CWSI_MAX_COMMANDS for an orphan that came to us. */
static uint32_t find(int pid)
{
    for (uint32_t id = 0; id < init.used; id++)
        if (init.pids[id] == pid)
            return id;
    return CWSI_MAX_COMMANDS;
}

/* True if it was the main command, whose end is reported last. */
static bool note_end(int pid, int status)
{
    uint32_t id = find(pid);
    if (id == CWSI_MAX_COMMANDS) {
        if (terminal_relay_ended(pid, init.used, &id, &status))
            report(CWSI_EXITED, id, status);
        return false;
    }
    init.pids[id] = 0;
    if (id != CWSI_MAIN && !terminal_holds_end(id, status))
        report(CWSI_EXITED, id, status);
    return id == CWSI_MAIN;
}

static void reap(void)
{
    uint8_t signals[128];
    int status, main_status = 0;
    bool main_ended = false;
    long pid;
    for (bool first = true; (pid = SYS4(wait4, -1, &status, WNOHANG, NULL)) > 0 || first;
         first = false) {
        if (pid > 0 && note_end((int)pid, status)) {
            main_ended = true;
            main_status = status;
        }
        /* After the first report, which somebody waits for. A child that ends from now on sends
         * another signal, or is found here. */
        if (first)
            SYS3(read, init.signal_fd, signals, sizeof(signals));
    }
    if (main_ended) {
        report(CWSI_EXITED, CWSI_MAIN, main_status);
        end(0);
    }
}

/* ---- from the beginning --------------------------------------------------------------------- */

static void say_hello(void)
{
    struct cwsi_report packet = {.op = CWSI_HELLO};
    long pidfd = SYS2(pidfd_open, SYS0(getpid), 0);
    if (pidfd < 0)
        die("pidfd_open: this kernel is older than 5.3");
    long rc = report_descriptor(&packet, (int)pidfd);
    if (rc == -ETOOMANYREFS)
        die("no descriptor can be sent: this user has too many on their way through Unix sockets");
    if (rc < 0)
        end(1);
    SYS1(close, pidfd);
}

/* What `ps` in the sandbox shows of us; bubblewrap may have started us by a descriptor's number. */
static void show_name(char *word)
{
    static const char name[] = "cwsandbox-init";
    size_t len = text_len(word);
    if (len < sizeof(name) - 1)
        return;
    memset(word, 0, len);
    memcpy(word, name, sizeof(name) - 1);
}

/* Those too that the daemon's libc leaves ignored in what it spawns: commands inherit them. */
static void reset_signals(void)
{
    const uint64_t by_default[4] = {0}; /* the kernel's struct sigaction */
    for (int signal = 1; signal <= 64; signal++)
        SYS4(rt_sigaction, signal, by_default, NULL, sizeof(uint64_t));
}

/* A descriptor to read these signals from, which stay blocked. */
static int open_signals(uint64_t signals)
{
    long fd = SYS4(signalfd4, -1, &signals, sizeof(signals), O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        die("signalfd failed");
    return (int)fd;
}

#define BIT_OF(signal) (1ull << ((signal) - 1))

void init_main(uint64_t *stack)
{
    const uint64_t argc = stack[0];
    char **argv = (char **)(stack + 1);
    const uint64_t all_signals = ~0ull;
    if (argc > 1)
        become(argv + 1, argv + argc + 1);
    /* Before anything else: no command may trace us, read our memory, or reach what we hold
     * open. */
    SYS5(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    SYS5(prctl, PR_SET_NAME, "cwsandbox-init", 0, 0, 0);
    show_name(argv[0]);
    reset_signals();
    SYS4(rt_sigprocmask, SIG_SETMASK, &all_signals, NULL, sizeof(all_signals));
    SYS3(close_range, CWSI_SOCKET + 1, ~0u, 0);
    SYS3(fcntl, CWSI_SOCKET, F_SETFD, FD_CLOEXEC);
    init.signal_fd = open_signals(BIT_OF(SIGCHLD));
    init.term_fd = open_signals(BIT_OF(SIGTERM) | BIT_OF(SIGINT));
    say_hello();
    for (;;) {
        uint64_t rest_ns;
        struct pollfd fds[] = {{.fd = CWSI_SOCKET, .events = POLLIN | POLLRDHUP},
                               {.fd = init.signal_fd, .events = POLLIN},
                               {.fd = drain_poll_fd(&rest_ns), .events = POLLIN},
                               {.fd = init.term_fd, .events = POLLIN}};
        struct __kernel_timespec rest = {.tv_nsec = (long long)rest_ns};
        SYS5(ppoll, fds, 4, rest_ns ? &rest : NULL, NULL, 0);
        /* Children first: an id is reported free before a request that came later can name it
         * again. */
        if (fds[1].revents)
            reap();
        /* At its end what was asked for before does not count any more. */
        if (fds[0].revents & (POLLRDHUP | POLLHUP))
            end(0);
        if (fds[0].revents)
            handle();
        if (fds[2].revents)
            drain_round();
        if (fds[3].revents)
            pass_on_term();
    }
}
