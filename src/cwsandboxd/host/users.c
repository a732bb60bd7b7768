#include "host/users.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"

/*
 * Ids that no distribution gives to anybody: beyond those of people, subordinate ids and
 * systemd-nspawn's containers, below those that 31 bits end with. Each daemon has a block of them,
 * by lot: two of one host hardly ever have the same, and if they have, their sandboxes share the
 * kernel's limits per user, but nothing that they could reach each other by.
 */
#define FIRST_ID    0x70000000u
#define END_ID      0x7ffd0000u
#define BLOCK       16384u /* more than --max-sandboxes can be */
#define BLOCK_COUNT ((END_ID - FIRST_ID) / BLOCK)

struct cwsd_users {
    uid_t first;
    uint32_t next; /* where to look first: what was given back lately comes last */
    bool taken[BLOCK];
};

/* Whether all the ids are mapped by a file of /proc/self. */
static enum cws_status is_mapped(const char *path, bool *out_mapped, struct cws_error *err)
{
    unsigned long inside, outside, count;
    FILE *map = fopen(path, "re");
    if (!map)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "%s", path);
    *out_mapped = false;
    while (fscanf(map, "%lu %lu %lu", &inside, &outside, &count) == 3)
        if (inside <= FIRST_ID && END_ID - inside <= count)
            *out_mapped = true;
    fclose(map);
    return CWS_OK;
}

enum cws_status cwsd_users_new(struct cwsd_users **out_users, struct cws_error *err)
{
    bool users_mapped = false, groups_mapped = false;
    uint32_t lot;
    *out_users = NULL;
    enum cws_status status = is_mapped("/proc/self/uid_map", &users_mapped, err);
    if (status == CWS_OK)
        status = is_mapped("/proc/self/gid_map", &groups_mapped, err);
    if (status != CWS_OK || !users_mapped || !groups_mapped)
        return status;
    if (getrandom(&lot, sizeof(lot), 0) != sizeof(lot))
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "getrandom");
    struct cwsd_users *users = cws_calloc(1, sizeof(*users));
    if (!users)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory");
    users->first = FIRST_ID + lot % BLOCK_COUNT * BLOCK;
    *out_users = users;
    return CWS_OK;
}

void cwsd_users_free(struct cwsd_users *users)
{
    cws_free(users);
}

uid_t cwsd_users_take(struct cwsd_users *users)
{
    for (uint32_t i = 0; i < BLOCK; i++) {
        uint32_t slot = (users->next + i) % BLOCK;
        if (users->taken[slot])
            continue;
        users->taken[slot] = true;
        users->next = slot + 1;
        return users->first + slot;
    }
    return 0;
}

void cwsd_users_give_back(struct cwsd_users *users, uid_t user)
{
    if (!user)
        return;
    assert(users->taken[user - users->first]);
    users->taken[user - users->first] = false;
}

int cwsd_users_try(const struct cwsd_users *users, bool *out_became)
{
    struct {
        bool became;
        int error;
    } result = {false, EAGAIN};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return errno;
    pid_t pid = fork();
    if (pid == 0) {
        result.became = setgroups(0, NULL) == 0 &&
                        setresgid(users->first, users->first, users->first) == 0 &&
                        setresuid(users->first, users->first, users->first) == 0;
        bool good = result.became && unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0;
        result.error = good ? 0 : errno;
        _exit(write(ends[1], &result, sizeof(result)) < 0);
    }
    close(ends[1]);
    if (pid > 0) {
        if (read(ends[0], &result, sizeof(result)) < 0)
            result.error = errno;
        waitpid(pid, NULL, 0);
    }
    close(ends[0]);
    *out_became = result.became;
    return result.error;
}
