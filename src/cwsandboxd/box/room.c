#include "box/room_private.h"

#include "base/alloc.h"
#include "box/host_private.h"

enum cws_status cwsd_room_new(const struct cwsd_host *host, unsigned boxes,
                              struct cwsd_room **out_room, struct cws_error *err)
{
    struct cwsd_room *room = cws_calloc(1, sizeof(*room));
    if (!room)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for a sandbox");
    room->host = host;
    room->boxes = boxes;
    room->netns.make = room->netns.join = -1;
    enum cws_status status = CWS_OK;
    if (host->isolation != CWSD_ISOLATION_NONE)
        status = cwsd_netns_init(&room->netns, boxes, err);
    if (status == CWS_OK && host->users && !(room->user = cwsd_users_take(host->users)))
        status = cws_error_set(err, CWS_SYSTEM, "no user is left for one more sandbox");
    if (status == CWS_OK)
        *out_room = room;
    else
        cwsd_room_free(room);
    return status;
}

void cwsd_room_free(struct cwsd_room *room)
{
    if (!room)
        return;
    cwsd_egress_link_free(room->link);
    cwsd_egress_names_stop(room->names);
    cwsd_netns_done(&room->netns);
    cwsd_users_give_back(room->host->users, room->user);
    cws_free(room);
}
