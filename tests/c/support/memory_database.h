/* For the tests of what is kept in the database: a new one in memory for each test. */
#pragma once

#include "store/database.h"
#include "store/schema.h"
#include "support/daemon_help.h"

static struct cwsd_database *database;

static inline int database_set_up(void **state)
{
    struct cws_error err;
    int result = live_before(state);
    if (cwsd_database_open(NULL, &cwsd_schema, &database, &err) != CWS_OK)
        fail_msg("%s", err.text);
    return result;
}

static inline int database_tear_down(void **state)
{
    cwsd_database_close(database);
    return nothing_leaked(state);
}

#define DATABASE_TEST(f) cmocka_unit_test_setup_teardown(f, database_set_up, database_tear_down)
