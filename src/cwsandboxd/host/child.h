/*
 * A program that the daemon runs. It is started without copying the daemon, and waited for with a
 * pidfd. Loop thread only.
 */
#pragma once

#include "host/watch.h"

struct cwsd_child {
    int pid;        /* 0: never started, or reaped */
    int group;      /* its own process group, which what it starts begins in */
    bool dismissed; /* the rest of the group goes on without it */
    struct cwsd_watch watch;
    void (*on_end)(struct cwsd_child *child, int wait_status);
    int wait_status;
};

struct cwsd_spawn_options {
    char *const *argv; /* argv[0] is a path */
    int stdin_fd;      /* become its stdin and stdout; 0: /dev/null */
    int stdout_fd;
    int stderr_fd;  /* becomes its stderr */
    int socket_fd;  /* becomes its descriptor CWSI_SOCKET */
    int program_fd; /* becomes its descriptor CWSI_PROGRAM; -1: none */
    int network_fd; /* becomes its descriptor CWSI_NETWORK; 0: none */
    int egress_fd;  /* becomes its descriptor CWSI_EGRESS; 0: none */
};

/* Starts the program with an empty environment, default signal dispositions and a session of its
 * own. The caller keeps the descriptors, which may have any numbers. `on_end` is called once, when
 * the program was reaped, never from inside this call. The memory may be freed then, but see
 * cwsd_child_reap_rest. When the program ends, the rest of its process group is killed, unless it
 * was dismissed. CWS_SYSTEM. */
enum cws_status cwsd_child_spawn(struct cws_loop *loop, struct cwsd_child *child,
                                 const struct cwsd_spawn_options *options,
                                 void (*on_end)(struct cwsd_child *child, int wait_status),
                                 struct cws_error *err) CWS_MUST_CHECK;

/* Sends SIGKILL to its process group, if it still runs. */
void cwsd_child_kill_all(struct cwsd_child *child);

/* Kills the program but not what it has started. That is reparented to this process, a subreaper,
 * and reaped by cwsd_child_reap_rest. */
void cwsd_child_dismiss(struct cwsd_child *child);

/* After the program was reaped: reaps those of its group that have ended. False while any of them
 * still lives. Must not be called again after it has returned true, since the group's number may
 * then be reused. */
bool cwsd_child_reap_rest(const struct cwsd_child *child) CWS_MUST_CHECK;
