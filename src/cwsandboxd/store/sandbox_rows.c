#include "store/sandbox_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "store/schema.h"
#include "values/wire.h"

/* The spec lies apart: a change of state then writes a short row. Times are nanoseconds since the
 * epoch, 0 for "not yet". */
const char cwsd_sandboxes_schema[] =
    "CREATE TABLE sandboxes ("
    " sequence INTEGER PRIMARY KEY,"
    " id TEXT NOT NULL,"
    " request_id TEXT,"
    " digest BLOB NOT NULL,"
    " display_name TEXT NOT NULL,"
    " source_template_id TEXT,"
    " source_template_revision INTEGER NOT NULL,"
    " created INTEGER NOT NULL,"
    " state INTEGER NOT NULL,"
    " reason TEXT NOT NULL,"
    " cause INTEGER NOT NULL,"
    " deleted INTEGER NOT NULL,"
    " exit_code INTEGER,"
    " started INTEGER NOT NULL,"
    " ended INTEGER NOT NULL,"
    " containers BLOB NOT NULL);"
    "CREATE TABLE sandbox_specs ("
    " sequence INTEGER PRIMARY KEY REFERENCES sandboxes ON DELETE CASCADE,"
    " spec BLOB NOT NULL);";

/* The parameters 8 to 15 are what changes, in both statements. */
static const char insert_sql[] =
    "INSERT INTO sandboxes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?16, ?8, ?9, ?10, ?11, ?12, ?13,"
    " ?14, ?15)";
static const char insert_spec_sql[] = "INSERT INTO sandbox_specs VALUES (?1, ?2)";
static const char update_sql[] =
    "UPDATE sandboxes SET state = ?8, reason = ?9, cause = ?10, deleted = ?11, exit_code = ?12,"
    " started = ?13, ended = ?14, containers = ?15 WHERE sequence = ?1";
static const char remove_sql[] = "DELETE FROM sandboxes WHERE sequence = ?1";
static const char read_sql[] =
    "SELECT s.sequence, id, request_id, digest, display_name, source_template_id,"
    " source_template_revision, created, state, reason, cause, deleted, exit_code, started, ended,"
    " containers, spec FROM sandboxes AS s JOIN sandbox_specs USING (sequence)"
    " ORDER BY ended = 0, ended, sequence";

/* How one container fares, in the blob `containers`. */
struct container_row {
    int32_t state, stopped, has_exit_code, exit_code;
};

/* ---- values --------------------------------------------------------------------------------- */

static int64_t ns_of(struct timespec time)
{
    return (int64_t)time.tv_sec * (int64_t)CWS_NS_PER_S + time.tv_nsec;
}

static struct timespec time_of(int64_t ns)
{
    return (struct timespec){ns / (int64_t)CWS_NS_PER_S, ns % (int64_t)CWS_NS_PER_S};
}

static void set_changing(struct cwsd_statement *statement, const struct cwsd_record *record,
                         const struct container_row *containers)
{
    cwsd_statement_set_int(statement, 1, (int64_t)record->sequence);
    cwsd_statement_set_int(statement, 8, record->state);
    cwsd_statement_set_text(statement, 9, record->reason);
    cwsd_statement_set_int(statement, 10, record->cause);
    cwsd_statement_set_int(statement, 11, record->deleted);
    if (record->has_exit_code)
        cwsd_statement_set_int(statement, 12, record->exit_code);
    else
        cwsd_statement_set_null(statement, 12);
    cwsd_statement_set_int(statement, 13, ns_of(record->started));
    cwsd_statement_set_int(statement, 14, ns_of(record->ended));
    cwsd_statement_set_bytes(statement, 15, containers,
                             record->spec->n_containers * sizeof(*containers));
}

/* To be freed with cws_free; NULL when out of memory. */
static struct container_row *pack_containers(const struct cwsd_record *record)
{
    size_t count = record->spec->n_containers;
    struct container_row *rows = cws_calloc(count, sizeof(*rows));
    for (size_t i = 0; rows && i < count; i++)
        rows[i] = (struct container_row){record->rows[i].state, record->rows[i].stopped,
                                         record->rows[i].has_exit_code, record->rows[i].exit_code};
    return rows;
}

/* Without the contents of files. To be freed with cws_free; NULL when out of memory. */
static uint8_t *pack_spec(const cwsd_pb_spec *spec, size_t *out_len)
{
    size_t count = 0, at = 0;
    for (size_t i = 0; i < spec->n_containers; i++)
        count += spec->containers[i]->n_files;
    size_t *lens = cws_calloc(count + 1, sizeof(*lens));
    if (!lens)
        return NULL;
    for (size_t i = 0; i < spec->n_containers; i++)
        for (size_t j = 0; j < spec->containers[i]->n_files; j++) {
            lens[at++] = spec->containers[i]->files[j]->content.len;
            spec->containers[i]->files[j]->content.len = 0;
        }
    *out_len = protobuf_c_message_get_packed_size(&spec->base);
    uint8_t *packed = cws_malloc(*out_len + 1);
    if (packed)
        protobuf_c_message_pack(&spec->base, packed);
    at = 0;
    for (size_t i = 0; i < spec->n_containers; i++)
        for (size_t j = 0; j < spec->containers[i]->n_files; j++)
            spec->containers[i]->files[j]->content.len = lens[at++];
    cws_free(lens);
    return packed;
}

/* ---- life ----------------------------------------------------------------------------------- */

enum cws_status cwsd_sandbox_rows_init(struct cwsd_sandbox_rows *rows,
                                       struct cwsd_database *database, struct cws_error *err)
{
    memset(rows, 0, sizeof(*rows));
    cws_list_init(&rows->unsaved);
    if (!database)
        return CWS_OK;
    rows->database = database;
    if (cwsd_statement_init(&rows->insert, database, insert_sql, err) == CWS_OK &&
        cwsd_statement_init(&rows->insert_spec, database, insert_spec_sql, err) == CWS_OK &&
        cwsd_statement_init(&rows->update, database, update_sql, err) == CWS_OK &&
        cwsd_statement_init(&rows->remove, database, remove_sql, err) == CWS_OK)
        return CWS_OK;
    cwsd_sandbox_rows_done(rows);
    return err->status;
}

void cwsd_sandbox_rows_done(struct cwsd_sandbox_rows *rows)
{
    if (!rows->database)
        return;
    cwsd_sandbox_rows_retry(rows);
    cwsd_statement_done(&rows->insert);
    cwsd_statement_done(&rows->insert_spec);
    cwsd_statement_done(&rows->update);
    cwsd_statement_done(&rows->remove);
    rows->database = NULL;
}

/* ---- writing -------------------------------------------------------------------------------- */

static enum cws_status insert(struct cwsd_sandbox_rows *rows, const struct cwsd_record *record,
                              const struct container_row *containers, const uint8_t *spec,
                              size_t spec_len, struct cws_error *err)
{
    struct cwsd_statement *statement = &rows->insert;
    if (cwsd_database_begin(rows->database, CWSD_KEPT, err) != CWS_OK)
        return err->status;
    set_changing(statement, record, containers);
    cwsd_statement_set_text(statement, 2, record->id);
    cwsd_statement_set_text(statement, 3, record->request_id);
    cwsd_statement_set_bytes(statement, 4, &record->digest, sizeof(record->digest));
    cwsd_statement_set_text(statement, 5, record->display_name);
    cwsd_statement_set_text(statement, 6, record->source_template_id);
    cwsd_statement_set_int(statement, 7, record->source_template_revision);
    cwsd_statement_set_int(statement, 16, ns_of(record->created));
    cwsd_statement_set_int(&rows->insert_spec, 1, (int64_t)record->sequence);
    cwsd_statement_set_bytes(&rows->insert_spec, 2, spec, spec_len);
    if (cwsd_statement_run(statement, err) == CWS_OK &&
        cwsd_statement_run(&rows->insert_spec, err) == CWS_OK)
        return cwsd_database_commit(rows->database, err);
    cwsd_database_rollback(rows->database);
    return err->status;
}

bool cwsd_sandbox_rows_add(struct cwsd_sandbox_rows *rows, struct cwsd_record *record,
                           struct cwsd_fault *fault)
{
    struct cws_error err;
    size_t len;
    if (!rows->database)
        return true;
    struct container_row *containers = pack_containers(record);
    uint8_t *spec = pack_spec(record->spec, &len);
    if (!containers || !spec)
        cwsd_fault_set_memory(fault);
    else if (insert(rows, record, containers, spec, len, &err) != CWS_OK)
        cwsd_database_fault(rows->database, &err, fault);
    else
        record->kept = true;
    cws_free(containers);
    cws_free(spec);
    return record->kept;
}

static enum cws_status update(struct cwsd_sandbox_rows *rows, const struct cwsd_record *record)
{
    struct container_row *containers = pack_containers(record);
    if (!containers)
        return CWS_NO_MEMORY;
    set_changing(&rows->update, record, containers);
    enum cws_status status = cwsd_statement_run(&rows->update, NULL);
    cws_free(containers);
    return status;
}

void cwsd_sandbox_rows_save(struct cwsd_sandbox_rows *rows, struct cwsd_record *record)
{
    if (!record->kept)
        return;
    cws_list_remove(&record->in_unsaved);
    if (update(rows, record) != CWS_OK)
        cws_list_push_back(&rows->unsaved, &record->in_unsaved);
}

bool cwsd_sandbox_rows_retry(struct cwsd_sandbox_rows *rows)
{
    while (!cws_list_is_empty(&rows->unsaved)) {
        struct cwsd_record *record =
            cws_list_entry(rows->unsaved.next, struct cwsd_record, in_unsaved);
        if (update(rows, record) != CWS_OK)
            return false;
        cws_list_remove(&record->in_unsaved);
    }
    return true;
}

bool cwsd_sandbox_rows_remove(struct cwsd_sandbox_rows *rows, struct cwsd_record *record)
{
    cws_list_remove(&record->in_unsaved);
    if (!record->kept || !rows->database)
        return false;
    cwsd_statement_set_int(&rows->remove, 1, (int64_t)record->sequence);
    enum cws_status status = cwsd_statement_run(&rows->remove, NULL);
    (void)status;
    record->kept = false;
    return true;
}

/* ---- reading -------------------------------------------------------------------------------- */

static char *copy_text(const struct cwsd_statement *row, int column, bool *failed)
{
    const char *text = cwsd_statement_text(row, column);
    char *copy = text ? cws_strdup(text) : NULL;
    *failed |= !copy && !cwsd_statement_is_null(row, column);
    return copy;
}

static bool read_containers(const struct cwsd_statement *row, struct cwsd_record *record)
{
    struct container_row container;
    size_t len, count = record->spec->n_containers;
    const uint8_t *bytes = cwsd_statement_bytes(row, 15, &len);
    record->rows = cws_calloc(count ? count : 1, sizeof(*record->rows));
    if (!record->rows || count == 0 || len != count * sizeof(container))
        return false;
    for (size_t i = 0; i < count; i++) {
        memcpy(&container, bytes + i * sizeof(container), sizeof(container));
        record->rows[i] = (struct cwsd_row){container.state, container.stopped != 0,
                                            container.has_exit_code != 0, container.exit_code};
    }
    return true;
}

static bool read_spec(const struct cwsd_statement *row, struct cwsd_record *record)
{
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    size_t len;
    const uint8_t *bytes = cwsd_statement_bytes(row, 16, &len);
    record->spec =
        cwsd_wire_unpack(&coreweave__sandbox__v1__sandbox_spec__descriptor, bytes, len, &fault);
    record->spec_bytes = len;
    return record->spec != NULL;
}

static void read_state(const struct cwsd_statement *row, struct cwsd_record *record)
{
    const char *reason = cwsd_statement_text(row, 9);
    record->created = time_of(cwsd_statement_int(row, 7));
    record->state = (int)cwsd_statement_int(row, 8);
    snprintf(record->reason, sizeof(record->reason), "%s", reason ? reason : "");
    record->cause = (enum cwsd_cause)cwsd_statement_int(row, 10);
    record->deleted = cwsd_statement_int(row, 11) != 0;
    record->has_exit_code = !cwsd_statement_is_null(row, 12);
    record->exit_code = (int32_t)cwsd_statement_int(row, 12);
    record->started = time_of(cwsd_statement_int(row, 13));
    record->ended = time_of(cwsd_statement_int(row, 14));
}

static bool read_record(const struct cwsd_statement *row, struct cwsd_record *record)
{
    bool failed = false;
    size_t len;
    const char *id = cwsd_statement_text(row, 1);
    const uint8_t *digest = cwsd_statement_bytes(row, 3, &len);
    if (!id || strlen(id) >= sizeof(record->id) || len != sizeof(record->digest))
        return false;
    record->kept = true;
    record->sequence = (uint64_t)cwsd_statement_int(row, 0);
    memcpy(record->id, id, strlen(id) + 1);
    memcpy(&record->digest, digest, len);
    record->request_id = copy_text(row, 2, &failed);
    record->display_name = copy_text(row, 4, &failed);
    record->source_template_id = copy_text(row, 5, &failed);
    record->source_template_revision = cwsd_statement_int(row, 6);
    read_state(row, record);
    return !failed && read_spec(row, record) && read_containers(row, record);
}

enum cws_status cwsd_sandbox_rows_begin(struct cwsd_sandbox_rows *rows,
                                        struct cwsd_statement *out_cursor, struct cws_error *err)
{
    *out_cursor = (struct cwsd_statement){0};
    if (!rows->database)
        return CWS_OK;
    return cwsd_statement_init(out_cursor, rows->database, read_sql, err);
}

enum cws_status cwsd_sandbox_rows_next(struct cwsd_statement *cursor, struct cwsd_record *record,
                                       bool *out_more, struct cws_error *err)
{
    *out_more = false;
    if (!cursor->database)
        return CWS_OK;
    if (cwsd_statement_step(cursor, out_more, err) != CWS_OK)
        return err->status;
    if (!*out_more || read_record(cursor, record))
        return CWS_OK;
    return cws_error_set(err, CWS_INVALID,
                         "the record of sandbox %s (number %" PRIu64
                         ") cannot be understood, or memory is short",
                         record->id, record->sequence);
}
