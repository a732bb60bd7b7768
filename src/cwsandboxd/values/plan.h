/*
 * In which order the containers of a sandbox start, and when each of them counts as healthy. Values
 * only; any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "values/bounds.h"

/* What a container can wait for in another one. */
enum cwsd_need { CWSD_NEED_STARTED, CWSD_NEED_HEALTHY, CWSD_NEED_SUCCESS, CWSD_NEEDS };

struct cwsd_plan_row {
    uint32_t needs[CWSD_NEEDS]; /* bit i: container i */
    char **check;               /* the command that says so, with a NULL behind it; NULL:
                                 * it is healthy as it is */
    size_t check_count;
    uint64_t interval_ns, timeout_ns, start_period_ns;
    unsigned retries;
};

struct cwsd_plan {
    size_t count;
    struct cwsd_plan_row rows[CWSD_MAX_CONTAINERS];
};

/* A plan by which all start at once. NULL when out of memory. */
struct cwsd_plan *cwsd_plan_new(size_t count);
/* NULL is allowed. */
void cwsd_plan_free(struct cwsd_plan *plan);
/* The index of a container that waits for itself by way of others; -1: there is none. */
int cwsd_plan_find_circle(const struct cwsd_plan *plan);
