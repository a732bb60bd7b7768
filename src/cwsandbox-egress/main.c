/*
 * cwsandbox-egress: gives one sandbox the way to the hosts whose names it was granted, and answers
 * its questions for names. It stands in the host's network and holds two sockets in the sandbox's.
 * protocol.h says how it is called.
 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "calls.h"
#include "confine.h"
#include "files.h"
#include "protocol.h"
#include "proxy.h"
#include "resolver.h"

/* libuv looks names up in half of its threads, so 16 at a time. A name whose servers do not answer
 * keeps one for seconds. */
#define LOOKUP_THREADS "32"

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "cwsandbox-egress: %s: %s\n", what, why);
    return 1;
}

static int serve(const struct cwse_grants *grants, bool all_names)
{
    static struct cwse_proxy proxy;
    static struct cwse_resolver resolver;
    uv_loop_t loop;
    int rc = uv_loop_init(&loop);
    if (rc == 0)
        rc = cwse_proxy_start(&proxy, &loop, CWSE_TLS, grants);
    if (rc == 0)
        rc = cwse_resolver_start(&resolver, &loop, CWSE_DNS, all_names ? NULL : grants);
    if (rc)
        return fail("the sockets cannot be served", uv_strerror(rc));
    return uv_run(&loop, UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "cwsandbox-egress: cwsandboxd starts this program\n");
        return 2;
    }
    pid_t parent = (pid_t)strtol(argv[1], NULL, 10);
    uid_t user = (uid_t)strtoul(argv[2], NULL, 10);
    bool all_names = strcmp(argv[3], "all") == 0;
    const struct cwse_grants grants = {argv + 4, (size_t)argc - 4};
    signal(SIGPIPE, SIG_IGN);
#ifdef M_ARENA_MAX /* glibc's; musl has no arenas */
    mallopt(M_ARENA_MAX, 2);
#endif
    if (syscall(SYS_close_range, 3, ~0u, 0) < 0 || !cwse_confine(user))
        return fail("rights cannot be given up", strerror(errno));
    cwse_files_close();
    /* A new user clears it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        return 1;
    if (!cwse_calls_close())
        return fail("system calls cannot be given up", strerror(errno));
    setenv("UV_THREADPOOL_SIZE", LOOKUP_THREADS, 1);
    return serve(&grants, all_names);
}
