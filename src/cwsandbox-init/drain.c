/*
 * Pipes that outlive their command: a process it left in the background still writes to them, and
 * nobody reads. They are emptied, so that it neither blocks nor dies of SIGPIPE, and what comes is
 * thrown away.
 *
 * A process that writes without end is slowed down: after each round nothing is read for a while,
 * so that both it and the init sleep most of the time.
 */
#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/time.h>
#include <linux/time_types.h>

#include "init.h"

/* A pipe's 64 KiB each time: six megabytes a second, and one percent of a processor. */
#define REST_NS 10000000ull

#define PIPES_A_ROUND 64

/* From one pipe in a round: what a pipe holds. A smaller buffer costs less memory. */
#define READS_A_ROUND 4
static char discarded[16384];

static int poll_fd = -1;
static unsigned count;
static uint64_t rests_until; /* 0: it does not */

static uint64_t now_ns(void)
{
    struct __kernel_timespec now = {0};
    SYS2(clock_gettime, CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void forget(int fd)
{
    /* A child that has not executed its program yet holds it open, too: closing is not enough. */
    SYS4(epoll_ctl, poll_fd, EPOLL_CTL_DEL, fd, NULL);
    SYS1(close, fd);
    count--;
}

void drain_add(int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data = (uint64_t)fd};
    SYS3(fcntl, fd, F_SETFL, O_NONBLOCK);
    if (poll_fd < 0)
        poll_fd = (int)SYS1(epoll_create1, EPOLL_CLOEXEC);
    if (count < CWSI_MAX_DRAINED && SYS4(epoll_ctl, poll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
        count++;
    else
        SYS1(close, fd);
}

int drain_poll_fd(uint64_t *out_ns)
{
    uint64_t now = rests_until ? now_ns() : 0;
    *out_ns = rests_until > now ? rests_until - now : 0;
    if (!*out_ns)
        rests_until = 0;
    return count && !*out_ns ? poll_fd : -1;
}

/* What the last read returned; *took is set if there was something. */
static long discard(int fd, bool *took)
{
    long got = sizeof(discarded);
    for (int i = 0; i < READS_A_ROUND && got == sizeof(discarded); i++) {
        got = SYS3(read, fd, discarded, sizeof(discarded));
        *took = *took || got > 0;
    }
    return got;
}

void drain_round(void)
{
    struct epoll_event events[PIPES_A_ROUND];
    bool took = false;
    long ready = SYS6(epoll_pwait, poll_fd, events, PIPES_A_ROUND, 0, NULL, 0);
    for (long i = 0; i < ready; i++) {
        int fd = (int)events[i].data;
        long got = discard(fd, &took);
        if (got <= 0 && got != -EAGAIN && got != -EINTR)
            forget(fd); /* nobody can write to it any more */
    }
    if (took)
        rests_until = now_ns() + REST_NS;
}
