/*
 * Keeps the records of sandboxes in the database, and writes later what finds no room at first.
 * Loop thread only.
 */
#pragma once

#include "io/timer.h"
#include "store/sandbox_rows.h"

struct cwsd_keeper {
    struct cws_loop *loop;
    struct cwsd_sandbox_rows rows;
    struct cws_timer retry;
};

/* database NULL: nothing is kept. After a failure cwsd_keeper_done is harmless. */
enum cws_status cwsd_keeper_init(struct cwsd_keeper *keeper, struct cws_loop *loop,
                                 struct cwsd_database *database,
                                 struct cws_error *err) CWS_MUST_CHECK;
void cwsd_keeper_done(struct cwsd_keeper *keeper);

/* As cwsd_sandbox_rows_begin; go on with cwsd_sandbox_rows_next. */
enum cws_status cwsd_keeper_read(struct cwsd_keeper *keeper, struct cwsd_statement *out_cursor,
                                 struct cws_error *err) CWS_MUST_CHECK;

/* As cwsd_sandbox_rows_add, _save and _remove. */
bool cwsd_keeper_add(struct cwsd_keeper *keeper, struct cwsd_record *record,
                     struct cwsd_fault *fault);
void cwsd_keeper_save(struct cwsd_keeper *keeper, struct cwsd_record *record);
bool cwsd_keeper_remove(struct cwsd_keeper *keeper, struct cwsd_record *record);
