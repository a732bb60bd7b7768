/* The tables of the daemon's database, as the steps that lead to them. */
#pragma once

#include "store/database.h"

extern const struct cwsd_schema cwsd_schema;

/* The SQL of each step, in the file whose records it keeps. */
extern const char cwsd_sandboxes_schema[]; /* sandbox_rows.c */
extern const char cwsd_snapshots_schema[]; /* snapshots.c */
extern const char cwsd_resources_schema[]; /* resources.c */
