#include "store/snapshots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "store/schema.h"

const char cwsd_snapshots_schema[] = "CREATE TABLE snapshots ("
                                     " sequence INTEGER PRIMARY KEY AUTOINCREMENT,"
                                     " id TEXT NOT NULL UNIQUE,"
                                     " state INTEGER NOT NULL,"
                                     " trigger INTEGER NOT NULL,"
                                     " sandbox_id TEXT NOT NULL,"
                                     " volume TEXT NOT NULL,"
                                     " request_id TEXT,"
                                     " request BLOB NOT NULL,"
                                     " position INTEGER NOT NULL,"
                                     " reason TEXT NOT NULL,"
                                     " size INTEGER NOT NULL,"
                                     " digest BLOB NOT NULL,"
                                     " created INTEGER NOT NULL,"
                                     " completed INTEGER NOT NULL,"
                                     " updated INTEGER NOT NULL,"
                                     " UNIQUE (trigger, request_id, position));";

#define COLUMNS \
    "sequence, id, state, trigger, sandbox_id, volume, request_id, request, position, reason," \
    " size, digest, created, completed, updated"

static const char insert_sql[] =
    "INSERT INTO snapshots (id, state, trigger, sandbox_id, volume, request_id, request, position,"
    " reason, size, digest, created, completed, updated)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING sequence";
static const char update_sql[] = "UPDATE snapshots SET state = ?, reason = ?, size = ?, digest = ?,"
                                 " completed = ?, updated = ? WHERE id = ?";
static const char remove_sql[] = "DELETE FROM snapshots WHERE id = ?";
static const char by_id_sql[] = "SELECT " COLUMNS " FROM snapshots WHERE id = ?";
static const char by_request_sql[] =
    "SELECT " COLUMNS " FROM snapshots WHERE trigger = ? AND request_id = ? AND position = ?";
static const char page_sql[] =
    "SELECT " COLUMNS " FROM snapshots WHERE (?1 = '' OR sandbox_id = ?1) AND sequence > ?2"
    " ORDER BY sequence LIMIT ?3";
static const char count_sql[] = "SELECT count(*) FROM snapshots";
static const char unfinished_sql[] =
    "UPDATE snapshots SET state = ?, reason = ?, completed = ?3, updated = ?3 WHERE state = ?4";

static struct cwsd_statement *statement_at(struct cwsd_snapshots *snapshots, size_t i,
                                           const char **out_sql)
{
    struct cwsd_statement *const statements[] = {
        &snapshots->insert,     &snapshots->update, &snapshots->remove, &snapshots->by_id,
        &snapshots->by_request, &snapshots->page,   &snapshots->count,  &snapshots->unfinished};
    static const char *const sql[] = {insert_sql,     update_sql, remove_sql, by_id_sql,
                                      by_request_sql, page_sql,   count_sql,  unfinished_sql};
    if (i >= CWS_ARRAY_LEN(sql))
        return NULL;
    *out_sql = sql[i];
    return statements[i];
}

enum cws_status cwsd_snapshots_init(struct cwsd_snapshots *snapshots,
                                    struct cwsd_database *database, struct cws_error *err)
{
    struct cwsd_statement *statement;
    const char *sql;
    memset(snapshots, 0, sizeof(*snapshots));
    snapshots->database = database;
    for (size_t i = 0; (statement = statement_at(snapshots, i, &sql)) != NULL; i++)
        if (cwsd_statement_init(statement, database, sql, err) != CWS_OK) {
            cwsd_snapshots_done(snapshots);
            return err->status;
        }
    return CWS_OK;
}

void cwsd_snapshots_done(struct cwsd_snapshots *snapshots)
{
    struct cwsd_statement *statement;
    const char *sql;
    for (size_t i = 0; (statement = statement_at(snapshots, i, &sql)) != NULL; i++)
        cwsd_statement_done(statement);
}

void cwsd_snapshot_init(struct cwsd_snapshot *snapshot, int64_t now_ns)
{
    uint64_t random;
    memset(snapshot, 0, sizeof(*snapshot));
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        abort(); /* the kernel guarantees reads of this size */
    snprintf(snapshot->id, sizeof(snapshot->id), "fss-%016llx", (unsigned long long)random);
    snapshot->state = CWSD_SNAPSHOT_STATE(CREATING);
    snapshot->created_ns = snapshot->updated_ns = now_ns;
}

/* ---- changes -------------------------------------------------------------------------------- */

enum cws_status cwsd_snapshots_add(struct cwsd_snapshots *snapshots, struct cwsd_snapshot *snapshot,
                                   struct cws_error *err)
{
    struct cwsd_statement *insert = &snapshots->insert;
    bool row;
    cwsd_statement_set_text(insert, 1, snapshot->id);
    cwsd_statement_set_int(insert, 2, snapshot->state);
    cwsd_statement_set_int(insert, 3, snapshot->trigger);
    cwsd_statement_set_text(insert, 4, snapshot->sandbox_id);
    cwsd_statement_set_text(insert, 5, snapshot->volume);
    cwsd_statement_set_text(insert, 6, snapshot->request_id[0] ? snapshot->request_id : NULL);
    cwsd_statement_set_bytes(insert, 7, &snapshot->request, sizeof(snapshot->request));
    cwsd_statement_set_int(insert, 8, snapshot->position);
    cwsd_statement_set_text(insert, 9, snapshot->reason);
    cwsd_statement_set_int(insert, 10, (int64_t)snapshot->size);
    cwsd_statement_set_bytes(insert, 11, snapshot->digest, sizeof(snapshot->digest));
    cwsd_statement_set_int(insert, 12, snapshot->created_ns);
    cwsd_statement_set_int(insert, 13, snapshot->completed_ns);
    cwsd_statement_set_int(insert, 14, snapshot->updated_ns);
    if (cwsd_statement_step(insert, &row, err) != CWS_OK)
        return err->status;
    snapshot->sequence = (uint64_t)cwsd_statement_int(insert, 0);
    return cwsd_statement_step(insert, &row, err);
}

enum cws_status cwsd_snapshots_update(struct cwsd_snapshots *snapshots,
                                      const struct cwsd_snapshot *snapshot, struct cws_error *err)
{
    struct cwsd_statement *update = &snapshots->update;
    cwsd_statement_set_int(update, 1, snapshot->state);
    cwsd_statement_set_text(update, 2, snapshot->reason);
    cwsd_statement_set_int(update, 3, (int64_t)snapshot->size);
    cwsd_statement_set_bytes(update, 4, snapshot->digest, sizeof(snapshot->digest));
    cwsd_statement_set_int(update, 5, snapshot->completed_ns);
    cwsd_statement_set_int(update, 6, snapshot->updated_ns);
    cwsd_statement_set_text(update, 7, snapshot->id);
    return cwsd_statement_run_durably(update, CWSD_FREE_SPACE, err);
}

enum cws_status cwsd_snapshots_remove(struct cwsd_snapshots *snapshots, const char *id,
                                      struct cws_error *err)
{
    cwsd_statement_set_text(&snapshots->remove, 1, id);
    return cwsd_statement_run_durably(&snapshots->remove, CWSD_RESERVED_SPACE, err);
}

enum cws_status cwsd_snapshots_fail_unfinished(struct cwsd_snapshots *snapshots, const char *reason,
                                               int64_t now_ns, struct cws_error *err)
{
    struct cwsd_statement *unfinished = &snapshots->unfinished;
    cwsd_statement_set_int(unfinished, 1, CWSD_SNAPSHOT_STATE(FAILED));
    cwsd_statement_set_text(unfinished, 2, reason);
    cwsd_statement_set_int(unfinished, 3, now_ns);
    cwsd_statement_set_int(unfinished, 4, CWSD_SNAPSHOT_STATE(CREATING));
    /* A daemon must be able to start on a full disk. */
    return cwsd_statement_run_durably(unfinished, CWSD_RESERVED_SPACE, err);
}

/* ---- look-ups ------------------------------------------------------------------------------- */

static void take_text(const struct cwsd_statement *row, int column, char *out, size_t size)
{
    const char *text = cwsd_statement_text(row, column);
    snprintf(out, size, "%s", text ? text : "");
}

static void take_bytes(const struct cwsd_statement *row, int column, void *out, size_t size)
{
    size_t len;
    const uint8_t *bytes = cwsd_statement_bytes(row, column, &len);
    memset(out, 0, size);
    if (len == size)
        memcpy(out, bytes, size);
}

static void take_row(const struct cwsd_statement *row, struct cwsd_snapshot *out)
{
    out->sequence = (uint64_t)cwsd_statement_int(row, 0);
    take_text(row, 1, out->id, sizeof(out->id));
    out->state = (int)cwsd_statement_int(row, 2);
    out->trigger = (int)cwsd_statement_int(row, 3);
    take_text(row, 4, out->sandbox_id, sizeof(out->sandbox_id));
    take_text(row, 5, out->volume, sizeof(out->volume));
    take_text(row, 6, out->request_id, sizeof(out->request_id));
    take_bytes(row, 7, &out->request, sizeof(out->request));
    out->position = (int)cwsd_statement_int(row, 8);
    take_text(row, 9, out->reason, sizeof(out->reason));
    out->size = (uint64_t)cwsd_statement_int(row, 10);
    take_bytes(row, 11, out->digest, sizeof(out->digest));
    out->created_ns = cwsd_statement_int(row, 12);
    out->completed_ns = cwsd_statement_int(row, 13);
    out->updated_ns = cwsd_statement_int(row, 14);
}

static enum cws_status find_one(struct cwsd_statement *statement, struct cwsd_snapshot *out,
                                bool *out_found, struct cws_error *err)
{
    *out_found = false;
    if (cwsd_statement_step(statement, out_found, err) != CWS_OK)
        return err->status;
    if (*out_found) {
        take_row(statement, out);
        cwsd_statement_reset(statement);
    }
    return CWS_OK;
}

enum cws_status cwsd_snapshots_find(struct cwsd_snapshots *snapshots, const char *id,
                                    struct cwsd_snapshot *out, bool *out_found,
                                    struct cws_error *err)
{
    cwsd_statement_set_text(&snapshots->by_id, 1, id);
    return find_one(&snapshots->by_id, out, out_found, err);
}

enum cws_status cwsd_snapshots_find_request(struct cwsd_snapshots *snapshots, int trigger,
                                            const char *request_id, int position,
                                            struct cwsd_snapshot *out, bool *out_found,
                                            struct cws_error *err)
{
    cwsd_statement_set_int(&snapshots->by_request, 1, trigger);
    cwsd_statement_set_text(&snapshots->by_request, 2, request_id);
    cwsd_statement_set_int(&snapshots->by_request, 3, position);
    return find_one(&snapshots->by_request, out, out_found, err);
}

enum cws_status cwsd_snapshots_page(struct cwsd_snapshots *snapshots, const char *sandbox_id,
                                    uint64_t after, size_t most, struct cwsd_snapshot *out,
                                    size_t *out_count, struct cws_error *err)
{
    struct cwsd_statement *page = &snapshots->page;
    bool row = true;
    *out_count = 0;
    cwsd_statement_set_text(page, 1, sandbox_id);
    cwsd_statement_set_int(page, 2, (int64_t)after);
    cwsd_statement_set_int(page, 3, (int64_t)most);
    for (;;) {
        if (cwsd_statement_step(page, &row, err) != CWS_OK)
            return err->status;
        if (!row)
            return CWS_OK;
        take_row(page, &out[(*out_count)++]);
    }
}

enum cws_status cwsd_snapshots_count(struct cwsd_snapshots *snapshots, size_t *out_count,
                                     struct cws_error *err)
{
    bool row;
    if (cwsd_statement_step(&snapshots->count, &row, err) != CWS_OK)
        return err->status;
    *out_count = (size_t)cwsd_statement_int(&snapshots->count, 0);
    cwsd_statement_reset(&snapshots->count);
    return CWS_OK;
}
