/*
 * What people register with the daemon: templates and volumes. Each is a message with an id, of
 * its own kind. Changes are durable: they wait for the disk, and survive a loss of power. Loop
 * thread only.
 */
#pragma once

#include "store/database.h"
#include "store/digest.h"

/* Kept in the database: never renumber them. */
enum cwsd_resource_kind {
    CWSD_RESOURCE_TEMPLATE = 1,
    CWSD_RESOURCE_VOLUME = 2,
};

struct cwsd_resource {
    enum cwsd_resource_kind kind;
    int64_t number; /* order of creation, from 1; set by cwsd_resource_add */
    const char *id;
    const char *name;       /* "": none; unique among those of the kind that are not deleted */
    const char *request_id; /* of the request that made it; "": none */
    struct cwsd_digest digest;
    bool deleted;  /* it can be looked at, no more */
    void *message; /* NULL: there is no such resource */
    char *texts;   /* what id, name and request_id point into, if it was read */
};

/* What is looked for. */
enum cwsd_resource_key {
    CWSD_BY_ID,
    CWSD_BY_NAME, /* not among the deleted */
    CWSD_BY_REQUEST,
};

/* Reads one. message NULL: there is none. False with *fault set: the database or memory fails. To
 * be freed with cwsd_resource_done. */
bool cwsd_resource_find(struct cwsd_database *database, enum cwsd_resource_kind kind,
                        enum cwsd_resource_key by, const char *key, struct cwsd_resource *out,
                        struct cwsd_fault *fault);
/* Harmless on an all-zero struct. */
void cwsd_resource_done(struct cwsd_resource *resource);

/* Writes one, its strings and message the caller's. It must be new: ids, names and request ids are
 * unique. False with *fault set: not written. */
bool cwsd_resource_add(struct cwsd_database *database, struct cwsd_resource *resource,
                       struct cwsd_fault *fault);
/* Writes its name, `deleted` and message anew, under its number. */
bool cwsd_resource_save(struct cwsd_database *database, const struct cwsd_resource *resource,
                        struct cwsd_fault *fault);
bool cwsd_resource_remove(struct cwsd_database *database, const struct cwsd_resource *resource,
                          struct cwsd_fault *fault);
/* Removes the deleted ones of the kind but the newest `keep`. */
bool cwsd_resource_prune(struct cwsd_database *database, enum cwsd_resource_kind kind, size_t keep,
                         struct cwsd_fault *fault);

/* How many of the kind there are, the deleted not counted. */
bool cwsd_resource_count(struct cwsd_database *database, enum cwsd_resource_kind kind,
                         size_t *out_count, struct cwsd_fault *fault);

/* Reads those of the kind in order, from behind number `after` on. The caller ends the reading with
 * cwsd_statement_done. */
bool cwsd_resource_begin(struct cwsd_database *database, enum cwsd_resource_kind kind,
                         int64_t after, bool with_deleted, struct cwsd_statement *out_cursor,
                         struct cwsd_fault *fault);
/* As cwsd_resource_find; message NULL: there are no more. */
bool cwsd_resource_next(struct cwsd_statement *cursor, struct cwsd_resource *out,
                        struct cwsd_fault *fault);
