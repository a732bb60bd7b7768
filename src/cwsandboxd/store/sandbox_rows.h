/*
 * The records of sandboxes in the database. Each write is small and waits for no disk. A new record
 * is written or refused; what changes later and finds no room is written as soon as there is some.
 * Loop thread only.
 */
#pragma once

#include "store/database.h"
#include "store/record.h"

struct cwsd_sandbox_rows {
    struct cwsd_database *database; /* NULL: nothing is kept, and all functions do nothing */
    struct cwsd_statement insert, insert_spec, update, remove;
    struct cws_list unsaved; /* of cwsd_record.in_unsaved */
};

/* database NULL: nothing is kept. After a failure there is nothing to free. */
enum cws_status cwsd_sandbox_rows_init(struct cwsd_sandbox_rows *rows,
                                       struct cwsd_database *database,
                                       struct cws_error *err) CWS_MUST_CHECK;
/* Writes what is still unsaved, if there is room now. */
void cwsd_sandbox_rows_done(struct cwsd_sandbox_rows *rows);

/* Writes a new record, without the contents of its files. False with *fault set: it was not
 * written. */
bool cwsd_sandbox_rows_add(struct cwsd_sandbox_rows *rows, struct cwsd_record *record,
                           struct cwsd_fault *fault);
/* Writes what may have changed since. If it cannot, the record joins the unsaved ones. */
void cwsd_sandbox_rows_save(struct cwsd_sandbox_rows *rows, struct cwsd_record *record);
/* Tries to write the unsaved records. True if none is left. */
bool cwsd_sandbox_rows_retry(struct cwsd_sandbox_rows *rows);
/* Forgets a record, before it is freed. What cannot be removed for want of room goes when the next
 * daemon starts, which keeps no more records than its bounds allow. False: there is nothing to
 * forget, or it stays for the next daemon. */
bool cwsd_sandbox_rows_remove(struct cwsd_sandbox_rows *rows, struct cwsd_record *record);

/* Reads all records, the finished ones first, by end. Nothing is read if nothing is kept. */
enum cws_status cwsd_sandbox_rows_begin(struct cwsd_sandbox_rows *rows,
                                        struct cwsd_statement *out_cursor,
                                        struct cws_error *err) CWS_MUST_CHECK;
/* Fills a record that cwsd_record_init has made. *out_more false: there are no more, and the record
 * is as it was. CWS_INVALID names a record that cannot be understood. The caller ends the reading
 * with cwsd_statement_done, and may save and remove records meanwhile. */
enum cws_status cwsd_sandbox_rows_next(struct cwsd_statement *cursor, struct cwsd_record *record,
                                       bool *out_more, struct cws_error *err) CWS_MUST_CHECK;
