/*
 * One command in a running box, started by its init on request, with pipes to the daemon. Loop
 * thread only.
 *
 * Any of the functions may be called from inside an event.
 */
#pragma once

#include "box/box.h"

struct cwsd_exec;

struct cwsd_exec_options {
    struct cwsd_string_list command;     /* looked up on the command's own PATH */
    struct cwsd_string_list environment; /* on top of the box's */
    const char *working_dir;             /* NULL: the box's */
    bool with_stdin;                     /* false: stdin is /dev/null */
};

struct cwsd_exec_events {
    /* The command runs. If it cannot be executed it says so on its stderr, as a shell would, and
     * ends with 127 (there is no such program) or 126 (it cannot be run, or the working directory
     * cannot be entered). */
    void (*on_started)(void *ctx);
    /* What one read of a pipe gave, up to 64 KiB, valid during the call. */
    void (*on_output)(void *ctx, bool is_stderr, const uint8_t *data, size_t len);
    /* After cwsd_exec_stdin_pending had been above 0: all bytes given to cwsd_exec_write so far
     * were taken by the command's pipe, or dropped because it closed it. */
    void (*on_stdin_drained)(void *ctx);
    /* Last: the command ended and everything it wrote before was delivered. 128 + N for signal N.
     * Processes that it left in the background may hold its pipes open; they are not waited for. */
    void (*on_exited)(void *ctx, int exit_code);
    /* Last, instead of on_exited, everything written delivered too: CWS_CLOSED: the box went down;
     * CWS_SYSTEM, CWS_PROTOCOL: its init broke or could not start the command; CWS_TOO_LARGE: it
     * never started, since the kernel would not take its pipes. */
    void (*on_failed)(void *ctx, const struct cws_error *err);
};

/* CWS_OK: events follow, never from inside this call. CWS_CLOSED: the box does not run;
 * CWS_INVALID: no words; CWS_TOO_LARGE: too many commands at a time; CWS_SYSTEM, CWS_NO_MEMORY. */
enum cws_status cwsd_exec_start(struct cwsd_box *box, const struct cwsd_exec_options *options,
                                const struct cwsd_exec_events *events, void *ctx,
                                struct cwsd_exec **out_exec, struct cws_error *err) CWS_MUST_CHECK;

/* Queues bytes for the command's stdin (copied). Tolerated and dropped after the command closed its
 * stdin or ended. CWS_NO_MEMORY, CWS_TOO_LARGE: nothing of `data` that the pipe has not taken was
 * queued. */
enum cws_status cwsd_exec_write(struct cwsd_exec *exec, const uint8_t *data,
                                size_t len) CWS_MUST_CHECK;
size_t cwsd_exec_stdin_pending(const struct cwsd_exec *exec);
/* End of input after what is queued. Harmless when repeated. */
void cwsd_exec_close_stdin(struct cwsd_exec *exec);

/* Stops / resumes reading the command's output: back-pressure through the pipe. */
void cwsd_exec_pause(struct cwsd_exec *exec, bool paused);

/* KILL to the command's whole process group (cancel, deadline, lost client). No further event;
 * frees the exec once the kernel is done with it. Call it also after on_exited / on_failed to free
 * it. */
void cwsd_exec_free(struct cwsd_exec *exec);
