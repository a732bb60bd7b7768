/* The parts of cwsandbox-init, a single-threaded program. Functions return 0 or a negative errno
 * unless noted otherwise. */
#pragma once

#include "protocol.h"
#include "sys.h"

/* The C entry point, which start.c calls. */
__attribute__((noreturn, used)) void init_main(uint64_t *stack);

/* main.c: sends the report with a descriptor, which stays the caller's. Waits for a while where the
 * kernel has too many descriptors of this user in flight. */
long report_descriptor(const struct cwsi_report *report, int fd);

/* What went wrong, for a report. */
struct fault {
    uint32_t detail;  /* the op of the step that failed */
    const char *path; /* NULL: nothing to name */
};

/*
 * become.c: executes a program in what the words before it say. If it cannot, it says so on stderr.
 *
 *     USER PROGRAM [WORD ...]         as the user and group of that number
 *     make COUNT USER PROGRAM ...     in a network of its own, which it passes on COUNT times. As
 *                                     that user; 0: as whoever it is
 *     open COUNT USER PROGRAM ...     the same, once the daemon has completed the network
 *     join USER PROGRAM ...           in the network that was passed on
 *     manage 0 PROGRAM ...            the same, with the rights to change that network
 *     alone 0 PROGRAM ...             in a network of its own, with the rights to change it
 *     helper PARENT 0 PROGRAM ...     with narrow limits, until the process PARENT ends
 */
__attribute__((noreturn)) void become(char **argv, char **envp);

/* network.c: a network namespace with a loopback device that is up, in a user namespace that owns
 * it and maps this user only. network_make passes it on through CWSI_NETWORK as often as `count`
 * says, and a failure, too; network_join gets it from there. Both close the socket. With `opens`
 * the daemon gets it first, through CWSI_EGRESS, and completes it. If it cannot, network_make says
 * on stderr why. */
int network_make(long count, bool opens);
int network_join(void);
/* As network_join, but with the capability CAP_NET_ADMIN over it, also for what is executed then.
 */
int network_manage(void);
/* A network as network_make has it, for this process alone, with that capability. */
int network_alone(void);

/* helper.c: this process ends with its parent, whose id is `parent`. Besides, it has the limits of
 * a program that serves one sandbox, and `program`, which is then executed, reaches no files but
 * those that programs consist of, and no Unix sockets. -ESRCH: the parent has ended. */
int helper_confine(long parent, const char *program);

/* setup.c: carries out the steps in a block of `size` bytes, which it may modify. On failure fills
 * *fault. */
int setup_run(char *block, uint64_t size, struct fault *fault);
/* Makes the directories that lead to `path`, which may be relative to the directory `base`. */
int make_parents(int base, char *path);
/* Makes a directory and what leads to it. *out_made tells whether it was not there before. */
int ensure_directory(char *path, uint32_t mode, bool *out_made);
int write_all(long fd, const char *data, uint64_t len);

/* volume.c: the steps VOLUME, AWAIT, MOUNT_VOLUME, LEND and TAKE. */
int volume_make(char *path, const char *options);
int volume_await(void);
int volume_mount(const char *path, char *source, bool read_only);
int volume_lend(char *source, bool read_only);
int volume_take(const char *path);
/* A descriptor of the directory or file at `path`, to mount something on: `mode` says what it is,
 * and which mode it gets if it is missing. Inside of a volume no link is followed (ELOOP). EPERM:
 * the init depends on that directory; ENOTDIR: it is of the other kind. */
long volume_open_place(const char *path, uint32_t mode);
/* A mount, at no place yet, of what the descriptor is of; and puts it there. */
long volume_clone(long fd, bool read_only);
int volume_attach(long tree, long place);
int volume_adopt(char *path);

/* guard.c: lowers limits, which commands inherit: one limit to at most `soft` and `hard`; all of
 * the default ones. guard_drop_privileges gives up what only the set-up was allowed to do. */
int guard_limit(int resource, uint64_t soft, uint64_t hard);
void guard_limits(void);
/* When memory runs out, the kernel kills the init and what it starts before other programs. If the
 * init is privileged they cannot lower the score again; otherwise they can, to its old value. */
void guard_oom(void);
int guard_drop_privileges(void);

/* drain.c: takes over the read end of a pipe. What arrives is thrown away. */
void drain_add(int fd);
/* The descriptor to poll for input before drain_round is called. -1: poll nothing, for *out_ns (0:
 * there is nothing to drain). */
int drain_poll_fd(uint64_t *out_ns);
void drain_round(void);

/* filter.c: forbids some system calls. Needs no_new_privs, which guard_drop_privileges sets. */
int filter_calls(void);

/* seal.c: see CWSI_STEP_SEAL_PROC and CWSI_STEP_SEAL_DEV. */
int seal_proc(void);
int seal_dev(void);

/* proc.c: sends SIGKILL to every child of the init. */
void proc_kill_children(void);

/* command.c */
struct launch {
    char **argv;
    char **envp;
    const char *working_dir;
    int fds[3]; /* these become stdin, stdout and stderr */
    bool die_with_us;
    bool has_terminal; /* they are the slave of a pseudo-terminal */
    int *error;        /* NULL, or shared memory that is set to the errno if the program cannot be
                        * executed */
};

/* Fills argv, envp and working_dir from a block of CWSI_START. Modifies the block, which must stay
 * until the command was started. */
int command_read(struct launch *launch, char *block, uint64_t size);
/* Starts the command in a session of its own. Returns its pid; with `error` only after the program
 * was executed or has ended. If it cannot be executed, its stderr says so. */
long command_start(struct launch *launch);

/* file.c: starts a child that carries out CWSI_READ_FILE or CWSI_WRITE_FILE, as the block of `size`
 * bytes says, through the pipe. Returns its pid. */
long file_start(char *block, uint64_t size, bool writes, int pipe);

/* connect.c: starts a child that carries out CWSI_CONNECT, as the block of `size` bytes says, with
 * these two pipes. Returns its pid. */
long connect_start(const char *block, uint64_t size, int in, int out, bool die_with_us);

/* terminal.c: starts the command on a terminal, whose input comes from the pipe `in` and whose
 * output goes to the pipe `out`. Sets launch->fds. Returns the command's pid. */
long terminal_start(struct launch *launch, uint32_t id, int in, int out, int32_t size);
/* CWSI_RESIZE and CWSI_HANG_UP. */
void terminal_resize(uint32_t id, int32_t size);
void terminal_hang_up(uint32_t id);
/* Command `id` has ended. True: its terminal's output is still being passed on, and
 * terminal_relay_ended will say when its end can be reported. */
bool terminal_holds_end(uint32_t id, int status);
/* A child has ended that is no command. True: it was the relay of command *out_id, which is below
 * `ids`, and the command's end can be reported now. */
bool terminal_relay_ended(int pid, uint32_t ids, uint32_t *out_id, int *out_status);

/* usage.c: what the processes in /proc, which must be the sandbox's own, use and have used. */
void usage_measure(struct cwsi_usage *out);
/* stat.c: adds what a process's /proc/PID/stat and statm say, `len` bytes. What is no such text
 * adds nothing. */
void stat_add(const char *text, size_t len, struct cwsi_usage *sum);
void stat_add_memory(const char *text, size_t len, struct cwsi_usage *sum);
