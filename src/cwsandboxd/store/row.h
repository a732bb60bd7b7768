/*
 * How one container of a sandbox fares. Pure data.
 *
 *   CREATING --running--> RUNNING --stopping, exited--> TERMINATING
 *   TERMINATING --gone--> COMPLETED, TERMINATED or FAILED
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct cwsd_row {
    int state;    /* CWSD_STATE(...) */
    bool stopped; /* the daemon has asked it to end */
    bool has_exit_code;
    int32_t exit_code;
};

void cwsd_row_init(struct cwsd_row *row);
void cwsd_row_running(struct cwsd_row *row);
void cwsd_row_stopping(struct cwsd_row *row);
void cwsd_row_exited(struct cwsd_row *row, int exit_code);
/* Nothing of it is left, or it will never be started. */
void cwsd_row_gone(struct cwsd_row *row);

/* Whether it has ended, in whatever way. */
bool cwsd_row_is_finished(const struct cwsd_row *row);
