/*
 * What SQLite does not see in a database's file: that it is cut off, or was lost. It takes a file
 * that is missing or very short for a new one, and reads what is cut off as zeros. Any thread.
 */
#pragma once

#include "base/status.h"

#define CWSD_DATABASE_FILE "cwsandboxd.db"

/* Looks at the file in `dir`, before SQLite opens it. Nothing is changed. CWS_INVALID: it is cut
 * off, or it is missing or empty although there is what belongs to it. CWS_SYSTEM: it cannot be
 * looked at. */
enum cws_status cwsd_database_file_check(const char *dir, struct cws_error *err) CWS_MUST_CHECK;
