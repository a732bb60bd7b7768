/*
 * One container of a sandbox: its box, its log, and how it fares. Embedded in what owns the
 * sandbox. Loop thread only.
 */
#pragma once

#include "box/box.h"
#include "sandboxes/log_shelf.h"
#include "store/claims.h"
#include "store/row.h"
#include "values/fault.h"
#include "values/pb.h"

struct cwsd_container;

struct cwsd_container_events {
    /* If it restores: its volumes are there, and it waits for cwsd_box_go. */
    void (*on_volumes)(struct cwsd_container *container);
    /* If others mount volumes: they can be started now. Only of the first container. */
    void (*on_lent)(struct cwsd_container *container);
    void (*on_running)(struct cwsd_container *container);
    /* Its main command has ended. */
    void (*on_exited)(struct cwsd_container *container);
    /* The answer to cwsd_container_ask_usage; NULL: there will be none. */
    void (*on_usage)(struct cwsd_container *container, const struct cwsi_usage *usage);
    /* Nothing of its box is left on the host. `err` as for a box. */
    void (*on_gone)(struct cwsd_container *container, const struct cws_error *err);
    /* After on_gone: its log is whole, too. */
    void (*on_over)(struct cwsd_container *container);
};

struct cwsd_container {
    const cwsd_pb_container *spec;
    const char *name;
    struct cwsd_row *row;
    const struct cwsd_container_events *events;
    struct cwsd_sandbox *sandbox;
    struct cwsd_box *box; /* NULL: not started, or freed */
    bool held;            /* it is to be started when others are ready */
    bool usage_asked;
    struct cwsd_log *log; /* as long as the record */
    struct cwsd_log_listener log_changed;
    struct cwsd_log_shelf *shelf; /* for its log, once that has ended */
    struct cwsd_shelf_place on_shelf;
};

struct cwsd_container_options {
    struct cws_loop *loop;
    const struct cwsd_host *host;
    struct cwsd_room *room; /* NULL: it is the only one */
    const char *sandbox_id;
    const cwsd_pb_spec *spec;
    const char *secrets_dir;          /* NULL: there are no secret stores */
    const struct cwsd_claims *claims; /* NULL: there are no registered volumes */
    bool restores;                    /* its volumes are filled before it sees them */
    const struct cwsd_box *home; /* the first container's, once it has lent; NULL for that one */
};

/* Makes its log, in the file `log_path`. The caller has set the fields above `box`, and `shelf`.
 * CWS_NO_MEMORY; there is nothing to free then. */
enum cws_status cwsd_container_init(struct cwsd_container *container, struct cws_loop *loop,
                                    const char *log_path, uint64_t log_bytes) CWS_MUST_CHECK;
/* Frees what it owns, its log among it. All zero is allowed. */
void cwsd_container_done(struct cwsd_container *container);

/* Starts its box. Events follow, never from inside this call. False with *fault set: it cannot be
 * started. */
bool cwsd_container_start(struct cwsd_container *container,
                          const struct cwsd_container_options *options, struct cwsd_fault *fault);
/* It will never be started. Its log ends: on_over may come from inside this call. */
void cwsd_container_skip(struct cwsd_container *container);

/* As cwsd_box_stop. Harmless if it does not live. */
void cwsd_container_stop(struct cwsd_container *container, uint64_t grace_ms);

/* As cwsd_box_ask_usage. */
bool cwsd_container_ask_usage(struct cwsd_container *container);
