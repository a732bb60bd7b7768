#include "data_plane.h"

#include "config/pem.h"
#include "values/bounds.h"

/* Clients need a certificate of the authority. */
static enum cws_status make_tls(struct cwsd_data_plane *plane, const struct cwsd_address *address,
                                struct cws_error *err)
{
    const struct cws_tls_options options = {
        .roots_pem = (const char *)cws_buf_bytes(&plane->direct.ca_pem),
        .roots_len = plane->direct.ca_pem.len,
    };
    return cwsd_pem_issue_server(plane->direct.ca, address->host, &options, &plane->tls, err);
}

static bool is_over(const struct cws_identity *identity, void *ctx)
{
    const struct cwsd_data_plane *plane = ctx;
    return !cwsd_direct_welcomes(&plane->direct, identity);
}

/* Without memory for it the next connection tries again. */
static void sweep_later(struct cwsd_data_plane *plane)
{
    uint64_t due_ns = cws_clock_now_ns() + CWSD_DIRECT_SWEEP_S * CWS_NS_PER_S;
    plane->sweeping = cws_timer_set(plane->loop, &plane->sweep, due_ns) == CWS_OK;
}

static void on_sweep(struct cws_timer *timer)
{
    struct cwsd_data_plane *plane = cws_container_of(timer, struct cwsd_data_plane, sweep);
    cws_server_drain(plane->server, is_over, plane);
    plane->sweeping = false;
    if (cws_server_connection_count(plane->server) > 0)
        sweep_later(plane);
}

static void on_accepted(void *ctx, struct cws_transport *transport)
{
    struct cwsd_data_plane *plane = ctx;
    if (!plane->sweeping)
        sweep_later(plane);
    if (cwsd_direct_welcomes(&plane->direct, cws_transport_identity(transport)))
        cws_server_accept(plane->server, transport);
    else
        cws_transport_close(transport);
}

static enum cws_status start_server(struct cwsd_data_plane *plane, struct cws_loop *loop,
                                    struct cwsd_service *service, struct cws_error *err)
{
    if (cwsd_methods_init_direct(&plane->methods) == CWS_OK) {
        const struct cws_server_options options = {
            .methods = plane->methods.entries,
            .method_count = plane->methods.count,
            .admit = cwsd_service_admit_direct,
            .ctx = service,
        };
        plane->server = cws_server_new(loop, &options);
    }
    return plane->server ? CWS_OK : cws_error_set(err, CWS_NO_MEMORY, "out of memory");
}

static enum cws_status start_listening(struct cwsd_data_plane *plane, struct cws_loop *loop,
                                       struct cwsd_address address, struct cws_error *err)
{
    const struct cws_listen_options options = {
        .host = address.host, .port = address.port, .tls = plane->tls};
    if (cws_listener_new(loop, &options, on_accepted, plane, &plane->listener, err) != CWS_OK)
        return err->status;
    address.port = cws_listener_port(plane->listener);
    cwsd_address_url(&address, true, plane->direct.endpoint);
    return CWS_OK;
}

enum cws_status cwsd_data_plane_open(struct cwsd_data_plane *plane, struct cws_loop *loop,
                                     struct cwsd_service *service,
                                     const struct cwsd_address *address, struct cws_error *err)
{
    plane->loop = loop;
    cws_timer_init(&plane->sweep, on_sweep);
    if (cwsd_direct_init(&plane->direct, service->pool, err) != CWS_OK ||
        make_tls(plane, address, err) != CWS_OK ||
        start_server(plane, loop, service, err) != CWS_OK ||
        start_listening(plane, loop, *address, err) != CWS_OK)
        return cws_error_wrap(err, "--data-plane");
    service->direct = &plane->direct;
    return CWS_OK;
}

void cwsd_data_plane_stop(struct cwsd_data_plane *plane)
{
    cws_listener_free(plane->listener);
    plane->listener = NULL;
}

void cwsd_data_plane_close(struct cwsd_data_plane *plane)
{
    cwsd_data_plane_stop(plane);
    if (plane->loop)
        cws_timer_cancel(plane->loop, &plane->sweep);
    cws_server_free(plane->server);
    cws_tls_config_unref(plane->tls);
    cwsd_methods_done(&plane->methods);
    cwsd_direct_done(&plane->direct);
}
