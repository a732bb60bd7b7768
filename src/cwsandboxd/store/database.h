/*
 * The SQLite database that keeps the daemon's records. It lies in the data directory, or in memory
 * if there is none, so that what uses it has one way for both. Loop thread only.
 *
 * What survives: a committed transaction has been written to the kernel, so the daemon may be
 * killed at any moment (kill -9, too). After a loss of power, transactions of the kind
 * CWSD_DURABLE are there; of the others the last few seconds' may be missing, but never some
 * without those before them, and the file is whole. A durable commit waits for the disk, and the
 * daemon with it: it is for what people make by hand. Sandboxes end with the power anyway.
 *
 * A file that is no longer at its place, since somebody has removed or moved it, takes no changes:
 * the next daemon would not find them. It can be read.
 *
 * A file that cannot be used is never repaired, emptied or deleted: opening fails and says why.
 *
 * To keep records of a new kind: put the SQL that makes its tables into a file of its own under
 * store/, and add a step to the end of the list in schema.c.
 */
#pragma once

#include "base/status.h"
#include "values/fault.h"

struct sqlite3_stmt;
struct cwsd_database;

/* ---- opening -------------------------------------------------------------------------------- */

struct cwsd_schema {
    const char *const *steps; /* SQL: step i makes version i + 1 out of version i */
    size_t count;
};

/* Opens DIR/cwsandboxd.db for this process alone, makes it if there is none, and takes it through
 * the steps it has not been through yet, each of them whole or not at all. dir NULL: in memory.
 *
 * CWS_INVALID: the file is a newer daemon's, is damaged, or is something else. CWS_SYSTEM (also: no
 * room), CWS_NO_MEMORY. */
enum cws_status cwsd_database_open(const char *dir, const struct cwsd_schema *schema,
                                   struct cwsd_database **out_database,
                                   struct cws_error *err) CWS_MUST_CHECK;
/* After all its statements are done. NULL is allowed. */
void cwsd_database_close(struct cwsd_database *database);

/* The data directory; NULL if the database is in memory. */
const char *cwsd_database_dir(const struct cwsd_database *database);

/* ---- failures ------------------------------------------------------------------------------- */

/* The functions below fail with CWS_SYSTEM or CWS_NO_MEMORY and a text that says what SQLite could
 * not do. A statement that failed has changed nothing. */

/* Turns the database's last failure into a client's fault: RESOURCE_EXHAUSTED if there was no room,
 * else UNAVAILABLE. Always returns false. */
bool cwsd_database_fault(const struct cwsd_database *database, const struct cws_error *err,
                         struct cwsd_fault *fault);

/* ---- transactions --------------------------------------------------------------------------- */

enum cwsd_durability {
    CWSD_KEPT,    /* survives the daemon */
    CWSD_DURABLE, /* survives a loss of power; waits for the disk */
};

/* A statement outside of a transaction is one of its own, CWSD_KEPT. Transactions do not nest. */
enum cws_status cwsd_database_begin(struct cwsd_database *database, enum cwsd_durability durability,
                                    struct cws_error *err) CWS_MUST_CHECK;
/* On failure everything since cwsd_database_begin is undone. */
enum cws_status cwsd_database_commit(struct cwsd_database *database,
                                     struct cws_error *err) CWS_MUST_CHECK;
/* Undoes everything since cwsd_database_begin. */
void cwsd_database_rollback(struct cwsd_database *database);

/* ---- statements ----------------------------------------------------------------------------- */

/* A prepared statement. Made once and used many times; the struct is the caller's memory. */
struct cwsd_statement {
    struct cwsd_database *database;
    struct sqlite3_stmt *handle;
    int failed; /* why a value could not be set; told by the next step */
};

enum cws_status cwsd_statement_init(struct cwsd_statement *statement,
                                    struct cwsd_database *database, const char *sql,
                                    struct cws_error *err) CWS_MUST_CHECK;
/* Harmless on an all-zero statement. */
void cwsd_statement_done(struct cwsd_statement *statement);

/* Set the value of a parameter, from 1. Text and bytes are not copied: they must stay until the
 * statement has run. NULL text is SQL's NULL. */
void cwsd_statement_set_int(struct cwsd_statement *statement, int parameter, int64_t value);
void cwsd_statement_set_text(struct cwsd_statement *statement, int parameter, const char *text);
void cwsd_statement_set_bytes(struct cwsd_statement *statement, int parameter, const void *data,
                              size_t len);
void cwsd_statement_set_null(struct cwsd_statement *statement, int parameter);

/* Runs a statement that gives no rows, and readies it for the next time. */
enum cws_status cwsd_statement_run(struct cwsd_statement *statement,
                                   struct cws_error *err) CWS_MUST_CHECK;

/* Which space a statement may use on the disk. */
enum cwsd_space {
    CWSD_FREE_SPACE,
    CWSD_RESERVED_SPACE, /* on a full disk also that of the reserve: for what makes room */
};

/* The same as a durable transaction of its own. */
enum cws_status cwsd_statement_run_durably(struct cwsd_statement *statement, enum cwsd_space space,
                                           struct cws_error *err) CWS_MUST_CHECK;
/* Goes to the next row; *out_row false: there is none, and the statement is ready for the next
 * time. */
enum cws_status cwsd_statement_step(struct cwsd_statement *statement, bool *out_row,
                                    struct cws_error *err) CWS_MUST_CHECK;
/* Leaves a statement before its last row. */
void cwsd_statement_reset(struct cwsd_statement *statement);

/* The columns of the row, from 0. Text and bytes are the statement's, until its next step. Text
 * is NULL for SQL's NULL, and when out of memory; a number is then 0. */
int64_t cwsd_statement_int(const struct cwsd_statement *statement, int column);
bool cwsd_statement_is_null(const struct cwsd_statement *statement, int column);
const char *cwsd_statement_text(const struct cwsd_statement *statement, int column);
const uint8_t *cwsd_statement_bytes(const struct cwsd_statement *statement, int column,
                                    size_t *out_len);

/* How many rows the last statement that ran has changed. */
size_t cwsd_database_changes(const struct cwsd_database *database);
/* The number that the last row which was inserted has got. */
int64_t cwsd_database_last_number(const struct cwsd_database *database);
