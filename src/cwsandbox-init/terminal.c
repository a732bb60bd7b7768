/*
 * Commands with a terminal: a pseudo-terminal of the sandbox's own, whose slave is the command's
 * controlling terminal. Its master stays in the sandbox. Whoever reads a master, or asks for its
 * window's size, shares locks of the kernel with the programs on the terminal, and the daemon has
 * only one thread. So a relay, a child of the init, passes the bytes on between the master and the
 * command's two pipes.
 *
 * The relay holds the slave open, too: a program may close the terminal and open it again. It ends
 * after the command's first process, when everything that was written before has been passed on.
 * The kernel then has hung up the terminal for those in the background.
 */
#include <linux/fcntl.h>
#include <linux/poll.h>
#include <linux/prctl.h>
#include <linux/signal.h>
#include <linux/termios.h>

#include "init.h"

/* What a terminal may hold once its command has ended is far less. */
#define MOST_AFTER_END (1u << 20)

struct terminal {
    int relay;  /* its pid; 0: none */
    int master; /* valid while there is a relay */
    bool ended; /* the command; `status` is how */
    int status;
};

/* Untouched pages of the init cost nothing. */
static struct terminal terminals[CWSI_MAX_COMMANDS];

/* ---- the relay ------------------------------------------------------------------------------ */

enum { FD_IN, FD_OUT, FD_MASTER, FD_SLAVE, FD_COMMAND, FD_COUNT };

#define MODE_UNKNOWN 1u /* no mode has this bit: ICANON is another one */

struct flow {
    uint32_t at, len; /* what has been read and not been written */
    char data[8192];
};

static struct relay {
    struct flow in, out;
    bool in_open;
    unsigned ended_in; /* the terminal's mode when the end of input was typed last */
    bool hung_up;      /* the terminal gives nothing more */
    bool ended;        /* the command has */
    uint32_t after_end;
} relay;

static void drop(struct flow *flow)
{
    flow->at = flow->len = 0;
}

/* 0, or the errno if it cannot be written to any more. */
static long flush(struct flow *flow, int fd)
{
    long rc = SYS3(write, fd, flow->data + flow->at, flow->len - flow->at);
    if (rc < 0)
        return rc == -EAGAIN || rc == -EINTR ? 0 : rc;
    flow->at += (uint32_t)rc;
    if (flow->at == flow->len)
        drop(flow);
    return 0;
}

/* ICANON, 0, or MODE_UNKNOWN; *out_key is the key that ends input. */
static unsigned get_mode(char *out_key)
{
    struct termios settings = {0};
    if (SYS3(ioctl, FD_MASTER, TCGETS, &settings) < 0)
        return MODE_UNKNOWN;
    *out_key = (char)settings.c_cc[VEOF];
    return settings.c_lflag & ICANON;
}

/* As if the user had typed the key that ends input. A program that changes the terminal's mode
 * before it reads does not recognize the key any more, so it is typed once more in each mode. */
static void put_end_of_input(void)
{
    char key = 0;
    unsigned mode = get_mode(&key);
    if (relay.in.len || !key || mode == relay.ended_in)
        return;
    relay.ended_in = mode;
    relay.in.data[0] = key;
    relay.in.len = 1;
}

/* The mode may have changed just then. */
static void end_was_put(void)
{
    char key;
    if (get_mode(&key) != relay.ended_in)
        relay.ended_in = MODE_UNKNOWN;
}

static void type_input(void)
{
    if (flush(&relay.in, FD_MASTER) < 0)
        drop(&relay.in);
    if (!relay.in_open && !relay.in.len)
        end_was_put();
}

static void take_input(void)
{
    long got = SYS3(read, FD_IN, relay.in.data, sizeof(relay.in.data));
    if (got > 0) {
        relay.in.len = (uint32_t)got;
    } else if (got != -EAGAIN && got != -EINTR) {
        relay.in_open = false;
        put_end_of_input();
    }
}

/* False when all has been passed on. */
static bool take_output(void)
{
    long got = SYS3(read, FD_MASTER, relay.out.data, sizeof(relay.out.data));
    if (got > 0) {
        relay.out.len = (uint32_t)got;
        relay.after_end += relay.ended ? (uint32_t)got : 0;
        /* A prompt, maybe: what prints one has set its mode before. */
        if (!relay.in_open && !relay.ended)
            put_end_of_input();
        return relay.after_end < MOST_AFTER_END;
    }
    relay.hung_up = got != -EAGAIN && got != -EINTR;
    return !relay.ended;
}

static struct pollfd watch(int fd, bool wanted, short events)
{
    return (struct pollfd){.fd = wanted ? fd : -1, .events = events};
}

/* False when the relay has done its work, or nobody wants it any more. */
static bool pass_on(void)
{
    bool to_master = relay.in.len && !relay.hung_up;
    bool from_master = !relay.out.len && !relay.hung_up;
    struct pollfd polled[] = {
        watch(FD_IN, relay.in_open && !relay.in.len, POLLIN),
        watch(FD_OUT, relay.out.len, POLLOUT),
        watch(FD_MASTER, to_master || from_master,
              (short)((to_master ? POLLOUT : 0) | (from_master ? POLLIN : 0))),
        watch(FD_COMMAND, !relay.ended, POLLIN),
    };
    /* Nothing more is heard of the terminal once its command has ended. */
    bool look = relay.ended && !relay.out.len;
    if (!look && SYS5(ppoll, polled, sizeof(polled) / sizeof(polled[0]), NULL, NULL, 0) < 0)
        return true;
    if (polled[1].revents && flush(&relay.out, FD_OUT) < 0)
        return false;
    if (polled[2].revents && to_master)
        type_input();
    if ((look || polled[2].revents) && from_master && !take_output())
        return false;
    if (polled[0].revents)
        take_input();
    if (polled[3].revents) {
        relay.ended = true;
        relay.in_open = false;
        drop(&relay.in);
    }
    return !(relay.ended && relay.hung_up && !relay.out.len);
}

/* Keeps nothing else of the init's open: a master of another terminal least of all. */
static void keep(const int *fds)
{
    int moved[FD_COUNT];
    for (int i = 0; i < FD_COUNT; i++)
        moved[i] = (int)SYS3(fcntl, fds[i], F_DUPFD, FD_COUNT);
    for (int i = 0; i < FD_COUNT; i++)
        SYS3(dup3, moved[i], i, 0);
    SYS3(close_range, FD_COUNT, ~0u, 0);
}

__attribute__((noreturn)) static void run_relay(const int *fds, bool die_with_us)
{
    if (die_with_us)
        SYS2(prctl, PR_SET_PDEATHSIG, SIGKILL);
    keep(fds);
    SYS3(fcntl, FD_OUT, F_SETFL, O_NONBLOCK);
    relay.in_open = true;
    relay.ended_in = MODE_UNKNOWN;
    while (pass_on())
        ;
    for (;;)
        SYS1(exit_group, 0);
}

static long start_relay(struct terminal *terminal, const struct launch *launch, int slave, int in,
                        int out, long command)
{
    long pidfd = SYS2(pidfd_open, command, 0);
    if (pidfd < 0)
        return pidfd;
    const int fds[FD_COUNT] = {in, out, terminal->master, slave, (int)pidfd};
    long pid = SYS5(clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        run_relay(fds, launch->die_with_us);
    SYS1(close, pidfd);
    return pid;
}

/* ---- the init ------------------------------------------------------------------------------- */

static void set_size(int master, int32_t size)
{
    const struct winsize window = {.ws_col = (unsigned short)((uint32_t)size >> 16),
                                   .ws_row = (unsigned short)((uint32_t)size & 0xffff)};
    if (window.ws_col && window.ws_row)
        SYS3(ioctl, master, TIOCSWINSZ, &window);
}

/* Returns the slave. */
static long open_pair(struct terminal *terminal, int32_t size)
{
    const int unlocked = 0;
    const int flags = O_RDWR | O_NOCTTY | O_CLOEXEC;
    long master = SYS4(openat, AT_FDCWD, "/dev/ptmx", flags | O_NONBLOCK, 0);
    if (master < 0)
        return master;
    long rc = SYS3(ioctl, master, TIOCSPTLCK, &unlocked);
    if (rc == 0)
        rc = SYS3(ioctl, master, TIOCGPTPEER, flags);
    if (rc < 0) {
        SYS1(close, master);
        return rc;
    }
    set_size((int)master, size);
    terminal->master = (int)master;
    return rc;
}

long terminal_start(struct launch *launch, uint32_t id, int in, int out, int32_t size)
{
    struct terminal *terminal = &terminals[id];
    *terminal = (struct terminal){0};
    long slave = open_pair(terminal, size);
    if (slave < 0)
        return slave;
    for (int i = 0; i < 3; i++)
        launch->fds[i] = (int)slave;
    launch->has_terminal = true;
    long pid = command_start(launch);
    long rc = pid;
    if (pid > 0)
        rc = start_relay(terminal, launch, (int)slave, in, out, pid);
    if (rc > 0) {
        terminal->relay = (int)rc;
    } else {
        SYS1(close, terminal->master);
        if (pid > 0)
            SYS2(kill, pid, SIGKILL); /* told as not started, so it must not run */
    }
    SYS1(close, slave);
    return rc > 0 ? pid : rc;
}

void terminal_resize(uint32_t id, int32_t size)
{
    if (terminals[id].relay)
        set_size(terminals[id].master, size);
}

/* The kernel's own hang-up, when the master is closed, reaches the foreground only after the first
 * process has ended: a shell that waits for a program would never know. */
static void signal_foreground(int master)
{
    int group = 0;
    if (SYS3(ioctl, master, TIOCGPGRP, &group) < 0 || group <= 1)
        return;
    SYS2(kill, -group, SIGHUP);
    SYS2(kill, -group, SIGCONT);
}

void terminal_hang_up(uint32_t id)
{
    if (!terminals[id].relay)
        return;
    signal_foreground(terminals[id].master);
    SYS2(kill, terminals[id].relay, SIGKILL); /* and then terminal_relay_ended */
}

bool terminal_holds_end(uint32_t id, int status)
{
    struct terminal *terminal = &terminals[id];
    terminal->ended = terminal->relay != 0;
    terminal->status = status;
    return terminal->ended;
}

bool terminal_relay_ended(int pid, uint32_t ids, uint32_t *out_id, int *out_status)
{
    for (uint32_t id = 0; id < ids; id++) {
        struct terminal *terminal = &terminals[id];
        if (terminal->relay != pid)
            continue;
        terminal->relay = 0;
        SYS1(close, terminal->master); /* the last one: now the kernel hangs up */
        *out_id = id;
        *out_status = terminal->status;
        return terminal->ended;
    }
    return false;
}
