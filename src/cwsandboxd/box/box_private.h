/* The fields of a box, for its own files, for the commands in it and for probe.c. Loop thread. */
#pragma once

#include "box/box.h"
#include "box/line.h"
#include "host/child.h"
#include "io/allowance.h"

/* The holder of a command's id. It gets what the init reports about that command, or news of the
 * box's end. Embedded in the object that the command belongs to. */
struct cwsd_occupant {
    const struct cwsd_occupant_events *events;
    uint32_t id;
};

/* After `exited`, `failed` or `lost` the id is free. `resized` may be NULL; before `started` it is
 * about whoever had the id before. Returning false means that the init's report
 * makes no sense. */
struct cwsd_occupant_events {
    bool (*started)(struct cwsd_occupant *occupant);
    bool (*exited)(struct cwsd_occupant *occupant, int wait_status);
    bool (*failed)(struct cwsd_occupant *occupant, const struct cws_error *err); /* to start */
    void (*lost)(struct cwsd_occupant *occupant, const struct cws_error *err);
    void (*resized)(struct cwsd_occupant *occupant);
};

/* One command id. */
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
    struct cwsd_room *room; /* NULL: it is alone */
    uid_t user; /* the user who is root inside, the box's own or its room's; 0: the daemon's */
    struct cwsd_string_list environment; /* the standard environment and the box's own */

    enum cwsd_box_state state;
    bool stop_asked;
    bool killed; /* by us: what ends from now on ends because of that */
    bool exited; /* the main command has ended with exit_code */
    bool told_exited;
    bool lingers; /* everything has ended, but not everything could be reaped yet */
    int exit_code;
    struct cws_error failure; /* CWS_OK: none so far */
    struct cwsi_report fault; /* the init's report of its failure; op 0: none */

    struct cwsd_child
        child; /* bubblewrap until the box runs, or the init itself when there is no isolation */
    struct cwsd_line line;
    struct cwsd_watch init; /* its pidfd: readable when every process of the box is gone */
    int stderr_fd;          /* reads bubblewrap's error messages; -1: no longer needed */
    struct cws_timer timer; /* limits the creation, then the grace period, then the lingering */
    struct cwsd_request setup, go, main, term, usage;
    bool usage_asked; /* its report is due */

    struct cwsd_box_volume *volumes; /* volume.c's */
    size_t volume_count, volumes_reported;
    int *lent; /* those that were reported */
    size_t lend_count, lent_reported;
    struct cwsd_request *gives; /* of mounts that other boxes have lent; sent before `main` */
    size_t give_count;
    bool holds_volumes; /* it waits for cwsd_box_go */

    struct cwsd_box_execs execs;     /* counted by exec.c */
    uint32_t wide_pipes;             /* likewise: commands whose stdin pipe was enlarged */
    struct cws_allowance file_ops;   /* one each; see box/file_op.h */
    struct cws_allowance file_bytes; /* of files that are being read */
    struct cwsd_slot *slots; /* by id; id 0 is the main command's and never has an occupant */
    uint32_t slot_count;
    uint32_t first_free; /* 0: none */
};

/* ---- box_start.c ---------------------------------------------------------------------------- */

/* Copies the options, starts the child and asks it to become the box. CWS_NO_MEMORY, CWS_INVALID
 * (this isolation cannot provide what the options ask for), CWS_SYSTEM. On failure the line may be
 * open. */
enum cws_status cwsd_box_start(struct cwsd_box *box, const struct cwsd_box_options *options,
                               struct cws_error *err) CWS_MUST_CHECK;
/* It never came to run, and will not. box.c. */
void cwsd_box_abandon(struct cwsd_box *box, const struct cws_error *err);
/* The child has been reaped. */
void cwsd_box_note_child_end(struct cwsd_child *child, int wait_status);

/* ---- volume.c ------------------------------------------------------------------------------- */

/* Prepares for the volumes of the options, which may use `limit` bytes together. CWS_NO_MEMORY;
 * CWS_TOO_LARGE: they would use more. */
enum cws_status cwsd_volumes_init(struct cwsd_box *box, const struct cwsd_box_options *options,
                                  uint64_t limit, struct cws_error *err) CWS_MUST_CHECK;
void cwsd_volumes_done(struct cwsd_box *box);

/* Adds the steps that make and mount them. */
void cwsd_volumes_add_steps(const struct cwsd_box *box, const struct cwsd_box_options *options,
                            struct cwsd_script *script);

/* Sends the mounts that the box was lent. `refused` as in request.h; the request's owner is the
 * box. */
void cwsd_volumes_give(struct cwsd_box *box,
                       void (*refused)(struct cwsd_request *request, const struct cws_error *err));

/* The init's report of a volume, or of a mount for others; the descriptor becomes the box's. False:
 * it was not expected. */
bool cwsd_volumes_take(struct cwsd_box *box, const struct cwsi_report *report, int fd);
/* Whether more such reports are to come. */
bool cwsd_volumes_are_due(const struct cwsd_box *box);

/* ---- for commands --------------------------------------------------------------------------- */

/* Gives the occupant an id. CWS_CLOSED: the box does not run. CWS_TOO_LARGE: it has too many
 * commands. CWS_NO_MEMORY. */
enum cws_status cwsd_box_attach(struct cwsd_box *box, struct cwsd_occupant *occupant,
                                struct cws_error *err) CWS_MUST_CHECK;
/* Frees the occupant's id for others. */
void cwsd_box_detach(struct cwsd_box *box, const struct cwsd_occupant *occupant);

/* The exit code for a wait status: 0..255, or 128 + the signal. */
int cwsd_box_exit_code(int wait_status);
