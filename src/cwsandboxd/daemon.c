#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box/probe.h"
#include "config/authority.h"
#include "config/pem.h"
#include "config/private.h"
#include "config/token.h"
#include "data_plane.h"
#include "host/data_dir.h"
#include "host/dir.h"
#include "host/lifeline.h"
#include "host/state.h"
#include "io/listen.h"
#include "sandboxes/pool.h"
#include "service/methods.h"
#include "store/schema.h"
#include "store/secrets.h"
#include "values/bounds.h"

/* The grace period of the sandboxes after the first signal; after the second there is none. */
#define STOP_GRACE_MS 5000
/* A sandbox that does not end even when killed must not keep the daemon running for ever. */
#define GIVE_UP_NS (10 * CWS_NS_PER_S)

static const int stop_signals[] = {SIGTERM, SIGINT, SIGHUP};

struct daemon {
    const struct cwsd_config *config;
    struct cwsd_state state;
    struct cwsd_data_dir data_dir;
    struct cwsd_database *database;
    struct cwsd_archives *archives;
    struct cwsd_host *host;
    struct cwsd_claims claims;
    struct cwsd_egress *egress;
    struct cws_loop *loop;
    struct cwsd_pool *pool;
    struct cwsd_service service;
    struct cwsd_methods methods;
    struct cws_server *server;
    struct cws_tls_config *tls;
    struct cwsd_authority authority;
    struct cws_tls_config *endpoint_tls;
    struct cws_listener *listeners[CWSD_MAX_LISTENERS];
    struct cwsd_data_plane data_plane;
    struct cwsd_dir socket_dirs[CWSD_MAX_LISTENERS];
    struct cwsd_lifeline lifeline;
    uv_signal_t signals[CWS_ARRAY_LEN(stop_signals)];
    struct cws_timer give_up;
    uv_work_t first_work;
    char runner_id[HOST_NAME_MAX + sizeof("local-")];
    char token[CWSD_TOKEN_SIZE];
    char log_dir[PATH_MAX];
    char addresses[CWSD_MAX_LISTENERS * CWSD_ADDRESS_URL_SIZE];
    unsigned stops; /* how often it was told to end */
    bool abandoned; /* sandboxes were left that would not go */
};

static void complain(const char *fmt, ...) CWS_PRINTF(1, 2);

static void complain(const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    fprintf(stderr, "cwsandboxd: %s\n", text);
}

/* ---- the end -------------------------------------------------------------------------------- */

static void stop_listening(struct daemon *daemon)
{
    for (size_t i = 0; i < daemon->config->listen_count; i++) {
        cws_listener_free(daemon->listeners[i]);
        daemon->listeners[i] = NULL;
    }
    cwsd_data_plane_stop(&daemon->data_plane);
}

static void on_give_up(struct cws_timer *timer)
{
    struct daemon *daemon = cws_container_of(timer, struct daemon, give_up);
    daemon->abandoned = true;
    complain("%zu sandboxes could not be ended; leaving them to the kernel",
             cwsd_pool_registry(daemon->pool)->live);
    cws_loop_stop(daemon->loop);
}

static void on_empty(void *ctx)
{
    struct daemon *daemon = ctx;
    cws_loop_stop(daemon->loop);
}

static void on_egress_lost(void *ctx, const char *id, const char *why)
{
    (void)ctx;
    complain("sandbox %s has lost its way to other networks: %s", id, why);
}

static void stop(struct daemon *daemon, uint64_t grace_ms)
{
    daemon->stops++;
    stop_listening(daemon);
    cwsd_pool_drain(daemon->pool, grace_ms);
    uint64_t due_ns = cws_clock_now_ns() + grace_ms * CWS_NS_PER_MS + GIVE_UP_NS;
    if (cwsd_pool_registry(daemon->pool)->live == 0 ||
        cws_timer_set(daemon->loop, &daemon->give_up, due_ns) != CWS_OK)
        cws_loop_stop(daemon->loop);
}

static void on_asked(struct daemon *daemon)
{
    stop(daemon, daemon->stops == 0 ? STOP_GRACE_MS : 0);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    on_asked(handle->data);
}

static void on_lifeline_asked(struct cwsd_lifeline *lifeline)
{
    on_asked(cws_container_of(lifeline, struct daemon, lifeline));
}

static void on_lifeline_lost(struct cwsd_lifeline *lifeline)
{
    /* Nobody is left to wait for the sandboxes. */
    stop(cws_container_of(lifeline, struct daemon, lifeline), 0);
}

/* ---- the beginning -------------------------------------------------------------------------- */

/* For this thread, and those that are started meanwhile. `out_before` may be NULL. */
static void block_stop_signals(sigset_t *out_before)
{
    sigset_t blocked;
    sigemptyset(&blocked);
    for (size_t i = 0; i < CWS_ARRAY_LEN(stop_signals); i++)
        sigaddset(&blocked, stop_signals[i]);
    pthread_sigmask(SIG_BLOCK, &blocked, out_before);
}

/* Whoever started the daemon may have signals blocked or ignored; ignored children could not be
 * waited for. */
static void reset_signals(void)
{
    sigset_t none;
    struct sigaction action;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < NSIG; number++)
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            signal(number, SIG_DFL);
}

static void prepare_process(void)
{
    struct rlimit files;
    umask(077);
    reset_signals();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a log that reaches a limit is an error of writing it */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static enum cws_status open_host(struct daemon *daemon, struct cws_error *err)
{
    const struct cwsd_host_options options = {
        .allow_none = daemon->config->isolation_none,
        .bwrap = daemon->config->bwrap,
        .state_dir = daemon->state.path,
        .limits = daemon->config->limits,
    };
    return cwsd_probe_host(&options, &daemon->host, err);
}

/* In memory without --data-dir. */
static enum cws_status open_database(struct daemon *daemon, struct cws_error *err)
{
    const char *path = daemon->config->data_dir;
    if (path && cwsd_data_dir_open(path, &daemon->data_dir, err) != CWS_OK)
        return err->status;
    return cwsd_database_open(daemon->data_dir.path, &cwsd_schema, &daemon->database, err);
}

static enum cws_status open_claims(struct daemon *daemon, struct cws_error *err)
{
    const char *path = daemon->config->volume_dir;
    if (path && cwsd_claims_open(&daemon->claims, path, daemon->host, daemon->database, err))
        return cws_error_wrap(err, "--volume-dir");
    return CWS_OK;
}

static void run_nothing(uv_work_t *work)
{
    (void)work;
}

static void on_nothing(uv_work_t *work, int status)
{
    (void)status;
    cws_loop_release(cws_container_of(work, struct daemon, first_work)->loop);
}

/* libuv starts the threads that write logs with the first work for them, and aborts the process if
 * it cannot. Later, when this user may have too many processes, that would end all sandboxes. They
 * take no signals that end the daemon. */
static void start_threads(struct daemon *daemon)
{
    sigset_t before;
    block_stop_signals(&before);
    int rc = uv_queue_work(cws_loop_uv(daemon->loop), &daemon->first_work, run_nothing, on_nothing);
    assert(rc == 0);
    (void)rc;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    cws_loop_hold(daemon->loop);
}

static enum cws_status open_authority(struct daemon *daemon, struct cws_error *err)
{
    const struct cws_tls_options options = {.http1 = true};
    const char *dir = daemon->config->data_dir ? daemon->data_dir.path : daemon->state.path;
    if (cwsd_authority_open(dir, &daemon->authority, err) != CWS_OK)
        return err->status;
    return cwsd_pem_issue_server(daemon->authority.ca, CWSD_ENDPOINT_HOST, &options,
                                 &daemon->endpoint_tls, err);
}

/* Snapshots live as long as their records. */
static enum cws_status open_archives(struct daemon *daemon, struct cws_error *err)
{
    char folder[PATH_MAX];
    const char *base = daemon->data_dir.path ? daemon->data_dir.path : daemon->state.path;
    snprintf(folder, sizeof(folder), "%.*s/snapshots", PATH_MAX - 20, base);
    const struct cwsd_archives_options options = {
        .loop = daemon->loop, .database = daemon->database, .folder = folder};
    return cwsd_archives_open(&options, &daemon->archives, err);
}

/* Logs live as long as their records. */
static enum cws_status open_logs(struct daemon *daemon, struct cws_error *err)
{
    snprintf(daemon->log_dir, sizeof(daemon->log_dir), "%.*s%s", PATH_MAX - 20,
             daemon->data_dir.path ? daemon->data_dir.path : daemon->state.path,
             daemon->data_dir.path ? "/logs" : "");
    int fd = -1;
    if (daemon->data_dir.path && cwsd_private_open(daemon->log_dir, &fd, err) != CWS_OK)
        return err->status;
    if (fd >= 0)
        close(fd);
    return CWS_OK;
}

static enum cws_status open_service(struct daemon *daemon, struct cws_error *err)
{
    strcpy(daemon->runner_id, "local-");
    if (gethostname(daemon->runner_id + strlen("local-"), HOST_NAME_MAX) < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "this host has no name");
    const struct cwsd_pool_options options = {
        .loop = daemon->loop,
        .host = daemon->host,
        .runner_id = daemon->runner_id,
        .max_sandboxes = daemon->config->max_sandboxes,
        .log_dir = daemon->log_dir,
        .log_bytes = daemon->config->log_bytes,
        .endpoint_tls = daemon->endpoint_tls,
        .secrets_dir = daemon->config->secrets_dir,
        .claims = daemon->config->volume_dir ? &daemon->claims : NULL,
        .egress = daemon->egress,
        .database = daemon->data_dir.path ? daemon->database : NULL,
        .archives = daemon->archives,
        .on_empty = on_empty,
        .on_egress_lost = on_egress_lost,
        .ctx = daemon,
    };
    if (cwsd_pool_new(&options, &daemon->pool, err) != CWS_OK)
        return err->status;
    if (cwsd_methods_init(&daemon->methods) != CWS_OK)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory");
    daemon->service = (struct cwsd_service){
        .pool = daemon->pool,
        .database = daemon->database,
        .claims = daemon->config->volume_dir ? &daemon->claims : NULL,
        .token = daemon->config->token_file ? daemon->token : NULL,
    };
    clock_gettime(CLOCK_REALTIME, &daemon->service.started);
    cws_allowance_init(&daemon->service.unsent_files, daemon->loop, CWSD_MAX_UNSENT_FILE_BYTES,
                       CWSD_STREAM_HIGH_WATER, CWSD_FILE_PATIENCE_MS * CWS_NS_PER_MS);
    const struct cws_server_options server = {
        .methods = daemon->methods.entries,
        .method_count = daemon->methods.count,
        .admit = daemon->service.token ? cwsd_service_admit : NULL,
        .ctx = &daemon->service,
    };
    daemon->server = cws_server_new(daemon->loop, &server);
    return daemon->server ? CWS_OK : cws_error_set(err, CWS_NO_MEMORY, "out of memory");
}

static enum cws_status load_token(struct daemon *daemon, struct cws_error *err)
{
    bool made;
    if (!daemon->config->token_file)
        return CWS_OK;
    if (cwsd_token_load(daemon->config->token_file, daemon->token, &made, err) != CWS_OK)
        return err->status;
    if (made)
        printf("cwsandboxd: made a new token in %s\n", daemon->config->token_file);
    return CWS_OK;
}

static bool is_below(const char *path, const char *folder)
{
    char real_path[PATH_MAX], real_folder[PATH_MAX];
    path = realpath(path, real_path) ? real_path : path; /* it may not be there yet */
    folder = realpath(folder, real_folder) ? real_folder : folder;
    size_t len = strlen(folder);
    return strncmp(path, folder, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* What is to outlive the daemon cannot lie in the directory that goes with it. */
static enum cws_status check_places(const struct daemon *daemon, struct cws_error *err)
{
    const struct cwsd_config *config = daemon->config;
    const struct {
        const char *option, *path;
    } kept[] = {
        {"--data-dir", config->data_dir},
        {"--volume-dir", config->volume_dir},
        {"--secrets-dir", config->secrets_dir},
        {"--token-file", config->token_file},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(kept); i++)
        if (kept[i].path && is_below(kept[i].path, daemon->state.path))
            return cws_error_set(err, CWS_INVALID,
                                 "%s must not lie in %s, which is removed when the daemon ends",
                                 kept[i].option, daemon->state.path);
    return CWS_OK;
}

static enum cws_status check_secrets(const struct cwsd_config *config, struct cws_error *err)
{
    if (config->secrets_dir && cwsd_secrets_check(config->secrets_dir, err) != CWS_OK)
        return cws_error_wrap(err, "--secrets-dir");
    return CWS_OK;
}

/* A socket's directory is made if it is missing. */
static enum cws_status make_socket_dir(const char *socket_path, struct cwsd_dir *out_dir,
                                       struct cws_error *err)
{
    char path[sizeof(((struct cwsd_address *)0)->path)];
    memcpy(path, socket_path, sizeof(path));
    *strrchr(path, '/') = '\0';
    if (path[0] && cwsd_dir_make(path, out_dir, err) != CWS_OK)
        return err->status;
    return cwsd_dir_check_parent(socket_path, err);
}

static enum cws_status listen_at(struct daemon *daemon, size_t i, struct cws_error *err)
{
    struct cwsd_address address = daemon->config->listen[i];
    char url[CWSD_ADDRESS_URL_SIZE];
    struct cws_listen_options options = {0};
    if (address.is_unix) {
        options.unix_path = address.path;
        if (make_socket_dir(address.path, &daemon->socket_dirs[i], err) != CWS_OK)
            return err->status;
    } else {
        options.host = address.host;
        options.port = address.port;
        options.tls = daemon->tls;
    }
    if (cws_listener_new(daemon->loop, &options, cws_server_accept, daemon->server,
                         &daemon->listeners[i], err) != CWS_OK)
        return err->status;
    if (!address.is_unix)
        address.port = cws_listener_port(daemon->listeners[i]);
    cwsd_address_url(&address, options.tls != NULL, url);
    size_t used = strlen(daemon->addresses);
    snprintf(daemon->addresses + used, sizeof(daemon->addresses) - used, "%s%s", used ? " " : "",
             url);
    return CWS_OK;
}

static enum cws_status start_listening(struct daemon *daemon, struct cws_error *err)
{
    const struct cwsd_config *config = daemon->config;
    if (config->tls_cert &&
        cwsd_pem_load_server(config->tls_cert, config->tls_key, &daemon->tls, err) != CWS_OK)
        return err->status;
    for (size_t i = 0; i < config->listen_count; i++)
        if (listen_at(daemon, i, err) != CWS_OK)
            return err->status;
    if (config->has_data_plane &&
        cwsd_data_plane_open(&daemon->data_plane, daemon->loop, &daemon->service,
                             &config->data_plane, err) != CWS_OK)
        return err->status;
    return CWS_OK;
}

static enum cws_status watch_signals(struct daemon *daemon, struct cws_error *err)
{
    for (size_t i = 0; i < CWS_ARRAY_LEN(stop_signals); i++) {
        uv_signal_init(cws_loop_uv(daemon->loop), &daemon->signals[i]);
        daemon->signals[i].data = daemon;
        int rc = uv_signal_start(&daemon->signals[i], on_signal, stop_signals[i]);
        if (rc < 0)
            return cws_error_set_uv(err, CWS_SYSTEM, rc, "signals");
    }
    return CWS_OK;
}

static enum cws_status say_ready(struct daemon *daemon, struct cws_error *err)
{
    char line[sizeof(daemon->addresses) + 16];
    int fd = daemon->config->ready_fd;
    const char *endpoint = daemon->data_plane.direct.endpoint;
    printf("cwsandboxd %s listening on %s%s%s; isolation: %s\n", CWSD_VERSION, daemon->addresses,
           endpoint[0] ? "; data plane: " : "", endpoint, cwsd_host_describe(daemon->host));
    printf("cwsandboxd: HTTPS endpoints have certificates of the authority in %s\n",
           daemon->authority.cert_path);
    fflush(stdout);
    if (fd < 0)
        return CWS_OK;
    int len = snprintf(line, sizeof(line), "ready %s\n", daemon->addresses);
    if (write(fd, line, (size_t)len) != len)
        return cws_error_set_errno(err, CWS_SYSTEM, errno,
                                   "--ready-fd: cannot write to descriptor %d", fd);
    if (fd > STDERR_FILENO)
        close(fd); /* who waits for more sees the end of it */
    return CWS_OK;
}

static enum cws_status open_lifeline(struct daemon *daemon, struct cws_error *err)
{
    int fd = daemon->config->life_fd;
    daemon->lifeline.asked = on_lifeline_asked;
    daemon->lifeline.lost = on_lifeline_lost;
    if (fd >= 0 && cwsd_lifeline_open(&daemon->lifeline, daemon->loop, fd, err) != CWS_OK)
        return cws_error_wrap(err, "--life-fd: descriptor %d", fd);
    return CWS_OK;
}

static enum cwsd_exit open_all(struct daemon *daemon)
{
    const struct cwsd_config *config = daemon->config;
    struct cws_error err;
    cws_timer_init(&daemon->give_up, on_give_up);
    /* Not for what is started here. */
    if (config->ready_fd > STDERR_FILENO)
        fcntl(config->ready_fd, F_SETFD, FD_CLOEXEC);
    if (config->life_fd > STDERR_FILENO)
        fcntl(config->life_fd, F_SETFD, FD_CLOEXEC);
    if (cws_loop_new(&daemon->loop, &err) != CWS_OK || open_lifeline(daemon, &err) != CWS_OK)
        goto failed;
    if (cwsd_state_open(config->state_dir, &daemon->state, &err) != CWS_OK ||
        check_places(daemon, &err) != CWS_OK || load_token(daemon, &err) != CWS_OK ||
        check_secrets(config, &err) != CWS_OK)
        goto failed;
    if (open_database(daemon, &err) != CWS_OK)
        goto failed;
    if (open_host(daemon, &err) != CWS_OK) {
        complain("no isolation is possible here, and so nothing is run: %s", err.text);
        return CWSD_EXIT_ISOLATION;
    }
    if (open_claims(daemon, &err) != CWS_OK)
        goto failed;
    if (cwsd_egress_open(config->egress, daemon->loop, cwsd_host_init_path(daemon->host),
                         &daemon->egress, &err) != CWS_OK) {
        complain("--egress %s is not possible here: %s", cwsd_egress_way_name(config->egress),
                 err.text);
        return CWSD_EXIT_ISOLATION;
    }
    start_threads(daemon);
    if (open_authority(daemon, &err) != CWS_OK || open_archives(daemon, &err) != CWS_OK ||
        open_logs(daemon, &err) != CWS_OK || open_service(daemon, &err) != CWS_OK ||
        watch_signals(daemon, &err) != CWS_OK || start_listening(daemon, &err) != CWS_OK ||
        say_ready(daemon, &err) != CWS_OK)
        goto failed;
    return CWSD_EXIT_OK;
failed:
    complain("%s", err.text);
    return CWSD_EXIT_FAILED;
}

static void close_all(struct daemon *daemon)
{
    if (daemon->loop) {
        stop_listening(daemon);
        cws_server_free(daemon->server);
        cwsd_data_plane_close(&daemon->data_plane);
        if (daemon->pool && !cwsd_pool_flush(daemon->pool))
            complain("how some sandboxes have ended cannot be written to %s: the next daemon finds "
                     "them as they were before",
                     daemon->data_dir.path);
        cwsd_pool_free(daemon->pool);
        cwsd_egress_leave(daemon->egress);
        cwsd_archives_close(daemon->archives);
        cws_timer_cancel(daemon->loop, &daemon->give_up);
        cwsd_lifeline_release(&daemon->lifeline);
    }
    cws_loop_free(daemon->loop);
    cws_tls_config_unref(daemon->tls);
    cws_tls_config_unref(daemon->endpoint_tls);
    cwsd_authority_close(&daemon->authority);
    cwsd_methods_done(&daemon->methods);
    cwsd_claims_close(&daemon->claims);
    cwsd_egress_close(daemon->egress);
    cwsd_host_free(daemon->host);
    cwsd_database_close(daemon->database);
    cwsd_data_dir_close(&daemon->data_dir);
    cwsd_state_close(&daemon->state);
    for (size_t i = 0; i < CWSD_MAX_LISTENERS; i++)
        cwsd_dir_remove(&daemon->socket_dirs[i]);
}

enum cwsd_exit cwsd_daemon_run(const struct cwsd_config *config)
{
    struct daemon daemon = {.config = config, .lifeline.watch.fd = -1, .claims.dir = -1};
    prepare_process();
    enum cwsd_exit result = open_all(&daemon);
    if (result == CWSD_EXIT_OK) {
        cws_loop_run(daemon.loop);
        /* The loop's handlers are gone, and the clean-up is still to come. */
        block_stop_signals(NULL);
    }
    if (daemon.abandoned)
        return CWSD_EXIT_FAILED; /* they still hold on to the rest: the next start cleans up */
    close_all(&daemon);
    return result;
}
