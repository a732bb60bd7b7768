#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sandboxes/pool_private.h"

/* They are what that daemon has written. */
static void take_over_logs(struct cwsd_sandbox *sandbox)
{
    for (size_t i = 0; i < sandbox->container_count; i++) {
        struct cwsd_container *container = &sandbox->containers[i];
        cws_list_remove(&container->log_changed.node);
        cwsd_log_take_over(container->log);
        cwsd_log_shelf_add(&sandbox->pool->shelf, &container->on_shelf);
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
    take_over_logs(sandbox);
    if (!cwsd_record_is_finished(record)) {
        clock_gettime(CLOCK_REALTIME, &now);
        cwsd_record_orphaned(record, now);
        cwsd_keeper_save(&pool->keeper, record);
    }
    cwsd_registry_finish(&pool->registry, record); /* may release this very sandbox */
    return CWS_OK;
}

/* Whose log it is. False for a file that is none: it is somebody else's. */
static bool parse_name(const char *file, char id[CWSD_ID_SIZE])
{
    size_t prefix = strlen(CWSD_LOG_PREFIX);
    if (strncmp(file, CWSD_LOG_PREFIX, prefix) != 0)
        return false;
    snprintf(id, CWSD_ID_SIZE, "%s", file + prefix);
    if (strncmp(id, "sb-", 3) != 0 || strspn(id + 3, "0123456789abcdef") != CWSD_ID_SIZE - 4)
        return false;
    const char *rest = file + prefix + CWSD_ID_SIZE - 1; /* of another container than the first */
    size_t digits = rest[0] == '.' ? strspn(rest + 1, "0123456789") : 0;
    return rest[0] == '\0' || ((digits == 1 || digits == 2) && rest[1 + digits] == '\0');
}

/* A log's, but of no record. */
static bool is_leftover(struct cwsd_pool *pool, const char *name)
{
    char id[CWSD_ID_SIZE];
    return parse_name(name, id) && !cwsd_registry_find(&pool->registry, id);
}

/* What a daemon has left that was killed between a record's end and that of its logs. */
static enum cws_status remove_leftovers(struct cwsd_pool *pool, struct cws_error *err)
{
    struct dirent *entry;
    DIR *dir = opendir(pool->options.log_dir);
    if (!dir)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "%s", pool->options.log_dir);
    while ((entry = readdir(dir)) != NULL)
        if (is_leftover(pool, entry->d_name))
            unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
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
    return status == CWS_OK && pool->options.database ? remove_leftovers(pool, err) : status;
}
