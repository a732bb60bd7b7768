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
    /* In the child each must still be there when its turn to be moved comes. */
    assert(options->stderr_fd >= CWSI_FIRST_FREE && options->socket_fd >= CWSI_FIRST_FREE);
    assert(options->program_fd < 0 || options->program_fd >= CWSI_FIRST_FREE);
    assert(options->network_fd == 0 || options->network_fd >= CWSI_FIRST_FREE);
    assert(options->egress_fd == 0 || options->egress_fd >= CWSI_FIRST_FREE);
    assert(options->stdin_fd == 0 || options->stdin_fd >= CWSI_FIRST_FREE);
    assert(options->stdout_fd == 0 || options->stdout_fd >= CWSI_FIRST_FREE);
    int rc = start(options, &pid);
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
