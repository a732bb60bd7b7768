/* What leads from a room to other networks. */
#include <stdlib.h>

#include "base/alloc.h"
#include "box/host_private.h"
#include "box/room_private.h"
#include "host/egress_own.h"
#include "host/program.h"
#include "values/egress_rules.h"
#include "values/spec_network.h"

/* Nothing runs in the network yet. */
static enum cws_status on_sockets(void *ctx, struct cwsd_egress_sockets *sockets,
                                  struct cws_error *err)
{
    struct cwsd_room *room = ctx;
    const size_t granted = cwsd_spec_count_names(room->way.network);
    char **names = cws_calloc(granted + 1, sizeof(*names));
    char *program = cwsd_program_beside(room->host->init_path, "cwsandbox-egress");
    if (!names || !program) {
        cws_free(names);
        cws_free(program);
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for a sandbox");
    }
    cwsd_spec_list_names(room->way.network, names);
    const struct cwsd_egress_names_options options = {
        .loop = room->way.loop,
        .program = program,
        .user = room->user,
        .all = granted == 0 || granted < room->way.network->n_egress,
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

static void on_lost(void *ctx, const char *why)
{
    struct cwsd_room *room = ctx;
    room->way.on_lost(room->way.ctx, why);
}

static char *make_rules(const cwsd_pb_network *network, struct cws_error *err)
{
    struct cwsd_egress_range *ranges;
    struct cwsd_egress_own own = {0};
    if (cwsd_egress_own_list(&ranges, &own.count, err) != CWS_OK)
        return NULL;
    own.ranges = ranges;
    char *rules = cwsd_egress_rules(network, &own);
    cws_free(ranges);
    if (!rules)
        cws_error_set(err, CWS_NO_MEMORY, "out of memory for a sandbox");
    return rules;
}

enum cws_status cwsd_room_open(struct cwsd_room *room, const struct cwsd_room_egress *way,
                               struct cws_error *err)
{
    char *rules = make_rules(way->network, err);
    if (!rules)
        return err->status;
    const struct cwsd_egress_link_options options = {.loop = way->loop,
                                                     .egress = way->egress,
                                                     .rules = rules,
                                                     .on_sockets = on_sockets,
                                                     .on_lost = on_lost,
                                                     .ctx = room};
    room->way = *way;
    enum cws_status status = cwsd_egress_link_new(&options, &room->link, err);
    free(rules);
    return status;
}
