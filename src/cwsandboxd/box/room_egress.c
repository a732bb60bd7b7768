/* What leads from a room to other networks. */
#include <stdlib.h>

#include "base/alloc.h"
#include "box/host_private.h"
#include "box/room_private.h"
#include "host/program.h"
#include "values/egress_rules.h"
#include "values/spec_network.h"

#define MAX_OWN 256 /* addresses of the host; on more of them the host's own rules hold alone */

/* Nothing runs in the network yet. */
static enum cws_status on_sockets(void *ctx, struct cwsd_egress_sockets *sockets,
                                  struct cws_error *err)
{
    struct cwsd_room *room = ctx;
    const size_t granted = cwsd_spec_count_names(room->network);
    char **names = cws_calloc(granted + 1, sizeof(*names));
    char *program = cwsd_program_beside(room->host->init_path, "cwsandbox-egress");
    if (!names || !program) {
        cws_free(names);
        cws_free(program);
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for a sandbox");
    }
    cwsd_spec_list_names(room->network, names);
    const struct cwsd_egress_names_options options = {
        .loop = room->loop,
        .program = program,
        .user = room->user,
        .all = granted == 0 || granted < room->network->n_egress,
        .names = names,
        .name_count = granted,
        .diverted = sockets->diverted,
        .names_fd = sockets->names,
    };
    enum cws_status status = cwsd_egress_names_start(&options, &room->names, err);
    cws_free(names);
    cws_free(program);
    return status;
}

enum cws_status cwsd_room_open(struct cwsd_room *room, struct cws_loop *loop,
                               struct cwsd_egress *egress, const cwsd_pb_network *network,
                               struct cws_error *err)
{
    struct in_addr addresses[MAX_OWN];
    const struct cwsd_egress_own own = {.addresses = addresses,
                                        .count = cwsd_egress_own(addresses, MAX_OWN)};
    char *rules = cwsd_egress_rules(network, &own);
    const struct cwsd_egress_link_options options = {.loop = loop,
                                                     .egress = egress,
                                                     .init_path = room->host->init_path,
                                                     .rules = rules,
                                                     .on_sockets = on_sockets,
                                                     .ctx = room};
    enum cws_status status = CWS_NO_MEMORY;
    room->loop = loop;
    room->network = network;
    if (rules)
        status = cwsd_egress_link_new(&options, &room->link, err);
    else
        cws_error_set(err, CWS_NO_MEMORY, "out of memory for a sandbox");
    free(rules);
    return status;
}
