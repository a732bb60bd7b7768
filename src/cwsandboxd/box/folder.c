#include <unistd.h>

#include "box/box.h"
#include "box/host_private.h"
#include "host/tree.h"

enum cws_status cwsd_folder_try(const struct cwsd_host *host, int fd, uid_t *out_owner,
                                struct cws_error *err)
{
    int tree;
    if (host->isolation == CWSD_ISOLATION_NONE)
        return cws_error_set(err, CWS_SYSTEM, CWSD_NO_VOLUMES);
    uid_t user = host->users ? cwsd_users_take(host->users) : 0;
    if (host->users && !user)
        return cws_error_set(err, CWS_SYSTEM, "no user is left");
    *out_owner = user ? CWSD_TREE_OWNER : 0;
    enum cws_status status = cwsd_tree_make(fd, false, user, &tree, err);
    if (status == CWS_OK)
        close(tree);
    if (user)
        cwsd_users_give_back(host->users, user);
    return status;
}
