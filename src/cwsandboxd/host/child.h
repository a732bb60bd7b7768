/*
 * A program of the daemon's own: started without copying the daemon, waited for by a pidfd. Loop
 * thread only.
 */
#pragma once

#include "host/watch.h"

struct cwsd_child {
    int pid;        /* 0: never started, or reaped */
    int group;      /* of processes, its own: what it starts begins in there */
    bool dismissed; /* the others of the group go on without it */
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

/* Starts it with an empty environment, default signals and a session of its own. The descriptors
 * stay the caller's. `on_end` comes once, never from inside this call, when it was reaped; the
 * memory may go then, but see cwsd_child_reap_rest. The rest of its process group is killed at its
 * end, unless it was dismissed. CWS_SYSTEM. */
enum cws_status cwsd_child_spawn(struct cws_loop *loop, struct cwsd_child *child,
                                 const struct cwsd_spawn_options *options,
                                 void (*on_end)(struct cwsd_child *child, int wait_status),
                                 struct cws_error *err) CWS_MUST_CHECK;

/* SIGKILL to its process group, if it still runs. */
void cwsd_child_kill_all(struct cwsd_child *child);

/* Ends it alone. What it started comes to this process, a subreaper, to be reaped by
 * cwsd_child_reap_rest. */
void cwsd_child_dismiss(struct cwsd_child *child);

/* Once it was reaped: reaps what it left behind that has ended. False while some of that lives. May
 * be called until it has been true: then the group's number may be another's. */
bool cwsd_child_reap_rest(const struct cwsd_child *child) CWS_MUST_CHECK;
