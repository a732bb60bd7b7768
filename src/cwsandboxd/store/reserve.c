#include "store/reserve.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FILE_NAME "reserve"

/* Removing the largest record writes some 4 MiB. */
#define MOST_BYTES ((uint64_t)8 << 20)
/* Of what is free, so that a small disk is not taken up by it. */
#define SHARE 8
/* Removing a usual record writes about ten pages of 4 KiB. */
#define SLICE_BYTES ((uint64_t)64 << 10)

static uint64_t usual_size(int fd)
{
    struct statvfs disk;
    struct stat file;
    if (fstat(fd, &file) < 0 || fstatvfs(fd, &disk) < 0)
        return 0;
    uint64_t own = (uint64_t)file.st_blocks * 512;
    uint64_t share = (own + (uint64_t)disk.f_bavail * disk.f_frsize) / SHARE;
    uint64_t wanted = share < MOST_BYTES ? share : MOST_BYTES;
    if (wanted < own) /* the disk has got full since */
        wanted = own < MOST_BYTES ? own : MOST_BYTES;
    return wanted / SLICE_BYTES * SLICE_BYTES;
}

void cwsd_reserve_open(struct cwsd_reserve *reserve, const char *dir)
{
    const int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    char path[PATH_MAX];
    struct stat file;
    *reserve = (struct cwsd_reserve){.fd = -1};
    snprintf(path, sizeof(path), "%s/" FILE_NAME, dir);
    reserve->fd = open(path, flags, 0600);
    if (reserve->fd < 0)
        return;
    if (fstat(reserve->fd, &file) < 0 || !S_ISREG(file.st_mode)) {
        cwsd_reserve_close(reserve);
        return;
    }
    reserve->wanted = usual_size(reserve->fd);
    cwsd_reserve_refill(reserve);
}

void cwsd_reserve_close(struct cwsd_reserve *reserve)
{
    if (reserve->fd >= 0)
        close(reserve->fd);
    reserve->fd = -1;
}

bool cwsd_reserve_release(struct cwsd_reserve *reserve)
{
    if (reserve->fd < 0 || reserve->size < SLICE_BYTES ||
        ftruncate(reserve->fd, (off_t)(reserve->size - SLICE_BYTES)) < 0)
        return false;
    reserve->size -= SLICE_BYTES;
    return true;
}

void cwsd_reserve_refill(struct cwsd_reserve *reserve)
{
    if (reserve->fd < 0)
        return;
    while (reserve->size < reserve->wanted &&
           fallocate(reserve->fd, 0, (off_t)reserve->size, (off_t)SLICE_BYTES) == 0)
        reserve->size += SLICE_BYTES;
}
