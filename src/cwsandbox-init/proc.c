/* Who our children are. */
#include <linux/fcntl.h>
#include <linux/signal.h>

#include "init.h"

void proc_kill_children(void)
{
    char buffer[4096];
    long got;
    int pid = 0;
    long fd = SYS4(openat, AT_FDCWD, "/proc/thread-self/children", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    while ((got = SYS3(read, fd, buffer, sizeof(buffer))) > 0) {
        for (long i = 0; i < got; i++) {
            if (buffer[i] >= '0' && buffer[i] <= '9') {
                pid = pid * 10 + (buffer[i] - '0');
            } else if (pid > 0) {
                SYS2(kill, pid, SIGKILL);
                pid = 0;
            }
        }
    }
    SYS1(close, fd);
}
