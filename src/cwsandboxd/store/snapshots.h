/*
 * The records of file system snapshots, in the daemon's database. Values only: no file, no process.
 * Loop thread only.
 *
 *   CREATING --> READY or FAILED
 *
 * Functions that return enum cws_status fail as those of database.h.
 */
#pragma once

#include <time.h>

#include "store/database.h"
#include "store/digest.h"
#include "store/record.h"

#define CWSD_SNAPSHOT_ID_SIZE     21 /* "fss-", 16 hex digits, NUL */
#define CWSD_SNAPSHOT_DIGEST_SIZE 32 /* SHA-256 */
#define CWSD_SNAPSHOT_STATE(name) COREWEAVE__SANDBOX__V1__SNAPSHOT_STATE__SNAPSHOT_STATE_##name
#define CWSD_SNAPSHOT_TRIGGER(name) \
    COREWEAVE__SANDBOX__V1__SNAPSHOT_TRIGGER__SNAPSHOT_TRIGGER_##name

struct cwsd_snapshot {
    uint64_t sequence; /* order of creation; set by cwsd_snapshots_add */
    char id[CWSD_SNAPSHOT_ID_SIZE];
    int state;   /* CWSD_SNAPSHOT_STATE(...) */
    int trigger; /* CWSD_SNAPSHOT_TRIGGER(...) */
    char sandbox_id[CWSD_ID_SIZE];
    char volume[64];
    char request_id[CWSD_MAX_REQUEST_ID_BYTES + 1]; /* "": none */
    struct cwsd_digest request;                     /* of the request that made it */
    int position; /* among those of the request; it makes one for each volume that it names */
    char reason[200];
    uint64_t size; /* of the archive; 0 until READY */
    uint8_t digest[CWSD_SNAPSHOT_DIGEST_SIZE];
    int64_t created_ns, completed_ns, updated_ns; /* since the epoch; completed 0: not yet */
};

struct cwsd_snapshots {
    struct cwsd_database *database;
    struct cwsd_statement insert, update, remove, by_id, by_request, page, count, unfinished;
};

enum cws_status cwsd_snapshots_init(struct cwsd_snapshots *snapshots,
                                    struct cwsd_database *database,
                                    struct cws_error *err) CWS_MUST_CHECK;
/* Harmless on an all-zero struct. */
void cwsd_snapshots_done(struct cwsd_snapshots *snapshots);

/* Makes a new record with a random id, in CREATING. */
void cwsd_snapshot_init(struct cwsd_snapshot *snapshot, int64_t now_ns);

enum cws_status cwsd_snapshots_add(struct cwsd_snapshots *snapshots, struct cwsd_snapshot *snapshot,
                                   struct cws_error *err) CWS_MUST_CHECK;
/* Stores state, reason, size, digest and times. */
enum cws_status cwsd_snapshots_update(struct cwsd_snapshots *snapshots,
                                      const struct cwsd_snapshot *snapshot,
                                      struct cws_error *err) CWS_MUST_CHECK;
enum cws_status cwsd_snapshots_remove(struct cwsd_snapshots *snapshots, const char *id,
                                      struct cws_error *err) CWS_MUST_CHECK;

/* The functions that look something up set *out_found. */
enum cws_status cwsd_snapshots_find(struct cwsd_snapshots *snapshots, const char *id,
                                    struct cwsd_snapshot *out, bool *out_found,
                                    struct cws_error *err) CWS_MUST_CHECK;
/* What a request with this id has made. */
enum cws_status cwsd_snapshots_find_request(struct cwsd_snapshots *snapshots, int trigger,
                                            const char *request_id, int position,
                                            struct cwsd_snapshot *out, bool *out_found,
                                            struct cws_error *err) CWS_MUST_CHECK;
/* Up to `most` of them, those of one sandbox only (""  : of all), by age, with a sequence above
 * `after`. */
enum cws_status cwsd_snapshots_page(struct cwsd_snapshots *snapshots, const char *sandbox_id,
                                    uint64_t after, size_t most, struct cwsd_snapshot *out,
                                    size_t *out_count, struct cws_error *err) CWS_MUST_CHECK;
/* How many there are. */
enum cws_status cwsd_snapshots_count(struct cwsd_snapshots *snapshots, size_t *out_count,
                                     struct cws_error *err) CWS_MUST_CHECK;
/* Those that a daemon left in CREATING have FAILED, for this reason. */
enum cws_status cwsd_snapshots_fail_unfinished(struct cwsd_snapshots *snapshots, const char *reason,
                                               int64_t now_ns,
                                               struct cws_error *err) CWS_MUST_CHECK;
