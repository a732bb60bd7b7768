/*
 * What starting a program costs without any sandbox: posix_spawn and waitpid, one after the other.
 *
 *   spawn COUNT PROGRAM [ARGUMENT]...
 *
 * Prints one JSON object: ops, wall and CPU seconds of this process, and the 50th and 99th
 * percentile of the time from the call of posix_spawn to the return of waitpid.
 */
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double cpu_seconds(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int spawn_and_wait(char **argv)
{
    char *environment[] = {NULL};
    pid_t pid;
    int status;
    if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environment) != 0)
        return -1;
    return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
    size_t count = argc > 2 ? strtoul(argv[1], NULL, 10) : 0, i;
    uint64_t *delays = calloc(count + 1, sizeof *delays), begin = now_ns();
    if (count == 0 || delays == NULL) {
        fprintf(stderr, "usage: spawn COUNT PROGRAM [ARGUMENT]...\n");
        free(delays);
        return 2;
    }
    for (i = 0; i < count; i++) {
        uint64_t start = now_ns();
        if (spawn_and_wait(argv + 2) != 0) {
            fprintf(stderr, "spawn: %s did not start or did not end with 0\n", argv[2]);
            free(delays);
            return 1;
        }
        delays[i] = now_ns() - start;
    }
    begin = now_ns() - begin;
    qsort(delays, count, sizeof *delays, by_size);
    printf("{\"ops\": %zu, \"wall\": %.6f, \"cpu\": %.6f, \"p50\": %.9f, \"p99\": %.9f}\n", count,
           (double)begin / 1e9, cpu_seconds(), (double)delays[(count - 1) / 2] / 1e9,
           (double)delays[(count - 1) * 99 / 100] / 1e9);
    free(delays);
    return 0;
}
