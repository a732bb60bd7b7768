/* A directory of each test's own, beside the leak check: FOLDER_TEST(f). */
#pragma once

#include <stdlib.h>

#include "support/daemon_help.h"

static char own_folder[64];

static inline int own_folder_make(void **state)
{
    strcpy(own_folder, "/tmp/cwsd-test-XXXXXX");
    return mkdtemp(own_folder) ? live_before(state) : -1;
}

static inline int own_folder_remove(void **state)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", own_folder);
    int rc = system(command);
    int leaked = nothing_leaked(state);
    return rc ? rc : leaked;
}

#define FOLDER_TEST(f) cmocka_unit_test_setup_teardown(f, own_folder_make, own_folder_remove)
