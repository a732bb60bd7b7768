#include "host/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cwsandbox-init/protocol.h"

static void on_closed(struct cwsd_watch *watch)
{
    struct cwsd_child *child = cws_container_of(watch, struct cwsd_child, watch);
    child->on_end(child, child->wait_status);
}

/* Before it is reaped: until then the number of its group cannot be another's. */
static void kill_rest(const struct cwsd_child *child)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid)
        kill(-child->group, SIGKILL);
}

static void on_ready(struct cwsd_watch *watch, int events)
{
    struct cwsd_child *child = cws_container_of(watch, struct cwsd_child, watch);
    (void)events;
    if (!child->dismissed)
        kill_rest(child);
    pid_t pid = waitpid(child->pid, &child->wait_status, WNOHANG);
    if (pid == 0 || (pid < 0 && errno == EINTR))
        return;
    if (pid < 0)
        child->wait_status =
            SIGKILL; /* somebody else in this process reaped it: how it ended is lost */
    child->pid = 0;
    cwsd_watch_close(&child->watch, on_closed);
}

static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int rc = posix_spawnattr_setsigmask(attributes, &none);
    if (rc == 0)
        rc = posix_spawnattr_setsigdefault(attributes, &all);
    if (rc == 0)
        rc = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                      POSIX_SPAWN_SETSID);
    return rc;
}

/* The descriptors as they are moved in the child: copies of those that would be in the way of
 * others there, for each must still be there when its turn comes. */
struct given {
    struct cwsd_spawn_options options;
    int copies[7]; /* at most one of each */
    size_t count;
};

static bool lift(struct given *given, int *fd, int none)
{
    if (*fd == none || *fd >= CWSI_FIRST_FREE)
        return true;
    *fd = fcntl(*fd, F_DUPFD_CLOEXEC, CWSI_FIRST_FREE);
    if (*fd < 0)
        return false;
    given->copies[given->count++] = *fd;
    return true;
}

static int lift_all(struct given *given, const struct cwsd_spawn_options *options)
{
    *given = (struct given){.options = *options};
    struct cwsd_spawn_options *own = &given->options;
    bool lifted = lift(given, &own->stdin_fd, 0) && lift(given, &own->stdout_fd, 0) &&
                  lift(given, &own->stderr_fd, -1) && lift(given, &own->socket_fd, -1) &&
                  lift(given, &own->program_fd, -1) && lift(given, &own->network_fd, 0) &&
                  lift(given, &own->egress_fd, 0);
    return lifted ? 0 : errno;
}

static void close_copies(const struct given *given)
{
    for (size_t i = 0; i < given->count; i++)
        close(given->copies[i]);
}

static int set_descriptor(posix_spawn_file_actions_t *actions, int fd, int target)
{
    if (fd)
        return posix_spawn_file_actions_adddup2(actions, fd, target);
    return posix_spawn_file_actions_addopen(actions, target, "/dev/null", O_RDWR, 0);
}

static int set_descriptors(posix_spawn_file_actions_t *actions,
                           const struct cwsd_spawn_options *options)
{
    int rc = posix_spawn_file_actions_adddup2(actions, options->stderr_fd, STDERR_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(actions, options->socket_fd, CWSI_SOCKET);
    if (rc == 0 && options->program_fd >= 0)
        rc = posix_spawn_file_actions_adddup2(actions, options->program_fd, CWSI_PROGRAM);
    if (rc == 0 && options->network_fd)
        rc = posix_spawn_file_actions_adddup2(actions, options->network_fd, CWSI_NETWORK);
    if (rc == 0 && options->egress_fd)
        rc = posix_spawn_file_actions_adddup2(actions, options->egress_fd, CWSI_EGRESS);
    if (rc == 0)
        rc = set_descriptor(actions, options->stdin_fd, STDIN_FILENO);
    if (rc == 0)
        rc = set_descriptor(actions, options->stdout_fd, STDOUT_FILENO);
    return rc;
}

static int start(const struct cwsd_spawn_options *options, pid_t *out_pid)
{
    static char *const no_environment[] = {NULL};
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    int rc = posix_spawnattr_init(&attributes);
    if (rc)
        return rc;
    rc = posix_spawn_file_actions_init(&actions);
    if (rc)
        goto done_attributes;
    rc = set_attributes(&attributes);
    if (rc == 0)
        rc = set_descriptors(&actions, options);
    if (rc == 0)
        rc = posix_spawn(out_pid, options->argv[0], &actions, &attributes, options->argv,
                         no_environment);
    posix_spawn_file_actions_destroy(&actions);
done_attributes:
    posix_spawnattr_destroy(&attributes);
    return rc;
}

/* Kills and reaps all that was started, and comes to us when its parent is gone. bubblewrap's
 * second process would wait for its first for ever. */
static void end_group(pid_t group)
{
    kill(-group, SIGKILL);
    while (waitpid(-group, NULL, 0) > 0 || errno == EINTR)
        ;
}

enum cws_status cwsd_child_spawn(struct cws_loop *loop, struct cwsd_child *child,
                                 const struct cwsd_spawn_options *options,
                                 void (*on_end)(struct cwsd_child *child, int wait_status),
                                 struct cws_error *err)
{
    pid_t pid;
    struct given given;
    assert(options->stderr_fd > 0 && options->socket_fd > 0);
    int rc = lift_all(&given, options);
    if (rc == 0)
        rc = start(&given.options, &pid);
    close_copies(&given);
    if (rc)
        return cws_error_set_errno(err, CWS_SYSTEM, rc, "%s cannot be started", options->argv[0]);
    /* It is our child and not reaped: the number cannot be another's. */
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    enum cws_status status = CWS_OK;
    if (pidfd < 0)
        status = cws_error_set_errno(err, CWS_SYSTEM, errno, "pidfd_open");
    else
        status = cwsd_watch_open(loop, &child->watch, pidfd, on_ready, err);
    if (status != CWS_OK) {
        end_group(pid);
        if (pidfd >= 0)
            close(pidfd);
        return status;
    }
    child->pid = child->group = pid;
    child->dismissed = false;
    child->on_end = on_end;
    cwsd_watch_for(&child->watch, UV_READABLE);
    return CWS_OK;
}

void cwsd_child_kill_all(struct cwsd_child *child)
{
    if (child->pid)
        kill(-child->group, SIGKILL);
}

void cwsd_child_dismiss(struct cwsd_child *child)
{
    if (!child->pid)
        return;
    child->dismissed = true;
    kill(child->pid, SIGKILL);
}

bool cwsd_child_reap_rest(const struct cwsd_child *child)
{
    pid_t pid;
    assert(child->pid == 0);
    /* Whoever is in the group, alive or not reaped, keeps its number. */
    while ((pid = waitpid(-child->group, NULL, WNOHANG)) > 0)
        ;
    return pid < 0;
}
