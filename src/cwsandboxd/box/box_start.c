/* From the options of a box to a child that becomes it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "box/box_private.h"
#include "box/environment.h"
#include "box/host_private.h"
#include "box/room_private.h"

/* As long as the kernel takes. */
#define MAX_HOSTNAME 63

/* A host name out of an id: what the kernel and programs take in one. */
static void make_hostname(const char *id, char hostname[MAX_HOSTNAME + 1])
{
    size_t len = 0;
    for (; *id && len < MAX_HOSTNAME; id++) {
        bool plain =
            (*id >= 'a' && *id <= 'z') || (*id >= 'A' && *id <= 'Z') || (*id >= '0' && *id <= '9');
        if (plain || (*id == '-' && len > 0))
            hostname[len++] = *id;
    }
    hostname[len] = '\0';
    if (len == 0)
        memcpy(hostname, "sandbox", sizeof("sandbox"));
}

static enum cws_status copy_options(struct cwsd_box *box, const struct cwsd_box_options *options,
                                    const char *hostname)
{
    char **merged;
    size_t count;
    struct cwsd_string_list standard = {0};
    enum cws_status status =
        cwsd_string_list_reserve(&standard, box->host->layout.environment.count + 1);
    for (size_t i = 0; status == CWS_OK && i < box->host->layout.environment.count; i++)
        status = cwsd_string_list_add(&standard, box->host->layout.environment.items[i]);
    if (status == CWS_OK)
        status = cwsd_string_list_add_pair(&standard, "HOSTNAME", hostname);
    if (status == CWS_OK)
        status = cwsd_environment_merge(&standard, &options->environment, &merged, &count);
    if (status == CWS_OK) {
        status = cwsd_string_list_reserve(&box->environment, count);
        for (size_t i = 0; status == CWS_OK && i < count; i++)
            status = cwsd_string_list_add(&box->environment, merged[i]);
        cws_free(merged);
    }
    cwsd_string_list_done(&standard);
    box->id = cws_strdup(options->id);
    box->working_dir = cws_strdup(options->working_dir ? options->working_dir : "/");
    return box->id && box->working_dir ? status : CWS_NO_MEMORY;
}

static enum cws_status make_setup(struct cwsd_box *box, const struct cwsd_box_options *options,
                                  const char *hostname, struct cws_error *err)
{
    const struct cwsd_layout *layout = &box->host->layout;
    if (!box->user)
        box->setup.packet.flags |= CWSI_RAISE_OOM;
    if (box->host->isolation == CWSD_ISOLATION_NONE) {
        if (options->file_count)
            return cws_error_set(err, CWS_INVALID,
                                 "%s: files cannot be mounted with --isolation=none",
                                 options->files[0].path);
        if (options->volume_count || options->folder_count)
            return cws_error_set(err, CWS_INVALID, "%s: " CWSD_NO_VOLUMES,
                                 options->volume_count ? options->volumes[0].name
                                                       : options->folders[0].name);
        return cwsd_request_set_scripts(&box->setup, NULL, 0, err);
    }
    struct cwsd_script own, part;
    unsigned parts = box->room ? box->room->boxes : 1;
    if (cwsd_volumes_init(box, options, cwsd_host_volume_bytes(box->host), err) != CWS_OK)
        return err->status;
    cwsd_script_init(&own);
    cwsd_script_init(&part);
    if (box->room)
        cwsd_layout_add_after(&part, &layout->options, parts);
    cwsd_layout_add_identity(&own, hostname, &options->host_names);
    if (box->room && box->room->link)
        cwsd_layout_add_name_server(&own);
    cwsd_volumes_add_steps(box, options, &own);
    for (size_t i = 0; i < options->file_count; i++)
        cwsd_script_file(&own, CWSI_STEP_MOUNT_FILE, options->files[i].path, options->files[i].mode,
                         options->files[i].data, options->files[i].len);
    if (options->working_dir)
        cwsd_script_add(&own, CWSI_STEP_ENSURE_DIR, 0, options->working_dir, NULL);
    const struct cwsd_script *scripts[] = {&layout->before, &own,
                                           box->room ? &part : &layout->after};
    enum cws_status status =
        cwsd_request_set_scripts(&box->setup, scripts, CWS_ARRAY_LEN(scripts), err);
    box->setup.packet.flags |= CWSI_CONTAINER;
    cwsd_script_done(&own);
    cwsd_script_done(&part);
    return status;
}

static enum cws_status add_output(struct cwsd_box *box, int fd, struct cws_error *err)
{
    static const uint32_t flags[] = {CWSI_STDOUT, CWSI_STDERR};
    /* So that the command can open it by name too: /dev/stdout. */
    if (box->user && fchown(fd, box->user, box->user) < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "giving the main command its pipe");
    for (size_t i = 0; i < CWS_ARRAY_LEN(flags); i++) {
        int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (own < 0)
            return cws_error_set_errno(err, CWS_SYSTEM, errno, "descriptors for the main command");
        cwsd_request_add_fd(&box->main, flags[i], own);
    }
    return CWS_OK;
}

static enum cws_status make_main(struct cwsd_box *box, const struct cwsd_box_options *options,
                                 struct cws_error *err)
{
    if (options->command.count == 0)
        return cwsd_request_set_idle(&box->main, box->working_dir, err);
    enum cws_status status = cwsd_request_set_command(&box->main, &options->command,
                                                      &box->environment, box->working_dir, err);
    if (status == CWS_OK && options->output_fd)
        status = add_output(box, options->output_fd, err);
    return status;
}

/* The words before bubblewrap's, by which the init's program starts it (become.c there). */
struct prefix {
    char *words[4];
    size_t count;
    char user[16], others[16];
};

static char *network_word(const struct cwsd_box *box, bool makes_network)
{
    if (!makes_network)
        return (char *)"join";
    return (char *)(box->room->link ? "open" : "make");
}

static void make_prefix(const struct cwsd_box *box, bool makes_network, struct prefix *prefix)
{
    prefix->count = 0;
    if (!box->user && !box->room)
        return;
    snprintf(prefix->user, sizeof(prefix->user), "%u", (unsigned)box->user);
    prefix->words[prefix->count++] = box->host->init_path;
    if (box->room)
        prefix->words[prefix->count++] = network_word(box, makes_network);
    if (box->room && makes_network) {
        snprintf(prefix->others, sizeof(prefix->others), "%u", box->room->netns.others);
        prefix->words[prefix->count++] = prefix->others;
    }
    prefix->words[prefix->count++] = prefix->user;
}

/* The whole command line. `prefix` must last as long. NULL when out of memory. */
static char **make_argv(const struct cwsd_box *box, const char *hostname,
                        const struct prefix *prefix)
{
    const struct cwsd_layout *layout = &box->host->layout;
    const struct cwsd_string_list *words = &layout->bwrap_argv;
    char **argv = cws_calloc(prefix->count + words->count + 1, sizeof(*argv));
    if (!argv)
        return NULL;
    size_t at = prefix->count;
    memcpy(argv, prefix->words, prefix->count * sizeof(*argv));
    for (size_t i = 0; i < words->count; i++)
        if (!box->room || i != layout->network_at)
            argv[at++] = i == layout->hostname_at ? (char *)hostname : words->items[i];
    return argv;
}

static enum cws_status spawn(struct cwsd_box *box, const char *hostname, int socket_fd,
                             int stderr_fd, struct cws_error *err)
{
    const struct cwsd_host *host = box->host;
    char *const plain_argv[] = {host->init_path, NULL};
    struct prefix prefix;
    struct cwsd_spawn_options options = {.argv = plain_argv,
                                         .stderr_fd = stderr_fd,
                                         .socket_fd = socket_fd,
                                         .program_fd = host->init_fd};
    char **argv = NULL;
    bool makes_network = false;
    if (host->isolation != CWSD_ISOLATION_NONE) {
        if (box->room)
            options.network_fd = cwsd_netns_next(&box->room->netns, &makes_network);
        if (makes_network && box->room->link)
            options.egress_fd = cwsd_egress_link_end(box->room->link);
        make_prefix(box, makes_network, &prefix);
        argv = make_argv(box, hostname, &prefix);
        if (!argv)
            return cws_error_set(err, CWS_NO_MEMORY, "out of memory for a sandbox");
        options.argv = argv;
    }
    enum cws_status status =
        cwsd_child_spawn(box->loop, &box->child, &options, cwsd_box_note_child_end, err);
    if (status == CWS_OK && options.network_fd)
        cwsd_netns_started(&box->room->netns);
    if (status == CWS_OK && options.egress_fd)
        cwsd_egress_link_started(box->room->link);
    cws_free(argv);
    return status;
}

/* The socket and the pipe, and the child at their other ends. On failure nothing of it is left. */
static enum cws_status connect_child(struct cwsd_box *box, const char *hostname,
                                     struct cws_error *err)
{
    int sockets[2] = {-1, -1};
    int pipes[2] = {-1, -1};
    enum cws_status status = CWS_OK;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0 ||
        pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
        status = cws_error_set_errno(err, CWS_SYSTEM, errno, "descriptors for a sandbox");
    if (status == CWS_OK)
        status = cwsd_line_open(box->loop, &box->line, sockets[0], err);
    if (status == CWS_OK) {
        sockets[0] = -1; /* the line's */
        status = spawn(box, hostname, sockets[1], pipes[1], err);
    }
    if (status == CWS_OK) {
        box->stderr_fd = pipes[0];
        pipes[0] = -1;
    }
    for (int i = 0; i < 2; i++) {
        if (sockets[i] >= 0)
            close(sockets[i]);
        if (pipes[i] >= 0)
            close(pipes[i]);
    }
    return status;
}

/* The init would wait for the mount for ever. */
static void on_give_refused(struct cwsd_request *request, const struct cws_error *err)
{
    struct cwsd_box *box = request->owner;
    cwsd_request_done(request);
    cwsd_box_abandon(box, err);
}

enum cws_status cwsd_box_start(struct cwsd_box *box, const struct cwsd_box_options *options,
                               struct cws_error *err)
{
    char hostname[MAX_HOSTNAME + 1];
    make_hostname(options->id, hostname);
    enum cws_status status = copy_options(box, options, hostname);
    if (status != CWS_OK)
        return cws_error_set(err, status, "out of memory for a sandbox");
    box->room = options->room;
    if (box->room)
        box->user = box->room->user;
    else if (box->host->users && !(box->user = cwsd_users_take(box->host->users)))
        return cws_error_set(err, CWS_SYSTEM, "no user is left for one more sandbox");
    status = make_setup(box, options, hostname, err);
    if (status == CWS_OK)
        status = make_main(box, options, err);
    if (status == CWS_OK)
        status = connect_child(box, hostname, err);
    if (status != CWS_OK)
        return status;
    /* They wait in the socket for the init to come up. */
    cwsd_line_send(&box->line, &box->setup);
    cwsd_volumes_give(box, on_give_refused);
    box->holds_volumes = options->hold_volumes;
    if (!box->holds_volumes)
        cwsd_line_send(&box->line, &box->main);
    return CWS_OK;
}
