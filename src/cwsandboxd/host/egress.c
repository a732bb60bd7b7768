#include "host/egress.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "host/egress_own.h"
#include "host/program.h"
#include "values/egress_rules.h"

#define SLOTS      64
#define FIRST_B    192 /* slot 0 has 10.192.0.0/16 */
#define DEVICES    32768u
#define FORWARDING "/proc/sys/net/ipv4/ip_forward"
#define TUN        "/dev/net/tun"

/* ---- slots ---------------------------------------------------------------------------------- */

static uint32_t slot_range(unsigned slot)
{
    return 10u << 24 | (FIRST_B + slot) << 16;
}

static bool is_device_of(const char *name, unsigned slot)
{
    char prefix[CWSD_EGRESS_NAME_SIZE];
    int len = snprintf(prefix, sizeof(prefix), "cws%u-", slot);
    return strncmp(name, prefix, (size_t)len) == 0;
}

/* A route of the host, such as "10.0.0.0/8 by eth0". */
struct route {
    char text[INET_ADDRSTRLEN + sizeof("/32 by ") + IF_NAMESIZE];
};

/* The mask is in the order of the network, as the destination. */
static void describe(struct route *route, unsigned destination, unsigned mask, const char *device)
{
    char address[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &(struct in_addr){destination}, address, sizeof(address));
    snprintf(route->text, sizeof(route->text), "%s/%d by %.*s", address, __builtin_popcount(mask),
             IF_NAMESIZE, device);
}

/* Whether the host has a route of its own into the slot's range, and which. */
static bool is_routed(unsigned slot, struct route *out_route)
{
    char line[256], name[32];
    unsigned destination, mask;
    bool found = false;
    FILE *routes = fopen("/proc/net/route", "re");
    while (routes && !found && fgets(line, sizeof(line), routes)) {
        if (sscanf(line, "%31s %x %*x %*x %*d %*d %*d %x", name, &destination, &mask) != 3)
            continue;
        uint32_t common = ntohl(mask) & 0xffff0000u;
        found = mask && !is_device_of(name, slot) &&
                (ntohl(destination) & common) == (slot_range(slot) & common);
    }
    if (found)
        describe(out_route, destination, mask, name);
    if (routes)
        fclose(routes);
    return found;
}

/* A descriptor that holds the slot, or -1: another daemon in this network has it. */
static int claim(unsigned slot)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len =
        snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "cwsandboxd/egress/%u", slot);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&address,
                        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* The answer when each slot is a route's or a daemon's. */
static enum cws_status no_slot(unsigned routed, const struct route *route, struct cws_error *err)
{
    if (routed == 0)
        return cws_error_set(err, CWS_SYSTEM,
                             "each of the ranges 10.%d.0.0/16 to 10.%d.0.0/16 is another daemon's",
                             FIRST_B, FIRST_B + SLOTS - 1);
    return cws_error_set(err, CWS_SYSTEM,
                         "sandboxes need one of the ranges 10.%d.0.0/16 to 10.%d.0.0/16. Routes of "
                         "this host, such as %s, lead into %u of them%s; make room with a narrower "
                         "route",
                         FIRST_B, FIRST_B + SLOTS - 1, route->text, routed,
                         routed < SLOTS ? ", the others are daemons'" : "");
}

static enum cws_status take_slot(struct cwsd_egress *egress, struct cws_error *err)
{
    struct route route;
    unsigned routed = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        if (is_routed(slot, &route)) {
            routed++;
            continue;
        }
        if ((egress->slot_fd = claim(slot)) < 0)
            continue;
        egress->slot = slot;
        return CWS_OK;
    }
    return no_slot(routed, &route, err);
}

/* ---- the host's share ----------------------------------------------------------------------- */

/* Those of a daemon that was killed go with their sandboxes, but perhaps not yet. */
static enum cws_status remove_devices(const struct cwsd_egress *egress, struct cws_error *err)
{
    enum cws_status status = CWS_OK;
    struct if_nameindex *all = if_nameindex();
    for (size_t i = 0; status == CWS_OK && all && all[i].if_index; i++) {
        char *const argv[] = {egress->ip, (char *)"link", (char *)"delete", all[i].if_name, NULL};
        struct cws_error ignored;
        if (is_device_of(all[i].if_name, egress->slot) &&
            cwsd_program_run(argv, NULL, &ignored) != CWS_OK && if_nametoindex(all[i].if_name))
            status = cws_error_set(err, CWS_SYSTEM, "%s", ignored.text);
    }
    if (all)
        if_freenameindex(all);
    return status;
}

static enum cws_status load_host_rules(const struct cwsd_egress *egress, struct cws_error *err)
{
    char range[INET_ADDRSTRLEN + 3], *const argv[] = {egress->nft, (char *)"-f", (char *)"-", NULL};
    snprintf(range, sizeof(range), "10.%u.0.0/16", FIRST_B + egress->slot);
    char *rules = cwsd_egress_host_rules(egress->slot, range);
    if (!rules)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory");
    enum cws_status status = cwsd_program_run(argv, rules, err);
    free(rules);
    return status;
}

static enum cws_status forward_packets(struct cws_error *err)
{
    char now = '0';
    int fd = open(FORWARDING, O_RDWR | O_CLOEXEC);
    bool on = fd >= 0 && read(fd, &now, 1) == 1 && (now != '0' || pwrite(fd, "1", 1, 0) == 1);
    enum cws_status status = on ? CWS_OK : cws_error_set_errno(err, CWS_SYSTEM, errno, FORWARDING);
    if (fd >= 0)
        close(fd);
    return status;
}

static enum cws_status prepare_host(struct cwsd_egress *egress, struct cws_error *err)
{
    if (take_slot(egress, err) != CWS_OK || remove_devices(egress, err) != CWS_OK ||
        load_host_rules(egress, err) != CWS_OK)
        return err->status;
    return forward_packets(err);
}

/* ---- life ----------------------------------------------------------------------------------- */

static enum cws_status find(const char *name, const char *package, char **out,
                            struct cws_error *err)
{
    *out = cwsd_program_find(name);
    return *out ? CWS_OK
                : cws_error_set(err, CWS_SYSTEM,
                                "there is no program %s on PATH or in /usr/sbin (it comes with the "
                                "package %s)",
                                name, package);
}

static enum cws_status open_router(struct cwsd_egress *egress, struct cws_error *err)
{
    if (geteuid() != 0)
        return cws_error_set(err, CWS_SYSTEM,
                             "virtual devices need root; slirp4netns is for other users");
    if (find("nft", "nftables", &egress->nft, err) != CWS_OK ||
        find("ip", "iproute2", &egress->ip, err) != CWS_OK)
        return err->status;
    return prepare_host(egress, err);
}

static enum cws_status check_tun(struct cws_error *err)
{
    int fd = open(TUN, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return cws_error_set_errno(
            err, CWS_SYSTEM, errno,
            "%s, which slirp4netns needs (the module tun, open to all users)", TUN);
    close(fd);
    return CWS_OK;
}

/* That the kernel takes rules from this user, in a network of his own. */
static enum cws_status try_rules(const struct cwsd_egress *egress, struct cws_error *err)
{
    cwsd_pb_network any = COREWEAVE__SANDBOX__V1__NETWORK_OPTIONS__INIT;
    char *const argv[] = {(char *)egress->init_path,
                          (char *)"alone",
                          (char *)"0",
                          egress->nft,
                          (char *)"-f",
                          (char *)"-",
                          NULL};
    struct cws_error why;
    char *rules = cwsd_egress_rules(&any, &(struct cwsd_egress_own){0});
    if (!rules)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory");
    enum cws_status status = cwsd_program_run(argv, rules, &why);
    free(rules);
    return status == CWS_OK ? CWS_OK
                            : cws_error_set(err, CWS_SYSTEM,
                                            "%s cannot load rules in a network of this user's: %s",
                                            egress->nft, why.text);
}

/* That it can be executed in the limits that it will have. */
static enum cws_status try_stack(const struct cwsd_egress *egress, struct cws_error *err)
{
    char parent[16];
    char *const argv[] = {(char *)egress->init_path, (char *)"helper",    parent, (char *)"0",
                          egress->slirp4netns,       (char *)"--version", NULL};
    struct cws_error why;
    snprintf(parent, sizeof(parent), "%d", (int)getpid());
    return cwsd_program_run(argv, NULL, &why) == CWS_OK
               ? CWS_OK
               : cws_error_set(err, CWS_SYSTEM, "%s cannot be run: %s", egress->slirp4netns,
                               why.text);
}

static void on_own(struct cwsd_watch *watch, int events)
{
    struct cwsd_egress *egress = cws_container_of(watch, struct cwsd_egress, own);
    struct cws_list told;
    (void)events;
    if (!cwsd_egress_own_changed(watch->fd))
        return;
    cws_list_init(&told);
    cws_list_splice(&told, &egress->watchers);
    for (struct cws_list *node; (node = cws_list_pop_front(&told));) {
        struct cwsd_egress_watcher *watcher =
            cws_container_of(node, struct cwsd_egress_watcher, node);
        cws_list_push_back(&egress->watchers, node);
        watcher->changed(watcher);
    }
}

static enum cws_status watch_own(struct cwsd_egress *egress, struct cws_loop *loop,
                                 struct cws_error *err)
{
    int fd = cwsd_egress_own_watch();
    if (fd < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "the host's addresses");
    if (cwsd_watch_open(loop, &egress->own, fd, on_own, err) != CWS_OK) {
        close(fd);
        return err->status;
    }
    cwsd_watch_for(&egress->own, UV_READABLE);
    return CWS_OK;
}

static enum cws_status open_stack(struct cwsd_egress *egress, struct cws_loop *loop,
                                  struct cws_error *err)
{
    if (geteuid() == 0)
        return cws_error_set(err, CWS_SYSTEM,
                             "slirp4netns is for ordinary users; root has nftables");
    if (find("nft", "nftables", &egress->nft, err) != CWS_OK ||
        find("slirp4netns", "slirp4netns", &egress->slirp4netns, err) != CWS_OK ||
        check_tun(err) != CWS_OK)
        return err->status;
    if (try_rules(egress, err) != CWS_OK || try_stack(egress, err) != CWS_OK)
        return err->status;
    return watch_own(egress, loop, err);
}

enum cws_status cwsd_egress_open(enum cwsd_egress_way way, struct cws_loop *loop,
                                 const char *init_path, struct cwsd_egress **out_egress,
                                 struct cws_error *err)
{
    *out_egress = NULL;
    if (way == CWSD_EGRESS_OFF)
        return CWS_OK;
    struct cwsd_egress *egress = cws_calloc(1, sizeof(*egress));
    if (!egress)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory");
    if (way == CWSD_EGRESS_AUTO)
        way = geteuid() == 0 ? CWSD_EGRESS_NFTABLES : CWSD_EGRESS_SLIRP4NETNS;
    egress->way = way;
    egress->init_path = init_path;
    egress->slot_fd = egress->own.fd = -1;
    cws_list_init(&egress->watchers);
    enum cws_status status =
        way == CWSD_EGRESS_NFTABLES ? open_router(egress, err) : open_stack(egress, loop, err);
    if (status == CWS_OK)
        *out_egress = egress;
    else
        cwsd_egress_close(egress);
    return status;
}

static void leave_host(const struct cwsd_egress *egress)
{
    struct cws_error ignored; /* there may be none yet, or the next owner of the slot removes it */
    char *const argv[] = {egress->nft, (char *)"-f", (char *)"-", NULL};
    char *removal = cwsd_egress_host_removal(egress->slot);
    if (removal && cwsd_program_run(argv, removal, &ignored) == CWS_OK)
        (void)remove_devices(egress, &ignored);
    free(removal);
}

static void on_own_closed(struct cwsd_watch *watch)
{
    (void)watch; /* its memory stays until the loop is freed */
}

void cwsd_egress_leave(struct cwsd_egress *egress)
{
    if (egress)
        cwsd_watch_close(&egress->own, on_own_closed);
}

void cwsd_egress_close(struct cwsd_egress *egress)
{
    if (!egress)
        return;
    if (egress->slot_fd >= 0) {
        leave_host(egress);
        close(egress->slot_fd);
    }
    cws_free(egress->ip);
    cws_free(egress->nft);
    cws_free(egress->slirp4netns);
    cws_free(egress);
}

/* The kernel is asked, not a table: a device may outlive its sandbox, or be of a killed daemon. */
enum cws_status cwsd_egress_next_device(struct cwsd_egress *egress,
                                        struct cwsd_egress_device *out_device,
                                        struct cws_error *err)
{
    for (unsigned tried = 0; tried < DEVICES; tried++) {
        uint32_t outside = slot_range(egress->slot) + 2 * egress->next;
        snprintf(out_device->name, sizeof(out_device->name), "cws%u-%u", egress->slot,
                 egress->next);
        out_device->outside.s_addr = htonl(outside);
        out_device->inside.s_addr = htonl(outside + 1);
        egress->next = (egress->next + 1) % DEVICES;
        if (if_nametoindex(out_device->name) == 0)
            return CWS_OK;
    }
    return cws_error_set(err, CWS_SYSTEM, "each of the devices cws%u-0 to cws%u-%u exists",
                         egress->slot, egress->slot, DEVICES - 1);
}

void cwsd_egress_watch(struct cwsd_egress *egress, struct cwsd_egress_watcher *watcher)
{
    if (egress->own.fd >= 0)
        cws_list_push_back(&egress->watchers, &watcher->node);
}
