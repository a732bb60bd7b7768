#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon.h"

/* Whoever started the daemon may have closed them. What it opened would get their numbers: texts
 * would be written into it, and libuv aborts a process that closes such a number. */
static bool open_standard_streams(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* Goes on in a child of a process that ends: nobody's child, so that who started the daemon need
 * not wait for it and is not told of its end. False in that process; the child's is another
 * session. */
static bool detach(enum cwsd_exit *out_exit)
{
    pid_t pid = fork();
    *out_exit = pid < 0 ? CWSD_EXIT_FAILED : CWSD_EXIT_OK;
    if (pid < 0)
        perror("cwsandboxd: fork");
    if (pid == 0)
        setsid();
    return pid == 0;
}

/* What was printed may still lie in the buffer. */
static enum cwsd_exit print(const char *text)
{
    if (fputs(text, stdout) != EOF && fflush(stdout) == 0)
        return CWSD_EXIT_OK;
    perror("cwsandboxd: cannot write to stdout");
    return CWSD_EXIT_FAILED;
}

int main(int argc, char **argv)
{
    const struct cwsd_surroundings surroundings = {geteuid(), getenv("XDG_RUNTIME_DIR")};
    struct cwsd_config config;
    struct cws_error err;
    if (!open_standard_streams())
        return CWSD_EXIT_FAILED; /* and nowhere to say why */
    if (cwsd_config_parse(argc, argv, &surroundings, &config, &err) != CWS_OK) {
        fprintf(stderr, "cwsandboxd: %s\nTry cwsandboxd --help.\n", err.text);
        return CWSD_EXIT_USAGE;
    }
    switch (config.action) {
    case CWSD_ACTION_HELP:
        return (int)print(cwsd_config_help);
    case CWSD_ACTION_VERSION:
        return (int)print("cwsandboxd " CWSD_VERSION "\n");
    case CWSD_ACTION_SERVE:
        break;
    }
    enum cwsd_exit result;
    if (config.detach && !detach(&result))
        return (int)result;
    return (int)cwsd_daemon_run(&config);
}
