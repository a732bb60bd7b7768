#include "sandboxes/keeper.h"

/* How long after a failure it tries again: soon enough for whoever has made room, and seldom enough
 * for a disk that stays full. */
#define RETRY_NS CWS_NS_PER_S

/* Without a timer the next change of a record tries again. */
static void try_later(struct cwsd_keeper *keeper)
{
    enum cws_status status =
        cws_timer_set(keeper->loop, &keeper->retry, cws_clock_now_ns() + RETRY_NS);
    (void)status;
}

static void on_retry(struct cws_timer *timer)
{
    struct cwsd_keeper *keeper = cws_container_of(timer, struct cwsd_keeper, retry);
    if (!cwsd_sandbox_rows_retry(&keeper->rows))
        try_later(keeper);
}

enum cws_status cwsd_keeper_init(struct cwsd_keeper *keeper, struct cws_loop *loop,
                                 struct cwsd_database *database, struct cws_error *err)
{
    keeper->loop = loop;
    cws_timer_init(&keeper->retry, on_retry);
    return cwsd_sandbox_rows_init(&keeper->rows, database, err);
}

void cwsd_keeper_done(struct cwsd_keeper *keeper)
{
    cws_timer_cancel(keeper->loop, &keeper->retry);
    cwsd_sandbox_rows_done(&keeper->rows);
}

enum cws_status cwsd_keeper_read(struct cwsd_keeper *keeper, struct cwsd_statement *out_cursor,
                                 struct cws_error *err)
{
    return cwsd_sandbox_rows_begin(&keeper->rows, out_cursor, err);
}

bool cwsd_keeper_add(struct cwsd_keeper *keeper, struct cwsd_record *record,
                     struct cwsd_fault *fault)
{
    return cwsd_sandbox_rows_add(&keeper->rows, record, fault);
}

void cwsd_keeper_save(struct cwsd_keeper *keeper, struct cwsd_record *record)
{
    cwsd_sandbox_rows_save(&keeper->rows, record);
    if (!cws_list_is_empty(&record->in_unsaved))
        try_later(keeper);
}

bool cwsd_keeper_remove(struct cwsd_keeper *keeper, struct cwsd_record *record)
{
    return cwsd_sandbox_rows_remove(&keeper->rows, record);
}
