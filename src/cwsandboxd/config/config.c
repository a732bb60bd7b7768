#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_MAX_SANDBOXES 512
#define LARGEST_MAX_SANDBOXES 10000

/* The least with which a sandbox works: its init holds pipes open, and its set-up writes files. */
#define LEAST_MAX_PROCESSES  8
#define LEAST_MAX_OPEN_FILES 1024
#define LEAST_MAX_WRITTEN    (16u << 20)
#define LEAST_LOG_BYTES      (1u << 20)
#define DEFAULT_LOG_BYTES    (16u << 20)
#define LARGEST_LIMIT        (1l << 22) /* of processes: the kernel's own */

const char cwsd_config_help[] =
    "Usage: cwsandboxd [OPTION]...\n"
    "Runs sandboxes on this machine for cwsandbox clients.\n"
    "\n"
    "  --listen ADDRESS      unix:///path of a socket (created with mode 0600), or 127.0.0.1:PORT "
    "or\n"
    "                        [::1]:PORT (PORT 0: any free one); up to 8 times. Other addresses "
    "need\n"
    "                        TLS. Default: $XDG_RUNTIME_DIR/cwsandboxd.sock, for root\n"
    "                        /run/cwsandboxd/cwsandboxd.sock\n"
    "  --token-file PATH     clients must send the token in this file; required for TCP. If the "
    "file\n"
    "                        does not exist, it is created (mode 0600) with a random token\n"
    "  --tls-cert PATH       certificate chain (PEM) for the TCP addresses\n"
    "  --tls-key PATH        its private key (PEM)\n"
    "  --data-plane ADDRESS  127.0.0.1:PORT or such: clients may ask for a certificate and run "
    "commands\n"
    "                        there; off: they may not. Default: a free loopback port, if all TCP\n"
    "                        addresses are loopback ones\n"
    "  --isolation MODE      auto (default): the strongest this machine allows, or no start;\n"
    "                        none: commands run as they are, NOT isolated\n"
    "  --egress WAY          off (default): sandboxes reach no network; nftables (for root,\n"
    "                        needs ip and nft), slirp4netns (for other users, needs that and "
    "nft),\n"
    "                        auto: those whose options allow it reach others\n"
    "  --max-sandboxes N     at most N sandboxes at once (default 512)\n"
    "  --max-processes N     at most N processes and threads in each sandbox (default 2048)\n"
    "  --max-open-files N    at most N open files for each process in a sandbox (default 10000)\n"
    "  --max-written SIZE    at most SIZE bytes of files that a sandbox creates or changes; K, M, "
    "G\n"
    "                        and T are suffixes (default: an eighth of the machine's memory)\n"
    "  --log-bytes SIZE      the newest SIZE bytes of each sandbox's log are kept (default 16M)\n"
    "  --secrets-dir PATH    secret stores: a file STORE.json for each (mode 0600)\n"
    "  --volume-dir PATH     registered volumes: a directory for each (mode 0700)\n"
    "  --data-dir PATH       where the daemon keeps its records, for the next daemon, too\n"
    "  --state-dir PATH      where the daemon keeps what it needs while it runs\n"
    "  --bwrap PATH          the bubblewrap program (default: found on PATH)\n"
    "  --ready-fd N          write \"ready <address>...\" and a newline to descriptor N once "
    "listening\n"
    "  --life-fd N           end when nobody holds the other end of this pipe or socket any more; "
    "a\n"
    "                        byte that comes from there is like a TERM signal\n"
    "  --detach              go on as a process that is nobody's child, in a session of its own\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 stopped in good order, 1 failed, 2 bad options, 3 no isolation (or egress) "
    "possible here.\n";

enum option_id {
    OPTION_LISTEN = 256, /* beyond the characters */
    OPTION_TOKEN_FILE,
    OPTION_TLS_CERT,
    OPTION_TLS_KEY,
    OPTION_DATA_PLANE,
    OPTION_ISOLATION,
    OPTION_EGRESS,
    OPTION_MAX_SANDBOXES,
    OPTION_MAX_PROCESSES,
    OPTION_MAX_OPEN_FILES,
    OPTION_MAX_WRITTEN,
    OPTION_LOG_BYTES,
    OPTION_SECRETS_DIR,
    OPTION_VOLUME_DIR,
    OPTION_DATA_DIR,
    OPTION_STATE_DIR,
    OPTION_BWRAP,
    OPTION_READY_FD,
    OPTION_LIFE_FD,
    OPTION_DETACH,
    OPTION_HELP,
    OPTION_VERSION,
};

static const struct option options[] = {
    {"listen", required_argument, NULL, OPTION_LISTEN},
    {"token-file", required_argument, NULL, OPTION_TOKEN_FILE},
    {"tls-cert", required_argument, NULL, OPTION_TLS_CERT},
    {"tls-key", required_argument, NULL, OPTION_TLS_KEY},
    {"data-plane", required_argument, NULL, OPTION_DATA_PLANE},
    {"isolation", required_argument, NULL, OPTION_ISOLATION},
    {"egress", required_argument, NULL, OPTION_EGRESS},
    {"max-sandboxes", required_argument, NULL, OPTION_MAX_SANDBOXES},
    {"max-processes", required_argument, NULL, OPTION_MAX_PROCESSES},
    {"max-open-files", required_argument, NULL, OPTION_MAX_OPEN_FILES},
    {"max-written", required_argument, NULL, OPTION_MAX_WRITTEN},
    {"log-bytes", required_argument, NULL, OPTION_LOG_BYTES},
    {"secrets-dir", required_argument, NULL, OPTION_SECRETS_DIR},
    {"volume-dir", required_argument, NULL, OPTION_VOLUME_DIR},
    {"data-dir", required_argument, NULL, OPTION_DATA_DIR},
    {"state-dir", required_argument, NULL, OPTION_STATE_DIR},
    {"bwrap", required_argument, NULL, OPTION_BWRAP},
    {"ready-fd", required_argument, NULL, OPTION_READY_FD},
    {"life-fd", required_argument, NULL, OPTION_LIFE_FD},
    {"detach", no_argument, NULL, OPTION_DETACH},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

static enum cws_status parse_number(const char *option, const char *text, long least, long most,
                                    long *out, struct cws_error *err)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (end == text || *end || errno || value < least || value > most)
        return cws_error_set(err, CWS_INVALID, "--%s: \"%s\" is not a number from %ld to %ld",
                             option, text, least, most);
    *out = value;
    return CWS_OK;
}

/* A number of bytes, perhaps with a suffix for a power of 1024. */
static enum cws_status parse_size(const char *option, const char *text, uint64_t least,
                                  uint64_t *out, struct cws_error *err)
{
    static const char suffixes[] = "KMGT";
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    const char *suffix = *end ? strchr(suffixes, *end) : NULL;
    unsigned shift = suffix ? 10 * (unsigned)(suffix - suffixes + 1) : 0;
    if (text[0] < '0' || text[0] > '9' || errno || (*end && (!suffix || end[1])) ||
        value > (uint64_t)INT64_MAX >> shift || value << shift < least)
        return cws_error_set(err, CWS_INVALID,
                             "--%s: \"%s\" is not a number of bytes of %lluM or more, perhaps with "
                             "one of the suffixes K, M, G and T",
                             option, text, (unsigned long long)least >> 20);
    *out = (uint64_t)value << shift;
    return CWS_OK;
}

static enum cws_status set_limit(struct cwsd_config *config, int id, const char *text,
                                 struct cws_error *err)
{
    struct cwsd_limits *limits = &config->limits;
    long number = 0;
    if (id == OPTION_MAX_WRITTEN)
        return parse_size("max-written", text, LEAST_MAX_WRITTEN, &limits->written_bytes, err);
    bool files = id == OPTION_MAX_OPEN_FILES;
    if (parse_number(files ? "max-open-files" : "max-processes", text,
                     files ? LEAST_MAX_OPEN_FILES : LEAST_MAX_PROCESSES, LARGEST_LIMIT, &number,
                     err) != CWS_OK)
        return err->status;
    *(files ? &limits->open_files : &limits->processes) = (uint64_t)number;
    return CWS_OK;
}

static enum cws_status add_listen(struct cwsd_config *config, const char *text,
                                  struct cws_error *err)
{
    if (config->listen_count == CWSD_MAX_LISTENERS)
        return cws_error_set(err, CWS_INVALID, "--listen: at most %d addresses",
                             CWSD_MAX_LISTENERS);
    if (cwsd_address_parse(text, &config->listen[config->listen_count], err) != CWS_OK)
        return cws_error_wrap(err, "--listen");
    config->listen_count++;
    return CWS_OK;
}

static enum cws_status set_data_plane(struct cwsd_config *config, const char *text,
                                      struct cws_error *err)
{
    struct cwsd_address *address = &config->data_plane;
    config->data_plane_given = true;
    config->has_data_plane = strcmp(text, "off") != 0;
    if (!config->has_data_plane)
        return CWS_OK;
    if (cwsd_address_parse(text, address, err) != CWS_OK)
        return cws_error_wrap(err, "--data-plane");
    if (address->is_unix || address->is_any)
        return cws_error_set(err, CWS_INVALID,
                             "--data-plane: \"%s\" must be an IP address that clients can connect "
                             "to, with a port, or off",
                             text);
    return CWS_OK;
}

static enum cws_status set_isolation(struct cwsd_config *config, const char *text,
                                     struct cws_error *err)
{
    config->isolation_none = strcmp(text, "none") == 0;
    if (!config->isolation_none && strcmp(text, "auto") != 0)
        return cws_error_set(err, CWS_INVALID, "--isolation: \"%s\" is neither auto nor none",
                             text);
    return CWS_OK;
}

static enum cws_status set_path(const char *option, const char *text, const char **out,
                                struct cws_error *err)
{
    if (text[0] == '\0')
        return cws_error_set(err, CWS_INVALID, "--%s: the path must not be empty", option);
    *out = text;
    return CWS_OK;
}

static enum cws_status set_data_dir(struct cwsd_config *config, const char *text,
                                    struct cws_error *err)
{
    if (text[0] != '/' || strlen(text) > CWSD_MAX_DATA_DIR)
        return cws_error_set(err, CWS_INVALID,
                             "--data-dir: \"%.100s\" is not an absolute path of at most %d bytes",
                             text, CWSD_MAX_DATA_DIR);
    config->data_dir = text;
    return CWS_OK;
}

static enum cws_status set_state_dir(struct cwsd_config *config, const char *text,
                                     struct cws_error *err)
{
    if (text[0] != '/' || strlen(text) >= sizeof(config->state_dir))
        return cws_error_set(err, CWS_INVALID,
                             "--state-dir: \"%s\" is not an absolute path of sensible length",
                             text);
    memcpy(config->state_dir, text, strlen(text) + 1);
    return CWS_OK;
}

static enum cws_status set_fd(const char *option, const char *text, long least, int *out_fd,
                              struct cws_error *err)
{
    long fd = -1;
    if (parse_number(option, text, least, INT_MAX, &fd, err) != CWS_OK)
        return err->status;
    if (fcntl((int)fd, F_GETFD) < 0)
        return cws_error_set(err, CWS_INVALID, "--%s: %ld is not an open descriptor", option, fd);
    *out_fd = (int)fd;
    return CWS_OK;
}

static enum cws_status take_option(struct cwsd_config *config, int id, const char *value,
                                   struct cws_error *err)
{
    long number = 0;
    switch (id) {
    case OPTION_LISTEN:
        return add_listen(config, value, err);
    case OPTION_TOKEN_FILE:
        return set_path("token-file", value, &config->token_file, err);
    case OPTION_TLS_CERT:
        return set_path("tls-cert", value, &config->tls_cert, err);
    case OPTION_TLS_KEY:
        return set_path("tls-key", value, &config->tls_key, err);
    case OPTION_DATA_PLANE:
        return set_data_plane(config, value, err);
    case OPTION_ISOLATION:
        return set_isolation(config, value, err);
    case OPTION_EGRESS:
        return cwsd_egress_way_parse(value, &config->egress, err);
    case OPTION_MAX_SANDBOXES:
        if (parse_number("max-sandboxes", value, 1, LARGEST_MAX_SANDBOXES, &number, err) != CWS_OK)
            return err->status;
        config->max_sandboxes = (size_t)number;
        return CWS_OK;
    case OPTION_MAX_PROCESSES:
    case OPTION_MAX_OPEN_FILES:
    case OPTION_MAX_WRITTEN:
        return set_limit(config, id, value, err);
    case OPTION_LOG_BYTES:
        return parse_size("log-bytes", value, LEAST_LOG_BYTES, &config->log_bytes, err);
    case OPTION_SECRETS_DIR:
        return set_path("secrets-dir", value, &config->secrets_dir, err);
    case OPTION_VOLUME_DIR:
        return set_path("volume-dir", value, &config->volume_dir, err);
    case OPTION_DATA_DIR:
        return set_data_dir(config, value, err);
    case OPTION_STATE_DIR:
        return set_state_dir(config, value, err);
    case OPTION_BWRAP:
        return set_path("bwrap", value, &config->bwrap, err);
    case OPTION_READY_FD:
        return set_fd("ready-fd", value, 1, &config->ready_fd, err);
    case OPTION_LIFE_FD:
        return set_fd("life-fd", value, 0, &config->life_fd, err);
    case OPTION_DETACH:
        config->detach = true;
        return CWS_OK;
    case OPTION_HELP:
        config->action = CWSD_ACTION_HELP;
        return CWS_OK;
    default:
        config->action = CWSD_ACTION_VERSION;
        return CWS_OK;
    }
}

/* ---- defaults and rules between options ----------------------------------------------------- */

/* Where this user's daemons live: "/run/cwsandboxd", "$XDG_RUNTIME_DIR/cwsandboxd",
 * "/tmp/cwsandboxd-1000". */
static int runtime_path(const struct cwsd_surroundings *surroundings, char *into, size_t size)
{
    if (surroundings->uid == 0)
        return snprintf(into, size, "/run/cwsandboxd");
    if (surroundings->runtime_dir && surroundings->runtime_dir[0] == '/')
        return snprintf(into, size, "%s/cwsandboxd", surroundings->runtime_dir);
    return snprintf(into, size, "/tmp/cwsandboxd-%lu", (unsigned long)surroundings->uid);
}

static bool uses_runtime_dir(const struct cwsd_surroundings *surroundings)
{
    return surroundings->uid != 0 && surroundings->runtime_dir &&
           surroundings->runtime_dir[0] == '/';
}

static enum cws_status fill_defaults(struct cwsd_config *config,
                                     const struct cwsd_surroundings *surroundings,
                                     struct cws_error *err)
{
    char base[3000], text[3100];
    if (runtime_path(surroundings, base, sizeof(base)) >= (int)sizeof(base))
        return cws_error_set(err, CWS_INVALID, "XDG_RUNTIME_DIR is too long");
    if (config->state_dir[0] == '\0')
        snprintf(config->state_dir, sizeof(config->state_dir), "%s/state", base);
    if (config->listen_count)
        return CWS_OK;
    if (uses_runtime_dir(surroundings)) /* the directory is this user's own already */
        snprintf(text, sizeof(text), "unix://%s.sock", base);
    else
        snprintf(text, sizeof(text), "unix://%s/cwsandboxd.sock", base);
    return add_listen(config, text, err);
}

/* Where it costs nobody anything: a loopback port beside loopback ports. */
static void choose_data_plane(struct cwsd_config *config)
{
    const struct cwsd_address *first = NULL;
    if (config->data_plane_given)
        return;
    for (size_t i = 0; i < config->listen_count; i++) {
        const struct cwsd_address *address = &config->listen[i];
        if (!address->is_loopback)
            return;
        if (!first && !address->is_unix)
            first = address;
    }
    if (!first)
        return;
    config->has_data_plane = true;
    config->data_plane = *first;
    config->data_plane.port = 0;
}

static enum cws_status check(const struct cwsd_config *config, struct cws_error *err)
{
    bool tls = config->tls_cert != NULL;
    bool tcp = false;
    char url[CWSD_ADDRESS_URL_SIZE];
    if (config->egress && config->isolation_none)
        return cws_error_set(err, CWS_INVALID,
                             "--egress: needs isolation; with --isolation none commands have the "
                             "network of this host");
    if (tls != (config->tls_key != NULL))
        return cws_error_set(err, CWS_INVALID,
                             "--tls-cert and --tls-key are needed together; --tls-%s is missing",
                             tls ? "key" : "cert");
    for (size_t i = 0; i < config->listen_count; i++) {
        const struct cwsd_address *address = &config->listen[i];
        cwsd_address_url(address, tls, url);
        tcp = tcp || !address->is_unix;
        if (!address->is_unix && !config->token_file)
            return cws_error_set(err, CWS_INVALID,
                                 "--listen %s: a TCP address needs a token; give --token-file",
                                 url);
        if (!address->is_loopback && !tls)
            return cws_error_set(
                err, CWS_INVALID,
                "--listen %s: not a loopback address; give --tls-cert and --tls-key, so that "
                "the token does not travel in the clear",
                url);
    }
    if (tls && !tcp)
        return cws_error_set(err, CWS_INVALID,
                             "--tls-cert: TLS is for TCP; give a TCP address with --listen");
    return CWS_OK;
}

static enum cws_status describe_bad_option(char **argv, int at, int result, struct cws_error *err)
{
    const char *text = argv[at > 0 ? at : 0];
    if (optopt > 0 && optopt < OPTION_LISTEN)
        return cws_error_set(err, CWS_INVALID, "\"-%c\" is not an option", optopt);
    if (result == ':')
        return cws_error_set(err, CWS_INVALID, "%s: needs a value", text);
    return cws_error_set(err, CWS_INVALID,
                         "\"%s\" is not an option, or has a value it does not take", text);
}

enum cws_status cwsd_config_parse(int argc, char **argv,
                                  const struct cwsd_surroundings *surroundings,
                                  struct cwsd_config *out_config, struct cws_error *err)
{
    int id;
    memset(out_config, 0, sizeof(*out_config));
    out_config->max_sandboxes = DEFAULT_MAX_SANDBOXES;
    out_config->log_bytes = DEFAULT_LOG_BYTES;
    out_config->ready_fd = -1;
    out_config->life_fd = -1;
    opterr = 0;
    optind = 0; /* glibc: start afresh */
    while ((id = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
        if (id < OPTION_LISTEN)
            return describe_bad_option(argv, optind - 1, id, err);
        if (take_option(out_config, id, optarg, err) != CWS_OK)
            return err->status;
        if (out_config->action != CWSD_ACTION_SERVE)
            return CWS_OK;
    }
    if (optind < argc)
        return cws_error_set(err, CWS_INVALID, "\"%s\" is not an option", argv[optind]);
    if (fill_defaults(out_config, surroundings, err) != CWS_OK)
        return err->status;
    choose_data_plane(out_config);
    return check(out_config, err);
}
