/* A record as the Sandbox message that clients see. The view points into the record's memory, which
 * must outlive it; there is nothing to free. */
#pragma once

#include "box/box.h"
#include "sandboxes/usage.h"
#include "store/record.h"
#include "values/bounds.h"

/* Whose the one runner is, and its group. */
#define CWSD_ORGANIZATION_ID "local"
#define CWSD_RUNNER_GROUP_ID "local"

struct cwsd_view {
    cwsd_pb_sandbox sandbox; /* the message; the rest are its parts */
    cwsd_pb_status status;
    cwsd_pb_container_status containers[CWSD_MAX_CONTAINERS];
    cwsd_pb_container_status *container_list[CWSD_MAX_CONTAINERS];
    char *attached[CWSD_MAX_VOLUMES];
    cwsd_pb_usage usage;
    cwsd_pb_egress_rule any; /* what "not denied" means */
    cwsd_pb_egress_rule *any_list[1];
    cwsd_pb_timestamp created, started, ended;
};

void cwsd_view_init(struct cwsd_view *view, const struct cwsd_record *record,
                    const char *runner_id);

/* Adds the number of commands, and what they use. */
void cwsd_view_add_execs(struct cwsd_view *view, struct cwsd_box_execs execs);
void cwsd_view_add_usage(struct cwsd_view *view, const struct cwsd_usage *usage);

cwsd_pb_timestamp cwsd_view_timestamp(struct timespec time);
