#include "host/netns.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum cws_status cwsd_netns_init(struct cwsd_netns *netns, unsigned children, struct cws_error *err)
{
    int ends[2] = {-1, -1};
    enum cws_status status = CWS_OK;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        status = cws_error_set_errno(err, CWS_SYSTEM, errno, "a socket for a shared network");
    *netns = (struct cwsd_netns){.make = ends[0], .join = ends[1], .others = children - 1};
    return status;
}

void cwsd_netns_done(struct cwsd_netns *netns)
{
    if (netns->make >= 0)
        close(netns->make);
    if (netns->join >= 0)
        close(netns->join);
    netns->make = netns->join = -1;
}

int cwsd_netns_next(const struct cwsd_netns *netns, bool *out_makes)
{
    *out_makes = netns->make >= 0;
    return *out_makes ? netns->make : netns->join;
}

void cwsd_netns_started(struct cwsd_netns *netns)
{
    /* Then whoever waits for a network sees it if the child ends before it has made one. */
    if (netns->make >= 0)
        close(netns->make);
    netns->make = -1;
}
