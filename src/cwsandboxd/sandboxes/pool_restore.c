#include "sandboxes/pool_private.h"

/* Its logs were that daemon's. */
static void end_logs(struct cwsd_sandbox *sandbox)
{
    for (size_t i = 0; i < sandbox->container_count; i++) {
        cws_list_remove(&sandbox->containers[i].log_changed.node);
        cwsd_log_end(sandbox->containers[i].log);
    }
    sandbox->starting = sandbox->living = sandbox->open = 0;
}

/* Takes the sandbox over. */
static enum cws_status restore(struct cwsd_pool *pool, struct cwsd_sandbox *sandbox)
{
    struct cwsd_record *record = &sandbox->record;
    struct timespec now;
    if (cwsd_pool_add_containers(sandbox, NULL) != CWS_OK ||
        cwsd_registry_restore(&pool->registry, record) != CWS_OK) {
        record->kept = false; /* its row stays */
        pool->registry.release(record);
        return CWS_NO_MEMORY;
    }
    end_logs(sandbox);
    if (!cwsd_record_is_finished(record)) {
        clock_gettime(CLOCK_REALTIME, &now);
        cwsd_record_orphaned(record, now);
        cwsd_keeper_save(&pool->keeper, record);
    }
    cwsd_registry_finish(&pool->registry, record); /* may release this very sandbox */
    return CWS_OK;
}

enum cws_status cwsd_pool_restore(struct cwsd_pool *pool, struct cws_error *err)
{
    struct cwsd_statement cursor;
    bool more = true;
    enum cws_status status = cwsd_keeper_read(&pool->keeper, &cursor, err);
    while (status == CWS_OK && more) {
        struct cwsd_sandbox *sandbox = cwsd_pool_new_sandbox(pool);
        if (!sandbox) {
            status = cws_error_set(err, CWS_NO_MEMORY, "out of memory");
            break;
        }
        status = cwsd_sandbox_rows_next(&cursor, &sandbox->record, &more, err);
        if (status == CWS_OK && more) {
            if (restore(pool, sandbox) != CWS_OK)
                status = cws_error_set(err, CWS_NO_MEMORY, "out of memory");
            continue;
        }
        sandbox->record.kept = false;
        pool->registry.release(&sandbox->record);
    }
    cwsd_statement_done(&cursor);
    return status;
}
