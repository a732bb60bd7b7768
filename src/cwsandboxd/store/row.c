#include "store/row.h"

#include "values/pb.h"

void cwsd_row_init(struct cwsd_row *row)
{
    *row = (struct cwsd_row){.state = CWSD_STATE(CREATING)};
}

bool cwsd_row_is_finished(const struct cwsd_row *row)
{
    return row->state == CWSD_STATE(COMPLETED) || row->state == CWSD_STATE(FAILED) ||
           row->state == CWSD_STATE(TERMINATED);
}

void cwsd_row_running(struct cwsd_row *row)
{
    if (row->state == CWSD_STATE(CREATING)) /* a stop may have come first */
        row->state = CWSD_STATE(RUNNING);
}

void cwsd_row_stopping(struct cwsd_row *row)
{
    if (cwsd_row_is_finished(row))
        return;
    row->state = CWSD_STATE(TERMINATING);
    row->stopped = true;
}

void cwsd_row_exited(struct cwsd_row *row, int exit_code)
{
    row->state = CWSD_STATE(TERMINATING);
    row->has_exit_code = true;
    row->exit_code = exit_code;
}

void cwsd_row_gone(struct cwsd_row *row)
{
    if (row->has_exit_code && row->exit_code == 0)
        row->state = CWSD_STATE(COMPLETED);
    else
        row->state = row->stopped ? CWSD_STATE(TERMINATED) : CWSD_STATE(FAILED);
}
