/* The whole daemon: everything made in order, run until it is told to end, and taken down again. */
#pragma once

#include "config/config.h"

#ifndef CWSD_VERSION /* given by the build */
#define CWSD_VERSION "0+unknown"
#endif

enum cwsd_exit {
    CWSD_EXIT_OK = 0,
    CWSD_EXIT_FAILED = 1,
    CWSD_EXIT_USAGE = 2,
    CWSD_EXIT_ISOLATION = 3,
};

/* Runs in the calling thread until SIGTERM, SIGINT, SIGHUP or the parent's end. Says on stderr
 * what went wrong. */
enum cwsd_exit cwsd_daemon_run(const struct cwsd_config *config);
