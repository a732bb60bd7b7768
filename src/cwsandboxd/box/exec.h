/*
 * One command in a running box. The box's init starts it on request, with pipes to the daemon. Loop
 * thread only.
 *
 * Any of these functions may be called from inside an event.
 */
#pragma once

#include "box/box.h"

struct cwsd_exec;

/* Both from 1 to 65535. */
struct cwsd_exec_size {
    uint16_t columns, rows;
};

struct cwsd_exec_options {
    struct cwsd_string_list command;       /* the program is looked up on the command's own PATH */
    struct cwsd_string_list environment;   /* added to the box's */
    const char *working_dir;               /* NULL: the box's */
    uint16_t port;                         /* not 0: no command, but a connection to this port in
                                            * the box: stdin is what goes there, stdout what comes
                                            * from there. It ends with 0 when both directions
                                            * have, with an errno if there was none. Nothing else
                                            * above counts */
    bool with_stdin;                       /* false: stdin is /dev/null */
    const struct cwsd_exec_size *terminal; /* NULL: none. Else the command's stdin, stdout and
                                            * stderr are a terminal of this size, all output comes
                                            * as stdout, and with_stdin does not matter. TERM is
                                            * CWSD_EXEC_TERM unless the environment has another */
};

#define CWSD_EXEC_TERM "TERM=xterm-256color"

struct cwsd_exec_events {
    /* The command was started. If it cannot be executed, its stderr says so, as a shell's would,
     * and it ends with 127 (no such program) or 126 (the program cannot be run, or the working
     * directory cannot be entered). */
    void (*on_started)(void *ctx);
    /* The bytes from one read of a pipe, up to 64 KiB; valid during the call. */
    void (*on_output)(void *ctx, bool is_stderr, const uint8_t *data, size_t len);
    /* After cwsd_exec_stdin_pending had been above 0: the command's pipe has taken all bytes
     * written so far, or they were dropped because the command closed its stdin. */
    void (*on_stdin_drained)(void *ctx);
    /* The last event: the command has ended, and everything that it wrote before has been
     * delivered. `exit_code` is 128 + N for signal N. Processes that it left in the background may
     * hold its pipes open; they are not waited for. */
    void (*on_exited)(void *ctx, int exit_code);
    /* The last event instead of on_exited; here, too, all output has been delivered. CWS_CLOSED:
     * the box went down. CWS_SYSTEM, CWS_PROTOCOL: its init broke or could not start the command.
     * CWS_TOO_LARGE: the command never started, because the kernel would not pass its pipes on, or
     * because the sandbox has no more terminals. */
    void (*on_failed)(void *ctx, const struct cws_error *err);
    /* Of connections; may be NULL. The other side sends nothing more, and still takes what is
     * written. */
    void (*on_output_ended)(void *ctx);
};

/* After CWS_OK events follow, never from inside this call. CWS_CLOSED: the box does not run.
 * CWS_INVALID: the command has no words, or more than the kernel takes. CWS_TOO_LARGE: too many
 * commands at a time. CWS_SYSTEM, CWS_NO_MEMORY. */
enum cws_status cwsd_exec_start(struct cwsd_box *box, const struct cwsd_exec_options *options,
                                const struct cwsd_exec_events *events, void *ctx,
                                struct cwsd_exec **out_exec, struct cws_error *err) CWS_MUST_CHECK;

/* Queues a copy of the bytes for the command's stdin. After the command has closed its stdin or
 * ended, they are silently dropped. CWS_NO_MEMORY, CWS_TOO_LARGE: the bytes that the pipe did not
 * take at once are lost. */
enum cws_status cwsd_exec_write(struct cwsd_exec *exec, const uint8_t *data,
                                size_t len) CWS_MUST_CHECK;
size_t cwsd_exec_stdin_pending(const struct cwsd_exec *exec);
/* Ends the input after what is queued: on a terminal, as its end-of-file key does. Harmless if
 * repeated. */
void cwsd_exec_close_stdin(struct cwsd_exec *exec);

/* Sets the terminal's size. */
void cwsd_exec_resize(struct cwsd_exec *exec, const struct cwsd_exec_size *size);
/* Nobody is at the terminal any more: what runs on it gets SIGHUP, what it writes is lost. If the
 * command still runs after CWSD_HANG_UP_GRACE_MS, it is killed. on_exited follows. */
void cwsd_exec_hang_up(struct cwsd_exec *exec);
#define CWSD_HANG_UP_GRACE_MS 2000

/* Stops / resumes reading the command's output: back-pressure through the pipe. */
void cwsd_exec_pause(struct cwsd_exec *exec, bool paused);

/* Sends SIGKILL to the command's process group if it still runs (cancellation, deadline, lost
 * client); a command with a terminal is hung up first. No more events come. Frees the exec, once
 * the kernel is done with it; must also be called after on_exited or on_failed. */
void cwsd_exec_free(struct cwsd_exec *exec);
