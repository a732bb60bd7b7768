#include "host/egress_names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cwsandbox-egress/protocol.h"

_Static_assert(CWSE_TLS == STDIN_FILENO && CWSE_DNS == STDOUT_FILENO, "as they are given here");

#define FIXED_WORDS 4

struct cwsd_egress_names {
    struct cwsd_child child;
    struct cws_loop *loop;
    bool ended, stopped;
};

/* Once both its program and its owner are done with it. */
static void release(struct cwsd_egress_names *names)
{
    struct cws_loop *loop = names->loop;
    if (!names->ended || !names->stopped)
        return;
    cws_free(names);
    cws_loop_release(loop);
}

static void on_end(struct cwsd_child *child, int wait_status)
{
    struct cwsd_egress_names *names = cws_container_of(child, struct cwsd_egress_names, child);
    (void)wait_status;
    names->ended = true;
    release(names);
}

static enum cws_status spawn(struct cwsd_egress_names *names, char *const argv[],
                             const struct cwsd_egress_names_options *options, struct cws_error *err)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "descriptors for %s", argv[0]);
    const struct cwsd_spawn_options spawn = {.argv = argv,
                                             .stdin_fd = options->diverted,
                                             .stdout_fd = options->names_fd,
                                             .stderr_fd = null,
                                             .socket_fd = null, /* it has no use for one */
                                             .program_fd = -1};
    enum cws_status status = cwsd_child_spawn(options->loop, &names->child, &spawn, on_end, err);
    close(null);
    return status;
}

enum cws_status cwsd_egress_names_start(const struct cwsd_egress_names_options *options,
                                        struct cwsd_egress_names **out_names, struct cws_error *err)
{
    char parent[16], user[16];
    struct cwsd_egress_names *names = cws_calloc(1, sizeof(*names));
    char **argv = cws_calloc(FIXED_WORDS + options->name_count + 1, sizeof(*argv));
    enum cws_status status = CWS_NO_MEMORY;
    if (!names || !argv) {
        cws_error_set(err, CWS_NO_MEMORY, "out of memory for a sandbox");
        goto done;
    }
    snprintf(parent, sizeof(parent), "%d", (int)getpid());
    snprintf(user, sizeof(user), "%u", (unsigned)options->user);
    argv[0] = (char *)options->program;
    argv[1] = parent;
    argv[2] = user;
    argv[3] = (char *)(options->all ? "all" : "granted");
    for (size_t i = 0; i < options->name_count; i++)
        argv[FIXED_WORDS + i] = options->names[i];
    names->loop = options->loop;
    status = spawn(names, argv, options, err);
done:
    cws_free(argv);
    if (status != CWS_OK) {
        cws_free(names);
        return status;
    }
    cws_loop_hold(options->loop);
    *out_names = names;
    return CWS_OK;
}

void cwsd_egress_names_stop(struct cwsd_egress_names *names)
{
    if (!names)
        return;
    names->stopped = true;
    cwsd_child_kill_all(&names->child);
    release(names);
}
