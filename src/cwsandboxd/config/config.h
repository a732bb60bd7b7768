/* The command line: options, their defaults, and the rules between them. */
#pragma once

#include <sys/types.h>

#include "config/address.h"
#include "values/limits.h"

#define CWSD_MAX_LISTENERS 8

enum cwsd_action {
    CWSD_ACTION_SERVE,
    CWSD_ACTION_HELP,
    CWSD_ACTION_VERSION,
};

/* What of the process the defaults depend on. */
struct cwsd_surroundings {
    uid_t uid;
    const char *runtime_dir; /* XDG_RUNTIME_DIR, or NULL */
};

struct cwsd_config {
    enum cwsd_action action;
    struct cwsd_address listen[CWSD_MAX_LISTENERS];
    size_t listen_count;
    bool isolation_none;
    const char *token_file; /* these point into argv; NULL: not given */
    const char *tls_cert;
    const char *tls_key;
    const char *bwrap;
    char state_dir[4096];
    size_t max_sandboxes;
    struct cwsd_limits limits; /* of each sandbox; 0: the default, which depends on the host */
    int ready_fd;              /* -1: none */
    int life_fd;               /* -1: none */
    bool detach;
};

/* argv as main gets it; it must outlive the config. CWS_INVALID names the option, the value and
 * the rule. */
enum cws_status cwsd_config_parse(int argc, char **argv,
                                  const struct cwsd_surroundings *surroundings,
                                  struct cwsd_config *out_config,
                                  struct cws_error *err) CWS_MUST_CHECK;

/* What --help prints. */
extern const char cwsd_config_help[];
