#include "store/schema.h"

/* The spec lies apart: a change of state then writes a short row. Times are nanoseconds since the
 * epoch, 0 for "not yet". */
const char cwsd_sandboxes_schema[] =
    "CREATE TABLE sandboxes ("
    " sequence INTEGER PRIMARY KEY,"
    " id TEXT NOT NULL,"
    " request_id TEXT,"
    " digest BLOB NOT NULL,"
    " display_name TEXT NOT NULL,"
    " state INTEGER NOT NULL,"
    " reason TEXT NOT NULL,"
    " cause INTEGER NOT NULL,"
    " deleted INTEGER NOT NULL,"
    " exit_code INTEGER,"
    " created INTEGER NOT NULL,"
    " started INTEGER NOT NULL,"
    " ended INTEGER NOT NULL);"
    "CREATE TABLE sandbox_specs ("
    " sequence INTEGER PRIMARY KEY REFERENCES sandboxes ON DELETE CASCADE,"
    " spec BLOB NOT NULL);";
