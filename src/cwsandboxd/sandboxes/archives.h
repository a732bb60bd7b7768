/*
 * The snapshots of scratch volumes, as records joined with their archives: makes them, restores
 * from them, removes them. Loop thread only.
 *
 * An archive is there under its name only when its record says READY, or is about to: it is whole
 * and on the disk before that. Whatever else is in the folder goes at the next start.
 */
#pragma once

#include "box/box.h"
#include "store/snapshots.h"
#include "values/fault.h"
#include "values/pb.h"

struct cwsd_archives;
struct cwsd_restore;

struct cwsd_archives_options {
    struct cws_loop *loop;
    struct cwsd_database *database;
    const char *folder;  /* for the archives; made if it is missing */
    const char *program; /* cwsandbox-archive; NULL: beside the daemon's own binary */
};

/* Opens the folder, removes what is left over, and settles the records of a daemon that ended in
 * the middle. CWS_INVALID: the folder is not the daemon's alone. CWS_SYSTEM, CWS_NO_MEMORY. */
enum cws_status cwsd_archives_open(const struct cwsd_archives_options *options,
                                   struct cwsd_archives **out_archives,
                                   struct cws_error *err) CWS_MUST_CHECK;
/* Gives up what is being made; the records stay in CREATING until the next start. The processes end
 * before the loop is freed. NULL is allowed. */
void cwsd_archives_close(struct cwsd_archives *archives);

/* ---- making --------------------------------------------------------------------------------- */

struct cwsd_save {
    int trigger; /* CWSD_SNAPSHOT_TRIGGER(...) */
    const char *sandbox_id;
    struct cwsd_box *box; /* that has the volume */
    const char *volume;
    const char *request_id;     /* "": none */
    struct cwsd_digest request; /* of the message */
    int position;               /* among the volumes of the request */
};

/* The snapshot that an equal request with this request_id has made. False without a fault: there is
 * none. False with *fault set: it was another request, or the database has failed. */
bool cwsd_archives_find_repeated(struct cwsd_archives *archives, const struct cwsd_save *save,
                                 struct cwsd_snapshot *out, struct cwsd_fault *fault);

/* Whether so many more may be made now. False with *fault set. */
bool cwsd_archives_have_room(struct cwsd_archives *archives, size_t count,
                             struct cwsd_fault *fault);

/* Whether one more of this sandbox's volumes may be saved now, on request. False with *fault set.
 */
bool cwsd_archives_have_turn(struct cwsd_archives *archives, const char *sandbox_id,
                             struct cwsd_fault *fault);

/* Makes a record in CREATING, and the archive as soon as others leave it a turn; ON_DELETE only
 * after cwsd_archives_begin. The volume is held until then. False with *fault set. */
bool cwsd_archives_save(struct cwsd_archives *archives, const struct cwsd_save *save,
                        struct cwsd_snapshot *out, struct cwsd_fault *fault);

/* Everything in the sandbox has ended: its volumes are as it has left them. */
void cwsd_archives_begin(struct cwsd_archives *archives, const char *sandbox_id);

/* ---- looking up and removing ---------------------------------------------------------------- */

/* False with *fault NOT_FOUND, or the database's. */
bool cwsd_archives_find(struct cwsd_archives *archives, const char *id, struct cwsd_snapshot *out,
                        struct cwsd_fault *fault);

/* The records alone, for lists. */
struct cwsd_snapshots *cwsd_archives_records(struct cwsd_archives *archives);

/* Removes the record and then the archive, which may still be in the making. What is being restored
 * from it is not affected. *out is the last state of the record. False as for find. */
bool cwsd_archives_remove(struct cwsd_archives *archives, const char *id, struct cwsd_snapshot *out,
                          struct cwsd_fault *fault);

/* ---- restoring ------------------------------------------------------------------------------ */

/* Opens the snapshots from which volumes of the spec start; *out_restore is NULL if there are none.
 * `archives` NULL: there are no snapshots here. False with *fault set: one cannot be used. */
bool cwsd_restore_open(struct cwsd_archives *archives, const cwsd_pb_spec *spec,
                       struct cwsd_restore **out_restore, struct cwsd_fault *fault);

/* Fills the volumes of the box, which waits in on_volumes. `done` is called once, never from inside
 * this call; `failed` is NULL or says why. */
void cwsd_restore_begin(struct cwsd_restore *restore, struct cwsd_box *box,
                        void (*done)(void *ctx, const char *failed), void *ctx);

/* May be called at any time, also instead of waiting for `done`. NULL is allowed. */
void cwsd_restore_free(struct cwsd_restore *restore);
