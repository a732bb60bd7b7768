#include "store/resources.h"

#include <string.h>

#include "base/alloc.h"
#include "store/schema.h"
#include "values/pb.h"
#include "values/wire.h"

const char cwsd_resources_schema[] =
    "CREATE TABLE resources ("
    " number INTEGER PRIMARY KEY AUTOINCREMENT,"
    " kind INTEGER NOT NULL,"
    " id TEXT NOT NULL,"
    " name TEXT NOT NULL,"
    " request_id TEXT NOT NULL,"
    " digest BLOB NOT NULL,"
    " deleted INTEGER NOT NULL,"
    " message BLOB NOT NULL);"
    "CREATE UNIQUE INDEX resource_ids ON resources (kind, id);"
    "CREATE UNIQUE INDEX resource_names ON resources (kind, name)"
    " WHERE name <> '' AND NOT deleted;"
    "CREATE UNIQUE INDEX resource_requests ON resources (kind, request_id)"
    " WHERE request_id <> '';";

#define COLUMNS "number, kind, id, name, request_id, digest, deleted, message"

static const char *const find_sql[] = {
    [CWSD_BY_ID] = "SELECT " COLUMNS " FROM resources WHERE kind = ?1 AND id = ?2",
    [CWSD_BY_NAME] =
        "SELECT " COLUMNS " FROM resources WHERE kind = ?1 AND name = ?2 AND name <> ''"
        " AND NOT deleted",
    [CWSD_BY_REQUEST] = "SELECT " COLUMNS
                        " FROM resources WHERE kind = ?1 AND request_id = ?2 AND request_id <> ''",
};
static const char add_sql[] = "INSERT INTO resources (kind, id, name, request_id, digest, deleted,"
                              " message) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
static const char save_sql[] =
    "UPDATE resources SET name = ?3, deleted = ?6, message = ?7 WHERE number = ?8";
static const char remove_sql[] = "DELETE FROM resources WHERE number = ?1";
static const char prune_sql[] =
    "DELETE FROM resources WHERE kind = ?1 AND deleted AND number NOT IN"
    " (SELECT number FROM resources WHERE kind = ?1 AND deleted ORDER BY number DESC LIMIT ?2)";
static const char count_sql[] = "SELECT count(*) FROM resources WHERE kind = ?1 AND NOT deleted";
static const char list_sql[] = "SELECT " COLUMNS " FROM resources"
                               " WHERE kind = ?1 AND number > ?2 AND (?3 OR NOT deleted)"
                               " ORDER BY number";

static const ProtobufCMessageDescriptor *descriptor_of(enum cwsd_resource_kind kind)
{
    return kind == CWSD_RESOURCE_TEMPLATE ? &coreweave__sandbox__v1__sandbox_template__descriptor
                                          : &coreweave__sandbox__v1__volume__descriptor;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* The strings, one after the other. */
static bool read_texts(struct cwsd_statement *row, struct cwsd_resource *out)
{
    const char *const texts[] = {cwsd_statement_text(row, 2), cwsd_statement_text(row, 3),
                                 cwsd_statement_text(row, 4)};
    const char **const into[] = {&out->id, &out->name, &out->request_id};
    size_t size = 0, used = 0;
    for (size_t i = 0; i < CWS_ARRAY_LEN(texts); i++) {
        if (!texts[i])
            return false;
        size += strlen(texts[i]) + 1;
    }
    out->texts = cws_malloc(size);
    for (size_t i = 0; out->texts && i < CWS_ARRAY_LEN(texts); i++) {
        size_t length = strlen(texts[i]) + 1;
        *into[i] = memcpy(out->texts + used, texts[i], length);
        used += length;
    }
    return out->texts != NULL;
}

bool cwsd_resource_next(struct cwsd_statement *cursor, struct cwsd_resource *out,
                        struct cwsd_fault *fault)
{
    struct cws_error err;
    size_t len;
    bool row;
    memset(out, 0, sizeof(*out));
    if (cwsd_statement_step(cursor, &row, &err) != CWS_OK)
        return cwsd_database_fault(cursor->database, &err, fault);
    if (!row)
        return true;
    out->number = cwsd_statement_int(cursor, 0);
    out->kind = (enum cwsd_resource_kind)cwsd_statement_int(cursor, 1);
    out->deleted = cwsd_statement_int(cursor, 6) != 0;
    const uint8_t *digest = cwsd_statement_bytes(cursor, 5, &len);
    if (len == sizeof(out->digest))
        memcpy(&out->digest, digest, len);
    if (!read_texts(cursor, out))
        return cwsd_fault_set_memory(fault);
    const uint8_t *message = cwsd_statement_bytes(cursor, 7, &len);
    out->message = cwsd_wire_unpack(descriptor_of(out->kind), message, len, fault);
    if (out->message)
        return true;
    cwsd_resource_done(out);
    return false;
}

bool cwsd_resource_find(struct cwsd_database *database, enum cwsd_resource_kind kind,
                        enum cwsd_resource_key by, const char *key, struct cwsd_resource *out,
                        struct cwsd_fault *fault)
{
    struct cwsd_statement select;
    struct cws_error err;
    memset(out, 0, sizeof(*out));
    if (cwsd_statement_init(&select, database, find_sql[by], &err) != CWS_OK)
        return cwsd_database_fault(database, &err, fault);
    cwsd_statement_set_int(&select, 1, kind);
    cwsd_statement_set_text(&select, 2, key);
    bool done = cwsd_resource_next(&select, out, fault);
    cwsd_statement_done(&select);
    return done;
}

void cwsd_resource_done(struct cwsd_resource *resource)
{
    cwsd_wire_free(resource->message);
    cws_free(resource->texts);
    memset(resource, 0, sizeof(*resource));
}

bool cwsd_resource_begin(struct cwsd_database *database, enum cwsd_resource_kind kind,
                         int64_t after, bool with_deleted, struct cwsd_statement *out_cursor,
                         struct cwsd_fault *fault)
{
    struct cws_error err;
    if (cwsd_statement_init(out_cursor, database, list_sql, &err) != CWS_OK)
        return cwsd_database_fault(database, &err, fault);
    cwsd_statement_set_int(out_cursor, 1, kind);
    cwsd_statement_set_int(out_cursor, 2, after);
    cwsd_statement_set_int(out_cursor, 3, with_deleted);
    return true;
}

bool cwsd_resource_count(struct cwsd_database *database, enum cwsd_resource_kind kind,
                         size_t *out_count, struct cwsd_fault *fault)
{
    struct cwsd_statement select;
    struct cws_error err;
    bool row = false;
    if (cwsd_statement_init(&select, database, count_sql, &err) != CWS_OK)
        return cwsd_database_fault(database, &err, fault);
    cwsd_statement_set_int(&select, 1, kind);
    enum cws_status status = cwsd_statement_step(&select, &row, &err);
    *out_count = row ? (size_t)cwsd_statement_int(&select, 0) : 0;
    cwsd_statement_done(&select);
    return status == CWS_OK || cwsd_database_fault(database, &err, fault);
}

/* ---- writing -------------------------------------------------------------------------------- */

static void set_changing(struct cwsd_statement *statement, const struct cwsd_resource *resource,
                         const uint8_t *message, size_t len)
{
    cwsd_statement_set_text(statement, 3, resource->name);
    cwsd_statement_set_int(statement, 6, resource->deleted);
    cwsd_statement_set_bytes(statement, 7, message, len);
}

static bool write_message(struct cwsd_database *database, const char *sql,
                          const struct cwsd_resource *resource, bool is_new,
                          struct cwsd_fault *fault)
{
    struct cwsd_statement statement = {0};
    struct cws_error err = {.status = CWS_NO_MEMORY};
    const ProtobufCMessage *message = resource->message;
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = cws_malloc(len + 1);
    bool done = false;
    if (packed && cwsd_statement_init(&statement, database, sql, &err) == CWS_OK) {
        protobuf_c_message_pack(message, packed);
        set_changing(&statement, resource, packed, len);
        if (is_new) {
            cwsd_statement_set_int(&statement, 1, resource->kind);
            cwsd_statement_set_text(&statement, 2, resource->id);
            cwsd_statement_set_text(&statement, 4, resource->request_id);
            cwsd_statement_set_bytes(&statement, 5, &resource->digest, sizeof(resource->digest));
        } else {
            cwsd_statement_set_int(&statement, 8, resource->number);
        }
        /* What is marked as deleted makes room: its name and its place are free again. */
        enum cwsd_space space = resource->deleted ? CWSD_RESERVED_SPACE : CWSD_FREE_SPACE;
        done = cwsd_statement_run_durably(&statement, space, &err) == CWS_OK;
    }
    cwsd_statement_done(&statement);
    cws_free(packed);
    return done || cwsd_database_fault(database, &err, fault);
}

bool cwsd_resource_add(struct cwsd_database *database, struct cwsd_resource *resource,
                       struct cwsd_fault *fault)
{
    if (!write_message(database, add_sql, resource, true, fault))
        return false;
    resource->number = cwsd_database_last_number(database);
    return true;
}

bool cwsd_resource_save(struct cwsd_database *database, const struct cwsd_resource *resource,
                        struct cwsd_fault *fault)
{
    return write_message(database, save_sql, resource, false, fault);
}

/* A statement that removes by one number, or by two; second -1: by one. */
static bool remove_by(struct cwsd_database *database, const char *sql, int64_t first,
                      int64_t second, struct cwsd_fault *fault)
{
    struct cwsd_statement statement;
    struct cws_error err;
    enum cws_status status = cwsd_statement_init(&statement, database, sql, &err);
    if (status == CWS_OK) {
        cwsd_statement_set_int(&statement, 1, first);
        if (second >= 0)
            cwsd_statement_set_int(&statement, 2, second);
        status = cwsd_statement_run_durably(&statement, CWSD_RESERVED_SPACE, &err);
    }
    cwsd_statement_done(&statement);
    return status == CWS_OK || cwsd_database_fault(database, &err, fault);
}

bool cwsd_resource_remove(struct cwsd_database *database, const struct cwsd_resource *resource,
                          struct cwsd_fault *fault)
{
    return remove_by(database, remove_sql, resource->number, -1, fault);
}

bool cwsd_resource_prune(struct cwsd_database *database, enum cwsd_resource_kind kind, size_t keep,
                         struct cwsd_fault *fault)
{
    return remove_by(database, prune_sql, kind, (int64_t)keep, fault);
}
