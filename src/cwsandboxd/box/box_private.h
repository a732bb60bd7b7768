/* What a box is to its own files, to the commands in it and to probe.c. */
#pragma once

#include "box/box.h"
#include "box/line.h"
#include "host/child.h"

/* Who holds a command's id: what the init or the box's end says about that command is for it.
 * Inside of whatever the command is for. */
struct cwsd_occupant {
    const struct cwsd_occupant_events *events;
    uint32_t id;
};

/* After exited or lost the id is free. False: what the init said makes no sense. */
struct cwsd_occupant_events {
    bool (*started)(struct cwsd_occupant *occupant);
    bool (*exited)(struct cwsd_occupant *occupant, int wait_status);
    void (*lost)(struct cwsd_occupant *occupant, const struct cws_error *err);
};

/* One place for a command's id. */
struct cwsd_slot {
    struct cwsd_occupant *occupant; /* NULL: free */
    uint32_t next_free;
};

enum cwsd_box_state {
    CWSD_BOX_CREATING,
    CWSD_BOX_RUNNING,
    CWSD_BOX_ENDING, /* the main command or the init has ended */
};

struct cwsd_box {
    struct cws_loop *loop;
    const struct cwsd_host *host;
    const struct cwsd_box_events *events;
    void *ctx;
    char *id;
    char *working_dir;
    uid_t user;                          /* its own, root's in there; 0: the daemon's */
    struct cwsd_string_list environment; /* the standard one and the box's own */

    enum cwsd_box_state state;
    bool stop_asked;
    bool killed; /* by us; what ends now ends because of that */
    bool exited; /* exit_code is what the main command left */
    bool told_exited;
    bool lingers; /* all is known to have ended, but not all could be reaped yet */
    int exit_code;
    struct cws_error failure; /* CWS_OK: none so far */
    struct cwsi_report fault; /* what the init said when it failed; op 0: nothing */

    struct cwsd_child
        child; /* bubblewrap until the box runs, or the init itself when there is no isolation */
    struct cwsd_line line;
    struct cwsd_watch init; /* its pidfd: readable when every process of the box is gone */
    int stderr_fd;          /* what bubblewrap complains to; -1: not needed any more */
    struct cws_timer timer; /* for creation, then for the grace, then while it lingers */
    struct cwsd_request setup, main, term;

    struct cwsd_slot *slots; /* by id; 0 is the main command's and never has an occupant */
    uint32_t slot_count;
    uint32_t first_free; /* 0: none */
};

/* ---- box_start.c ---------------------------------------------------------------------------- */

/* Copies the options, starts the child and asks it to become the box. On failure the line may be
 * open. What fails: CWS_NO_MEMORY, CWS_INVALID (options that this isolation cannot fulfil),
 * CWS_SYSTEM. */
enum cws_status cwsd_box_start(struct cwsd_box *box, const struct cwsd_box_options *options,
                               struct cws_error *err) CWS_MUST_CHECK;
/* The child was reaped. */
void cwsd_box_note_child_end(struct cwsd_child *child, int wait_status);

/* ---- for commands --------------------------------------------------------------------------- */

/* Gives the occupant an id. CWS_CLOSED when the box does not run, CWS_TOO_LARGE when it has too
 * many commands. */
enum cws_status cwsd_box_attach(struct cwsd_box *box, struct cwsd_occupant *occupant,
                                struct cws_error *err) CWS_MUST_CHECK;
/* The id may be another's from now on. */
void cwsd_box_detach(struct cwsd_box *box, const struct cwsd_occupant *occupant);

/* 0..255, or 128 + the signal. */
int cwsd_box_exit_code(int wait_status);
