/*
 * Users of this host for sandboxes of a daemon that runs as root: one each, to whom nothing belongs
 * and who may do nothing.
 */
#pragma once

#include <sys/types.h>

#include "base/status.h"

struct cwsd_users;

/* NULL in *out_users when this process may not use such ids: it is in a user namespace that does
 * not have them. CWS_NO_MEMORY, CWS_SYSTEM. */
enum cws_status cwsd_users_new(struct cwsd_users **out_users, struct cws_error *err) CWS_MUST_CHECK;
/* NULL is allowed. */
void cwsd_users_free(struct cwsd_users *users);

/* A user that no sandbox of this daemon has; it is a group's id as well. 0: there is none left. */
uid_t cwsd_users_take(struct cwsd_users *users);
/* Once the sandbox is gone. 0 is allowed. */
void cwsd_users_give_back(struct cwsd_users *users, uid_t user);

/* Whether such a user can make namespaces, tried in a child process; 0 or an errno. *out_became: it
 * could at least be become. */
int cwsd_users_try(const struct cwsd_users *users, bool *out_became);
