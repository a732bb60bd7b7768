/*
 * All sandboxes that this daemon knows: the living ones, and as many finished ones as its bounds
 * allow. Those that ended first are released first. The struct is the caller's memory. Not
 * thread-safe.
 */
#pragma once

#include "store/record.h"

struct cwsd_registry {
    struct cwsd_index by_id;
    struct cwsd_index by_request;
    struct cws_list all;      /* of cwsd_record.in_all, by sequence */
    struct cws_list finished; /* of cwsd_record.in_finished, by end */
    size_t live;
    size_t finished_count, finished_bytes;
    size_t max_finished, max_finished_bytes;
    uint64_t last_sequence;
    void (*release)(struct cwsd_record *record); /* frees the record and what it is part of */
};

void cwsd_registry_init(struct cwsd_registry *registry,
                        void (*release)(struct cwsd_record *record));
/* Releases every record, finished or not. */
void cwsd_registry_done(struct cwsd_registry *registry);

/* Adds the record under its id and its request id (if it has one, which must not be known yet), and
 * numbers it. CWS_NO_MEMORY; CWS_INVALID if its id is known already. On failure the caller still
 * owns the record. */
enum cws_status cwsd_registry_add(struct cwsd_registry *registry,
                                  struct cwsd_record *record) CWS_MUST_CHECK;
/* Adds a record that an earlier daemon has numbered, at its place in the order. As
 * cwsd_registry_add. */
enum cws_status cwsd_registry_restore(struct cwsd_registry *registry,
                                      struct cwsd_record *record) CWS_MUST_CHECK;
/* The record has reached a final state. This may release it or older ones. */
void cwsd_registry_finish(struct cwsd_registry *registry, struct cwsd_record *record);
/* Removes a living record, as if it had never been added. The caller owns it again. */
void cwsd_registry_remove(struct cwsd_registry *registry, struct cwsd_record *record);

/* How many sandboxes have the registered volume: those that have not ended. */
size_t cwsd_registry_count_attached(const struct cwsd_registry *registry, const char *volume_id);

struct cwsd_record *cwsd_registry_find(const struct cwsd_registry *registry, const char *id);
struct cwsd_record *cwsd_registry_find_request(const struct cwsd_registry *registry,
                                               const char *request_id);
