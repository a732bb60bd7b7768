#include "store/database.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sqlite3.h>

#include "base/alloc.h"
#include "store/database_file.h"
#include "store/reserve.h"

/* In the file's header ("cwsd"), so that nobody else's database is taken for one of these. */
#define APPLICATION_ID 0x63777364

struct cwsd_database {
    sqlite3 *handle;
    char *dir;  /* NULL: in memory */
    bool syncs; /* in a transaction that waits for the disk */
    bool full;  /* the last failure was one for want of room */
    struct cwsd_reserve reserve;
};

/* ---- failures ------------------------------------------------------------------------------- */

/* The errno of the last failure on the write-ahead log, else of that on the file; 0: none. What
 * sqlite3_system_errno says of a commit that failed is not it. */
static int last_errno(sqlite3 *handle)
{
    sqlite3_file *log = NULL;
    int number = 0;
    if (sqlite3_file_control(handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK &&
        log && log->pMethods)
        log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &number);
    if (number == 0)
        sqlite3_file_control(handle, "main", SQLITE_FCNTL_LAST_ERRNO, &number);
    return number;
}

static enum cws_status set_error(struct cwsd_database *database, int rc, struct cws_error *err)
{
    sqlite3 *handle = database->handle;
    database->full = false;
    if ((rc & 0xff) == SQLITE_NOMEM || !handle)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory");
    int number = (rc & 0xff) == SQLITE_IOERR ? last_errno(handle) : 0;
    database->full =
        (rc & 0xff) == SQLITE_FULL || number == ENOSPC || number == EDQUOT || number == EFBIG;
    if (number)
        return cws_error_set_errno(err, CWS_SYSTEM, number, "%s", sqlite3_errmsg(handle));
    return cws_error_set(err, CWS_SYSTEM, "%s", sqlite3_errmsg(handle));
}

bool cwsd_database_fault(const struct cwsd_database *database, const struct cws_error *err,
                         struct cwsd_fault *fault)
{
    if (err->status == CWS_NO_MEMORY)
        return cwsd_fault_set_memory(fault);
    return cwsd_fault_set(
        fault, database->full ? CWS_GRPC_RESOURCE_EXHAUSTED : CWS_GRPC_UNAVAILABLE,
        database->full ? CWSD_REASON_CAPACITY_EXHAUSTED : CWSD_REASON_BACKEND_UNAVAILABLE,
        "the daemon cannot write to its database: %s", err->text);
}

/* SQLite goes on writing to a file that has been removed or put elsewhere, where the next daemon
 * does not find what was acknowledged. */
static enum cws_status check_place(struct cwsd_database *database, struct cws_error *err)
{
    int moved = 0;
    if (database->dir)
        sqlite3_file_control(database->handle, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    if (!moved)
        return CWS_OK;
    database->full = false;
    return cws_error_set(err, CWS_SYSTEM,
                         "%s/" CWSD_DATABASE_FILE
                         " was removed or moved, or its directory made unreadable, while the "
                         "daemon was running",
                         database->dir);
}

/* ---- plain SQL ------------------------------------------------------------------------------ */

static enum cws_status run_sql(struct cwsd_database *database, const char *sql,
                               struct cws_error *err)
{
    int rc = sqlite3_exec(database->handle, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? CWS_OK : set_error(database, rc, err);
}

/* The first column of the first row; `text` may be NULL. */
static enum cws_status ask(struct cwsd_database *database, const char *sql, int64_t *out_number,
                           char *out_text, size_t size, struct cws_error *err)
{
    struct cwsd_statement statement;
    bool row = false;
    if (cwsd_statement_init(&statement, database, sql, err) != CWS_OK)
        return err->status;
    enum cws_status status = cwsd_statement_step(&statement, &row, err);
    if (status == CWS_OK && row) {
        const char *text = cwsd_statement_text(&statement, 0);
        if (out_text)
            snprintf(out_text, size, "%s", text ? text : "");
        *out_number = cwsd_statement_int(&statement, 0);
    }
    cwsd_statement_done(&statement);
    return status;
}

/* ---- opening -------------------------------------------------------------------------------- */

/* Before the first look at the file. With the lock held for ever, SQLite needs no shared memory
 * beside the file, which would be mapped, and a full disk then a signal. */
static const char settings_before[] = "PRAGMA locking_mode = EXCLUSIVE;"
                                      "PRAGMA foreign_keys = ON;"
                                      "PRAGMA trusted_schema = OFF;"
                                      "PRAGMA cell_size_check = ON;";
/* Once the file is known to be ours. After a large transaction its log is cut back. */
static const char settings_after[] = "PRAGMA journal_mode = WAL;"
                                     "PRAGMA synchronous = NORMAL;"
                                     "PRAGMA journal_size_limit = 16777216;";

static enum cws_status check_whole(struct cwsd_database *database, struct cws_error *err)
{
    int64_t number;
    char text[160] = "";
    if (ask(database, "PRAGMA quick_check(1)", &number, text, sizeof(text), err) != CWS_OK)
        return err->status;
    if (strcmp(text, "ok") == 0)
        return CWS_OK;
    return cws_error_set(err, CWS_INVALID, "%s", text);
}

/* Sets *out_version to that of the file; 0: it is new. */
static enum cws_status check_ours(struct cwsd_database *database, const struct cwsd_schema *schema,
                                  int64_t *out_version, struct cws_error *err)
{
    int64_t application = 0, tables = 0;
    if (ask(database, "PRAGMA user_version", out_version, NULL, 0, err) != CWS_OK ||
        ask(database, "PRAGMA application_id", &application, NULL, 0, err) != CWS_OK ||
        ask(database, "SELECT count(*) FROM sqlite_schema", &tables, NULL, 0, err) != CWS_OK)
        return err->status;
    if (application != APPLICATION_ID && (application || tables || *out_version))
        return cws_error_set(err, CWS_INVALID, "it is not a database of cwsandboxd");
    if (*out_version > (int64_t)schema->count)
        return cws_error_set(
            err, CWS_INVALID,
            "it was written by a newer cwsandboxd (its version is %lld; this one knows up to %zu): "
            "start that one, or name another directory",
            (long long)*out_version, schema->count);
    return check_whole(database, err);
}

static enum cws_status take_step(struct cwsd_database *database, const char *sql, size_t version,
                                 struct cws_error *err)
{
    char mark[100];
    snprintf(mark, sizeof(mark), "PRAGMA application_id = %d; PRAGMA user_version = %zu",
             APPLICATION_ID, version);
    if (cwsd_database_begin(database, CWSD_DURABLE, err) != CWS_OK)
        return err->status;
    if (run_sql(database, sql, err) != CWS_OK || run_sql(database, mark, err) != CWS_OK) {
        cwsd_database_rollback(database);
        return cws_error_wrap(err, "step %zu of its tables", version);
    }
    return cwsd_database_commit(database, err);
}

static enum cws_status prepare_file(struct cwsd_database *database,
                                    const struct cwsd_schema *schema, struct cws_error *err)
{
    int64_t version = 0;
    if (run_sql(database, settings_before, err) != CWS_OK ||
        check_ours(database, schema, &version, err) != CWS_OK ||
        run_sql(database, settings_after, err) != CWS_OK)
        return err->status;
    for (size_t next = (size_t)version; next < schema->count; next++)
        if (take_step(database, schema->steps[next], next + 1, err) != CWS_OK)
            return err->status;
    return CWS_OK;
}

/* Adds which file it is, and that it is left alone. */
static enum cws_status explain(sqlite3 *handle, const char *path, struct cws_error *err)
{
    int rc = handle ? sqlite3_errcode(handle) & 0xff : SQLITE_OK;
    if (err->status == CWS_SYSTEM && (rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB))
        err->status = CWS_INVALID;
    return cws_error_wrap(err, "the database %s cannot be used and is left as it is", path);
}

enum cws_status cwsd_database_open(const char *dir, const struct cwsd_schema *schema,
                                   struct cwsd_database **out_database, struct cws_error *err)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    struct cwsd_database *database = cws_calloc(1, sizeof(*database));
    char path[4096 + sizeof(CWSD_DATABASE_FILE)];
    enum cws_status status = CWS_NO_MEMORY;
    if (!database || (dir && !(database->dir = cws_strdup(dir)))) {
        cwsd_database_close(database);
        return cws_error_set(err, status, "out of memory");
    }
    database->reserve.fd = -1;
    snprintf(path, sizeof(path), dir ? "%s/" CWSD_DATABASE_FILE : ":memory:", dir);
    status = dir ? cwsd_database_file_check(dir, err) : CWS_OK;
    if (status == CWS_OK) {
        int rc = sqlite3_open_v2(path, &database->handle, flags, NULL);
        status =
            rc == SQLITE_OK ? prepare_file(database, schema, err) : set_error(database, rc, err);
    }
    if (status == CWS_OK) {
        if (dir)
            cwsd_reserve_open(&database->reserve, dir);
        *out_database = database;
        return CWS_OK;
    }
    status = explain(database->handle, path, err);
    cwsd_database_close(database);
    return status;
}

void cwsd_database_close(struct cwsd_database *database)
{
    if (!database)
        return;
    int rc = sqlite3_close(database->handle);
    assert(rc == SQLITE_OK); /* else a statement is not done */
    (void)rc;
    if (database->dir)
        cwsd_reserve_close(&database->reserve);
    cws_free(database->dir);
    cws_free(database);
}

const char *cwsd_database_dir(const struct cwsd_database *database)
{
    return database->dir;
}

/* ---- transactions --------------------------------------------------------------------------- */

/* Between transactions the setting is NORMAL: the write-ahead log is written at each commit, and
 * the disk waited for when it is copied into the file, every thousand pages. FULL waits each
 * time. */
static void stop_syncing(struct cwsd_database *database)
{
    if (database->syncs)
        sqlite3_exec(database->handle, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
    database->syncs = false;
}

enum cws_status cwsd_database_begin(struct cwsd_database *database, enum cwsd_durability durability,
                                    struct cws_error *err)
{
    if (check_place(database, err) != CWS_OK)
        return err->status;
    database->syncs = durability == CWSD_DURABLE;
    if ((database->syncs && run_sql(database, "PRAGMA synchronous = FULL", err) != CWS_OK) ||
        run_sql(database, "BEGIN IMMEDIATE", err) != CWS_OK) {
        stop_syncing(database);
        return err->status;
    }
    return CWS_OK;
}

enum cws_status cwsd_database_commit(struct cwsd_database *database, struct cws_error *err)
{
    if (run_sql(database, "COMMIT", err) != CWS_OK) {
        cwsd_database_rollback(database);
        return err->status;
    }
    stop_syncing(database);
    return CWS_OK;
}

void cwsd_database_rollback(struct cwsd_database *database)
{
    if (!sqlite3_get_autocommit(database->handle)) /* some failures have done so already */
        sqlite3_exec(database->handle, "ROLLBACK", NULL, NULL, NULL);
    stop_syncing(database);
}

size_t cwsd_database_changes(const struct cwsd_database *database)
{
    return (size_t)sqlite3_changes(database->handle);
}

int64_t cwsd_database_last_number(const struct cwsd_database *database)
{
    return sqlite3_last_insert_rowid(database->handle);
}

/* ---- statements ----------------------------------------------------------------------------- */

enum cws_status cwsd_statement_init(struct cwsd_statement *statement,
                                    struct cwsd_database *database, const char *sql,
                                    struct cws_error *err)
{
    *statement = (struct cwsd_statement){.database = database};
    int rc = sqlite3_prepare_v3(database->handle, sql, -1, SQLITE_PREPARE_PERSISTENT,
                                &statement->handle, NULL);
    return rc == SQLITE_OK ? CWS_OK : set_error(database, rc, err);
}

void cwsd_statement_done(struct cwsd_statement *statement)
{
    sqlite3_finalize(statement->handle);
    statement->handle = NULL;
}

static void note(struct cwsd_statement *statement, int rc)
{
    if (rc != SQLITE_OK && statement->failed == SQLITE_OK)
        statement->failed = rc;
}

void cwsd_statement_set_int(struct cwsd_statement *statement, int parameter, int64_t value)
{
    note(statement, sqlite3_bind_int64(statement->handle, parameter, value));
}

void cwsd_statement_set_text(struct cwsd_statement *statement, int parameter, const char *text)
{
    note(statement, sqlite3_bind_text(statement->handle, parameter, text, -1, SQLITE_STATIC));
}

void cwsd_statement_set_bytes(struct cwsd_statement *statement, int parameter, const void *data,
                              size_t len)
{
    /* A NULL pointer would be NULL, not the empty bytes that it stands for. */
    note(statement,
         sqlite3_bind_blob64(statement->handle, parameter, len ? data : "", len, SQLITE_STATIC));
}

void cwsd_statement_set_null(struct cwsd_statement *statement, int parameter)
{
    note(statement, sqlite3_bind_null(statement->handle, parameter));
}

void cwsd_statement_reset(struct cwsd_statement *statement)
{
    sqlite3_reset(statement->handle); /* repeats the failure of the last step: not news */
    sqlite3_clear_bindings(statement->handle);
    statement->failed = SQLITE_OK;
}

enum cws_status cwsd_statement_step(struct cwsd_statement *statement, bool *out_row,
                                    struct cws_error *err)
{
    int rc = statement->failed;
    enum cws_status status = CWS_OK;
    *out_row = false;
    if (!sqlite3_stmt_readonly(statement->handle) &&
        (status = check_place(statement->database, err)) != CWS_OK) {
        cwsd_statement_reset(statement);
        return status;
    }
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement->handle);
    if (rc == SQLITE_ROW) {
        *out_row = true;
        return CWS_OK;
    }
    if (rc != SQLITE_DONE)
        status = set_error(statement->database, rc, err);
    cwsd_statement_reset(statement);
    return status;
}

/* Once, and whole or not at all. The values stay. */
static enum cws_status attempt(struct cwsd_statement *statement, struct cws_error *err)
{
    struct cwsd_database *database = statement->database;
    if (cwsd_database_begin(database, CWSD_DURABLE, err) != CWS_OK)
        return err->status;
    int rc = statement->failed;
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement->handle);
    assert(rc != SQLITE_ROW);
    if (rc != SQLITE_DONE)
        set_error(database, rc, err);
    sqlite3_reset(statement->handle);
    if (rc == SQLITE_DONE)
        return cwsd_database_commit(database, err);
    cwsd_database_rollback(database);
    return err->status;
}

/* After the reserve has helped: copies the write-ahead log into the file, which may have to grow,
 * so that the log is written from its beginning again and needs no more of the disk. */
static void reuse_log(struct cwsd_database *database)
{
    int rc;
    do {
        struct cws_error err;
        rc = sqlite3_wal_checkpoint_v2(database->handle, "main", SQLITE_CHECKPOINT_PASSIVE, NULL,
                                       NULL);
        if (rc != SQLITE_OK)
            set_error(database, rc, &err);
    } while (rc != SQLITE_OK && database->full && cwsd_reserve_release(&database->reserve));
}

enum cws_status cwsd_statement_run_durably(struct cwsd_statement *statement, enum cwsd_space space,
                                           struct cws_error *err)
{
    struct cwsd_database *database = statement->database;
    bool helped = false;
    enum cws_status status = attempt(statement, err);
    while (status != CWS_OK && database->full && space == CWSD_RESERVED_SPACE &&
           cwsd_reserve_release(&database->reserve)) {
        status = attempt(statement, err);
        helped = status == CWS_OK;
    }
    if (helped)
        reuse_log(database);
    cwsd_reserve_refill(&database->reserve);
    cwsd_statement_reset(statement);
    return status;
}

enum cws_status cwsd_statement_run(struct cwsd_statement *statement, struct cws_error *err)
{
    bool row;
    enum cws_status status = cwsd_statement_step(statement, &row, err);
    assert(status != CWS_OK || !row);
    return status;
}

int64_t cwsd_statement_int(const struct cwsd_statement *statement, int column)
{
    return sqlite3_column_int64(statement->handle, column);
}

bool cwsd_statement_is_null(const struct cwsd_statement *statement, int column)
{
    return sqlite3_column_type(statement->handle, column) == SQLITE_NULL;
}

const char *cwsd_statement_text(const struct cwsd_statement *statement, int column)
{
    return (const char *)sqlite3_column_text(statement->handle, column);
}

const uint8_t *cwsd_statement_bytes(const struct cwsd_statement *statement, int column,
                                    size_t *out_len)
{
    const void *data = sqlite3_column_blob(statement->handle, column);
    *out_len = (size_t)sqlite3_column_bytes(statement->handle, column);
    return data;
}
