/*
 * A program of the daemon's own: started without copying the daemon, waited for by a pidfd. Loop thread only.
 */
#pragma once

#include "watch.h"

struct cwsd_child {
    int pid; /* 0: never started, or reaped */
    struct cwsd_watch watch;
    void (*on_end)(struct cwsd_child *child, int wait_status);
    int wait_status;
};

struct cwsd_spawn_options {
    char *const *argv; /* argv[0] is a path */
    int stderr_fd;     /* becomes its stderr; stdin and stdout are /dev/null */
    int socket_fd;     /* becomes its descriptor CWSI_SOCKET */
    int program_fd;    /* becomes its descriptor CWSI_PROGRAM; -1: none */
};

/* Starts it with an empty environment, default signals and a session of its own. The descriptors stay the caller's.
 * `on_end` comes once, never from inside this call, when it was reaped; the memory may go then. CWS_SYSTEM. */
enum cws_status cwsd_child_spawn(struct cws_loop *loop, struct cwsd_child *child,
                                 const struct cwsd_spawn_options *options,
                                 void (*on_end)(struct cwsd_child *child, int wait_status),
                                 struct cws_error *err) CWS_MUST_CHECK;

/* SIGKILL to its children and to itself, if it still runs. */
void cwsd_child_kill_all(struct cwsd_child *child);
