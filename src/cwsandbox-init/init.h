/* The parts of cwsandbox-init. Functions return 0 or a negative errno unless they say otherwise. */
#pragma once

#include "protocol.h"
#include "sys.h"

/* start.c calls it. */
__attribute__((noreturn, used)) void init_main(uint64_t *stack);

/* What went wrong, for a report. */
struct fault {
    uint32_t detail;  /* of a step: its op */
    const char *path; /* NULL: nothing to name */
};

/* become.c: executes argv[1] as the user, and group, that argv[0] is the number of; says so on
 * stderr when it cannot. */
__attribute__((noreturn)) void become(char **argv, char **envp);

/* setup.c: does the steps of a block of `size` bytes, which it may write to. */
int setup_run(char *block, uint64_t size, struct fault *fault);

/* guard.c: limits that commands inherit, a single one that is at most `soft` and `hard`; and the
 * end of what only the set-up was allowed to do. */
int guard_limit(int resource, uint64_t soft, uint64_t hard);
void guard_limits(void);
/* What we start, and we, are taken before others when memory runs out. Lowering it again is refused
 * if we are privileged, else they can lower it to what it was. */
void guard_oom(void);
int guard_drop_privileges(void);

/* drain.c: takes over the reading end of a pipe; what comes goes to `into`, /dev/null. */
void drain_add(int fd, int into);
/* What to poll for input, then to call drain_round; -1: nothing, for *out_ns (0: nothing at all).
 */
int drain_poll_fd(uint64_t *out_ns);
void drain_round(void);

/* filter.c: takes some system calls away; needs no_new_privs, which guard_drop_privileges sets. */
int filter_calls(void);

/* seal.c: see CWSI_STEP_SEAL_PROC and CWSI_STEP_SEAL_DEV. */
int seal_proc(void);
int seal_dev(void);

/* proc.c: SIGKILL to every child of ours. */
void proc_kill_children(void);

/* command.c */
struct launch {
    char **argv;
    char **envp;
    const char *working_dir;
    int fds[3]; /* what becomes stdin, stdout, stderr */
    bool die_with_us;
    int *error; /* NULL, or shared memory: set to why it could not be executed */
};

/* Fills argv, envp and working_dir from a block of CWSI_START; the block is written to and must
 * stay until it is started. */
int command_read(struct launch *launch, char *block, uint64_t size);
/* Starts it in a session of its own; returns its pid, with `error` only after it was executed or
 * ended. One that cannot be executed says so on its stderr. */
long command_start(struct launch *launch);
