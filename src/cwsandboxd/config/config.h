/* The command line: options, their defaults, and the rules between them. */
#pragma once

#include <sys/types.h>

#include "config/address.h"
#include "config/egress_way.h"
#include "values/limits.h"

#define CWSD_MAX_LISTENERS 8
#define CWSD_MAX_DATA_DIR  490 /* with the database's longest name what SQLite opens: 512 */

enum cwsd_action {
    CWSD_ACTION_SERVE,
    CWSD_ACTION_HELP,
    CWSD_ACTION_VERSION,
};

/* The properties of the process on which defaults depend. */
struct cwsd_surroundings {
    uid_t uid;
    const char *runtime_dir; /* XDG_RUNTIME_DIR, or NULL */
};

struct cwsd_config {
    enum cwsd_action action;
    struct cwsd_address listen[CWSD_MAX_LISTENERS];
    size_t listen_count;
    bool data_plane_given;
    bool has_data_plane; /* there is to be a direct data plane, at: */
    struct cwsd_address data_plane;
    bool isolation_none;
    enum cwsd_egress_way egress;
    const char *token_file; /* these six point into argv; NULL: not given */
    const char *secrets_dir;
    const char *volume_dir;
    const char *data_dir;
    const char *tls_cert;
    const char *tls_key;
    const char *bwrap;
    char state_dir[4096];
    size_t max_sandboxes;
    uint64_t log_bytes;        /* the size of each sandbox's log */
    struct cwsd_limits limits; /* for each sandbox; 0: the default, which depends on the host */
    int ready_fd;              /* -1: none */
    int life_fd;               /* -1: none */
    bool detach;
};

/* Parses argv as main gets it. It must outlive the config. CWS_INVALID names the option, the value
 * and the rule. */
enum cws_status cwsd_config_parse(int argc, char **argv,
                                  const struct cwsd_surroundings *surroundings,
                                  struct cwsd_config *out_config,
                                  struct cws_error *err) CWS_MUST_CHECK;

/* The text that --help prints. */
extern const char cwsd_config_help[];
