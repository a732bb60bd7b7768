/*
 * The directories behind registered volumes: one for each claim that they name, in the directory of
 * --volume-dir. A claim outlives the volumes that name it, and the daemon. Loop thread only.
 *
 *     DIR/<32 hexadecimal digits>/claim   namespace and name, for people
 *     DIR/<32 hexadecimal digits>/data    what sandboxes see
 */
#pragma once

#include <sys/types.h>

#include "base/status.h"
#include "store/database.h"
#include "values/fault.h"
#include "values/pb.h"

struct cwsd_host;

struct cwsd_claims {
    int dir;     /* -1: not open */
    uid_t owner; /* whose the files are; 0: the daemon's */
    struct cwsd_database *database;
};

/* The directory must be there, this user's and nobody else's (mode 0700), and the sandboxes of
 * `host` must be able to have directories in it. CWS_INVALID, CWS_SYSTEM. */
enum cws_status cwsd_claims_open(struct cwsd_claims *claims, const char *path,
                                 const struct cwsd_host *host, struct cwsd_database *database,
                                 struct cws_error *err) CWS_MUST_CHECK;
/* Harmless if it is not open. */
void cwsd_claims_close(struct cwsd_claims *claims);

/* The directory of a claim, or of its sub-path, made if it is missing. A link in the sub-path is
 * not followed. The caller closes it. -1 with *fault VOLUME_BACKEND_NOT_FOUND. */
int cwsd_claims_folder(const struct cwsd_claims *claims, const cwsd_pb_claim *claim,
                       struct cwsd_fault *fault);

/* That of a registered volume. -1 with *fault as above, or the database's. */
int cwsd_claims_attach(const struct cwsd_claims *claims, const char *volume_id, bool *out_read_only,
                       struct cwsd_fault *fault);

/* The size of the file system, as a quantity. False: it is not told. */
bool cwsd_claims_capacity(const struct cwsd_claims *claims, char *text, size_t size);
