/*
 * User ids for the sandboxes of a daemon that runs as root. Each sandbox gets its own, which owns
 * nothing on the host and has no rights there. Loop thread, or before the loop runs.
 */
#pragma once

#include <sys/types.h>

#include "base/status.h"

struct cwsd_users;

/* *out_users is NULL if this process cannot use such ids, because it is in a user namespace that
 * does not map them. CWS_NO_MEMORY, CWS_SYSTEM. */
enum cws_status cwsd_users_new(struct cwsd_users **out_users, struct cws_error *err) CWS_MUST_CHECK;
/* NULL is allowed. */
void cwsd_users_free(struct cwsd_users *users);

/* Takes a user id that no sandbox of this daemon has. It serves as a group id, too. 0: none is
 * left. */
uid_t cwsd_users_take(struct cwsd_users *users);
/* Returns the id once the sandbox is gone. 0 is allowed. */
void cwsd_users_give_back(struct cwsd_users *users, uid_t user);

/* Tries in a child process whether such a user can make namespaces. Returns 0 or a positive errno.
 * *out_became: the child could at least switch to the user. */
int cwsd_users_try(const struct cwsd_users *users, bool *out_became);
