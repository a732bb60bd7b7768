#include "host/setting.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

long cwsd_setting_read(const char *path)
{
    char text[32], *end;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t len = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[len > 0 ? len : 0] = '\0';
    long number = strtol(text, &end, 10);
    return end > text && number >= 0 ? number : -1;
}
