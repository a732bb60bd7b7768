#include "store/schema.h"

/* In order, for ever: a step that has been released is never changed, moved or removed. A change to
 * a table is another step, at the end. */
static const char *const steps[] = {
    cwsd_sandboxes_schema,
    cwsd_snapshots_schema,
    cwsd_resources_schema,
};

const struct cwsd_schema cwsd_schema = {steps, CWS_ARRAY_LEN(steps)};
