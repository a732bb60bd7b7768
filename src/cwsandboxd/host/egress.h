/*
 * The daemon's means to lead sandboxes' networks to others: the programs for it and, where it is
 * the router, the daemon's share of the host: a slot, with a range of addresses, names of devices
 * and a table of nftables of its own. Several daemons in one network have different slots. A slot
 * is an abstract socket, so the kernel gives it back when the daemon dies, and its next owner
 * removes what was left in it. Loop thread only.
 */
#pragma once

#include <netinet/in.h>

#include "base/list.h"
#include "base/status.h"
#include "config/egress_way.h"
#include "host/watch.h"

struct cwsd_egress {
    enum cwsd_egress_way way;     /* NFTABLES or SLIRP4NETNS */
    const char *init_path;        /* of cwsandbox-init */
    char *nft, *ip, *slirp4netns; /* paths; NULL: not needed for this way */
    int slot_fd;                  /* holds the slot; -1: none */
    unsigned slot;
    unsigned next;            /* the number of the next sandbox's device, if it is free */
    struct cwsd_watch own;    /* of the host's addresses; fd -1: nobody needs to know */
    struct cws_list watchers; /* of cwsd_egress_watcher.node */
};

/* Who is told that the host's addresses are others now. */
struct cwsd_egress_watcher {
    struct cws_list node; /* call cws_list_init first; cws_list_remove unregisters it */
    void (*changed)(struct cwsd_egress_watcher *watcher);
};

/* Blocks until the programs have been tried. `way` is OFF (then *out is NULL) or another.
 * `init_path` must outlive the object. CWS_SYSTEM: *err names what is missing. CWS_NO_MEMORY. */
enum cws_status cwsd_egress_open(enum cwsd_egress_way way, struct cws_loop *loop,
                                 const char *init_path, struct cwsd_egress **out_egress,
                                 struct cws_error *err) CWS_MUST_CHECK;
/* Stops the events, before the loop is freed. NULL is allowed. */
void cwsd_egress_leave(struct cwsd_egress *egress);
/* After the last link, and after the loop. Removes the table. Blocks until that is done. NULL is
 * allowed. */
void cwsd_egress_close(struct cwsd_egress *egress);

/* The two ends of the next sandbox's device, and its name on the host. No device of that name is
 * there now. CWS_SYSTEM: the host has as many devices as there are names. */
#define CWSD_EGRESS_NAME_SIZE 16
struct cwsd_egress_device {
    char name[CWSD_EGRESS_NAME_SIZE];
    struct in_addr outside, inside;
};
enum cws_status cwsd_egress_next_device(struct cwsd_egress *egress,
                                        struct cwsd_egress_device *out_device,
                                        struct cws_error *err) CWS_MUST_CHECK;

/* Where the host refuses what is for its own addresses, nobody is told of them: by way of
 * SLIRP4NETNS only. */
void cwsd_egress_watch(struct cwsd_egress *egress, struct cwsd_egress_watcher *watcher);
