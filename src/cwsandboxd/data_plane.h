/* The direct data plane's own listener and server. Loop thread only. */
#pragma once

#include "grpc/server.h"
#include "io/listen.h"
#include "io/timer.h"
#include "service/methods.h"
#include "service/service.h"

struct cwsd_data_plane {
    struct cwsd_direct direct;
    struct cwsd_methods methods;
    struct cws_tls_config *tls;
    struct cws_server *server;
    struct cws_listener *listener;
    struct cws_loop *loop;
    struct cws_timer sweep; /* lets go of those whose sandbox has ended */
    bool sweeping;          /* while there are connections */
};

/* Listens at the address, and lets the service give out certificates for it. The struct is the
 * caller's memory, all zero at first. CWS_IO, CWS_TLS, CWS_NO_MEMORY. */
enum cws_status cwsd_data_plane_open(struct cwsd_data_plane *plane, struct cws_loop *loop,
                                     struct cwsd_service *service,
                                     const struct cwsd_address *address,
                                     struct cws_error *err) CWS_MUST_CHECK;
/* Takes no new connections; what runs goes on. Harmless on an all-zero struct, as is the next. */
void cwsd_data_plane_stop(struct cwsd_data_plane *plane);
/* Ends all connections and frees everything. Before the service's pool goes. */
void cwsd_data_plane_close(struct cwsd_data_plane *plane);
