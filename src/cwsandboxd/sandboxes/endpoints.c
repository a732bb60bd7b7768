#include "sandboxes/endpoints.h"

#include <stdio.h>

#include "base/alloc.h"
#include "io/listen.h"
#include "sandboxes/forward.h"
#include "values/spec_services.h"

#define LOOPBACK "127.0.0.1"

typedef Coreweave__Sandbox__V1__ServiceStatus service_status_t;
typedef Coreweave__Sandbox__V1__EndpointStatus endpoint_status_t;

struct endpoint {
    struct cws_listener *listener;
    struct cwsd_forwards forwards;
    char url[32];
    char address[24];
    service_status_t status;
    endpoint_status_t endpoint_status;
};

struct cwsd_endpoints {
    service_status_t **statuses; /* of all, as messages have them */
    size_t count;
    struct endpoint items[];
};

static void on_connection(void *ctx, struct cws_transport *transport)
{
    struct endpoint *endpoint = ctx;
    cwsd_forward_start(&endpoint->forwards, transport);
}

static void fill_status(struct endpoint *endpoint, const Coreweave__Sandbox__V1__Service *service)
{
    service_status_t *status = &endpoint->status;
    coreweave__sandbox__v1__service_status__init(status);
    status->port = service->port;
    status->name = service->name;
    status->protocol = service->protocol;
    status->visibility = service->visibility;
    if (service->endpoint) {
        coreweave__sandbox__v1__endpoint_status__init(&endpoint->endpoint_status);
        endpoint->endpoint_status.kind = service->endpoint->kind;
        endpoint->endpoint_status.address = endpoint->address;
        status->endpoint = &endpoint->endpoint_status;
    } else if (endpoint->listener) {
        status->url = endpoint->url;
    }
}

static enum cws_status open_one(struct endpoint *endpoint, struct cws_loop *loop,
                                const Coreweave__Sandbox__V1__Service *service,
                                struct cwsd_box *const *box, struct cws_error *err)
{
    const struct cws_listen_options options = {.host = LOOPBACK};
    cwsd_forwards_init(&endpoint->forwards, loop, box, (uint16_t)service->port, NULL);
    if (cwsd_spec_is_exposed(service)) {
        enum cws_status status =
            cws_listener_new(loop, &options, on_connection, endpoint, &endpoint->listener, err);
        if (status != CWS_OK)
            return status;
        unsigned port = cws_listener_port(endpoint->listener);
        snprintf(endpoint->address, sizeof(endpoint->address), LOOPBACK ":%u", port);
        snprintf(endpoint->url, sizeof(endpoint->url), "http://%s", endpoint->address);
    }
    fill_status(endpoint, service);
    return CWS_OK;
}

static struct cwsd_endpoints *allocate(size_t count)
{
    struct cwsd_endpoints *endpoints =
        cws_calloc(1, sizeof(*endpoints) + count * sizeof(endpoints->items[0]));
    if (!endpoints)
        return NULL;
    endpoints->statuses = cws_calloc(count, sizeof(service_status_t *));
    if (endpoints->statuses)
        return endpoints;
    cws_free(endpoints);
    return NULL;
}

bool cwsd_endpoints_open(struct cws_loop *loop, const cwsd_pb_spec *spec,
                         struct cwsd_box *const *box, struct cwsd_endpoints **out_endpoints,
                         struct cwsd_fault *fault)
{
    struct cws_error err;
    *out_endpoints = NULL;
    if (spec->n_services == 0)
        return true;
    struct cwsd_endpoints *endpoints = allocate(spec->n_services);
    if (!endpoints)
        return cwsd_fault_set_memory(fault);
    for (size_t i = 0; i < spec->n_services; i++) {
        struct endpoint *endpoint = &endpoints->items[i];
        endpoints->statuses[i] = &endpoint->status;
        enum cws_status status = open_one(endpoint, loop, spec->services[i], box, &err);
        endpoints->count++;
        if (status == CWS_OK)
            continue;
        cwsd_endpoints_close(endpoints);
        return cwsd_fault_set(fault, CWS_GRPC_UNAVAILABLE, CWSD_REASON_BACKEND_UNAVAILABLE,
                              "spec.services[%zu]: no port of this host can be had: %s", i,
                              err.text);
    }
    *out_endpoints = endpoints;
    return true;
}

void cwsd_endpoints_close(struct cwsd_endpoints *endpoints)
{
    if (!endpoints)
        return;
    for (size_t i = 0; i < endpoints->count; i++) {
        cws_listener_free(endpoints->items[i].listener);
        cwsd_forwards_end(&endpoints->items[i].forwards);
    }
    cws_free(endpoints->statuses);
    cws_free(endpoints);
}

void cwsd_endpoints_show(const struct cwsd_endpoints *endpoints, cwsd_pb_status *status)
{
    if (!endpoints)
        return;
    status->n_services = endpoints->count;
    status->services = endpoints->statuses;
}
