/*
 * What is known about one sandbox, and the rules by which its state changes. Pure data: no box, no
 * clock, no loop.
 *
 *   CREATING --running--> RUNNING --stopping, exited--> TERMINATING
 *   TERMINATING --gone--> COMPLETED, TERMINATED or FAILED
 *
 * A sandbox that never ran goes from CREATING to a final state directly, or through TERMINATING.
 * Once a stop was requested, the final state is COMPLETED or TERMINATED, never FAILED.
 */
#pragma once

#include <time.h>

#include "base/list.h"
#include "store/digest.h"
#include "store/index.h"
#include "store/row.h"
#include "values/pb.h"

#define CWSD_ID_SIZE 20 /* "sb-", 16 hex digits, NUL */

enum cwsd_cause {
    CWSD_CAUSE_NONE, /* it ends by itself */
    CWSD_CAUSE_DELETE,
    CWSD_CAUSE_LIFETIME, /* its maximum lifetime passed */
    CWSD_CAUSE_SHUTDOWN, /* the daemon ends */
};

struct cwsd_record {
    char id[CWSD_ID_SIZE];
    uint64_t sequence; /* order of creation, from 1; set by the registry */
    struct cwsd_index_node by_id;
    struct cwsd_index_node by_request;
    struct cws_list in_all;      /* registry, by sequence */
    struct cws_list in_finished; /* registry, by end; in no list until then */
    struct cws_list in_unsaved;  /* sandbox_rows */
    bool kept;                   /* it has a row in the database */

    char *request_id;          /* NULL: none */
    struct cwsd_digest digest; /* of the create request */
    char *display_name;
    char *source_template_id; /* NULL: none */
    int64_t source_template_revision;
    cwsd_pb_spec *spec;    /* checked; file contents are freed once the box has them */
    size_t spec_bytes;     /* packed */
    struct cwsd_row *rows; /* one for each container of the spec; NULL: they fare as the sandbox */

    int state; /* CWSD_STATE(...) */
    char reason[200];
    enum cwsd_cause cause;
    bool deleted; /* a delete was answered, so the next one finds nothing */
    bool egress;  /* its network leads to others, as the spec allows */
    bool has_exit_code;
    int32_t exit_code;
    struct timespec created, started, ended; /* tv_sec 0: not yet */
};

/* Makes it a record in CREATING with a random id. The caller then sets request_id, display_name,
 * spec, rows and source_template_id, all from cws_malloc; the record owns them. */
void cwsd_record_init(struct cwsd_record *record, struct timespec now);
/* Frees what the record owns. It must not be in any index or list. */
void cwsd_record_done(struct cwsd_record *record);

/* Whether it has ended, in whatever way. */
bool cwsd_record_is_finished(const struct cwsd_record *record);

void cwsd_record_running(struct cwsd_record *record, struct timespec now);
/* A stop was requested. The first cause is kept. */
void cwsd_record_stopping(struct cwsd_record *record, enum cwsd_cause cause);
/* The main command has ended. */
void cwsd_record_exited(struct cwsd_record *record, int exit_code);
/* Nothing of the sandbox is left. `broken` says why it never ran or broke; NULL if neither. */
void cwsd_record_gone(struct cwsd_record *record, const char *broken, struct timespec now);
/* Its daemon is no more, and so neither is the sandbox. For a record that is not finished. */
void cwsd_record_orphaned(struct cwsd_record *record, struct timespec now);
