/* The whole daemon: makes everything in order, runs until it is told to end, and takes everything
 * down again. */
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

/* Runs in the calling thread until SIGTERM, SIGINT or SIGHUP arrives, or the lifeline
 * (config->life_fd) asks for the end or is lost. Errors are reported on stderr. */
enum cwsd_exit cwsd_daemon_run(const struct cwsd_config *config);
