#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon.h"

int main(int argc, char **argv)
{
    const struct cwsd_surroundings surroundings = {geteuid(), getenv("XDG_RUNTIME_DIR")};
    struct cwsd_config config;
    struct cws_error err;
    if (cwsd_config_parse(argc, argv, &surroundings, &config, &err) != CWS_OK) {
        fprintf(stderr, "cwsandboxd: %s\nTry cwsandboxd --help.\n", err.text);
        return CWSD_EXIT_USAGE;
    }
    switch (config.action) {
    case CWSD_ACTION_HELP:
        fputs(cwsd_config_help, stdout);
        return CWSD_EXIT_OK;
    case CWSD_ACTION_VERSION:
        printf("cwsandboxd %s\n", CWSD_VERSION);
        return CWSD_EXIT_OK;
    case CWSD_ACTION_SERVE:
        break;
    }
    return (int)cwsd_daemon_run(&config);
}
