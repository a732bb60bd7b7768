#include "sandboxes/endpoints.h"

#include <stdio.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "io/listen.h"
#include "sandboxes/forward.h"
#include "values/bounds.h"
#include "values/spec_services.h"

#define TOKEN_BYTES 24

typedef Coreweave__Sandbox__V1__ServiceStatus service_status_t;
typedef Coreweave__Sandbox__V1__EndpointStatus endpoint_status_t;

struct endpoint {
    struct cws_listener *listener;
    struct cwsd_forwards forwards;
    struct cwsd_gate gate; /* of HTTPS */
    char url[32];
    char address[24];
    service_status_t status;
    endpoint_status_t endpoint_status;
};

struct cwsd_endpoints {
    service_status_t **statuses; /* of all, as messages have them */
    size_t count;
    char token[2 * TOKEN_BYTES + 1]; /* "": none */
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
    endpoint_status_t *outside = &endpoint->endpoint_status;
    if (service->endpoint) {
        coreweave__sandbox__v1__endpoint_status__init(outside);
        outside->kind = service->endpoint->kind;
        outside->auth = service->endpoint->auth;
        outside->request_timeout_seconds = (int32_t)endpoint->gate.limit_s;
        if (cwsd_spec_has_https(service))
            outside->url = endpoint->url;
        else
            outside->address = endpoint->address;
        status->endpoint = outside;
    } else if (endpoint->listener) {
        status->url = endpoint->url;
    }
}

static void set_gate(struct endpoint *endpoint, const char *token,
                     const Coreweave__Sandbox__V1__Service *service)
{
    int32_t limit_s = service->endpoint->request_timeout_seconds;
    endpoint->gate.limit_s = limit_s ? (uint32_t)limit_s : CWSD_DEFAULT_REQUEST_S;
    endpoint->gate.token = cwsd_spec_needs_share_token(service) ? token : NULL;
}

static enum cws_status open_one(struct endpoint *endpoint, const char *token,
                                const struct cwsd_endpoints_options *options,
                                const Coreweave__Sandbox__V1__Service *service,
                                struct cws_error *err)
{
    bool https = cwsd_spec_has_https(service);
    if (https)
        set_gate(endpoint, token, service);
    cwsd_forwards_init(&endpoint->forwards, options->loop, options->box, (uint16_t)service->port,
                       https ? &endpoint->gate : NULL);
    if (cwsd_spec_is_exposed(service)) {
        const struct cws_listen_options listen = {.host = CWSD_ENDPOINT_HOST,
                                                  .tls = https ? options->tls : NULL};
        enum cws_status status = cws_listener_new(options->loop, &listen, on_connection, endpoint,
                                                  &endpoint->listener, err);
        if (status != CWS_OK)
            return status;
        unsigned port = cws_listener_port(endpoint->listener);
        snprintf(endpoint->address, sizeof(endpoint->address), CWSD_ENDPOINT_HOST ":%u", port);
        snprintf(endpoint->url, sizeof(endpoint->url), "%s://%s", https ? "https" : "http",
                 endpoint->address);
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

static bool make_token(struct cwsd_endpoints *endpoints, const cwsd_pb_spec *spec,
                       struct cwsd_fault *fault)
{
    uint8_t random[TOKEN_BYTES];
    bool needed = false;
    for (size_t i = 0; i < spec->n_services; i++)
        needed = needed || cwsd_spec_needs_share_token(spec->services[i]);
    if (needed && getrandom(random, sizeof(random), 0) != sizeof(random))
        return cwsd_fault_set(fault, CWS_GRPC_UNAVAILABLE, CWSD_REASON_BACKEND_UNAVAILABLE,
                              "this host has no random bytes for a share token");
    for (size_t i = 0; needed && i < sizeof(random); i++)
        snprintf(endpoints->token + 2 * i, 3, "%02x", random[i]);
    return true;
}

bool cwsd_endpoints_open(const struct cwsd_endpoints_options *options,
                         struct cwsd_endpoints **out_endpoints, struct cwsd_fault *fault)
{
    const cwsd_pb_spec *spec = options->spec;
    struct cws_error err;
    *out_endpoints = NULL;
    if (spec->n_services == 0)
        return true;
    struct cwsd_endpoints *endpoints = allocate(spec->n_services);
    if (!endpoints)
        return cwsd_fault_set_memory(fault);
    bool opened = make_token(endpoints, spec, fault);
    for (size_t i = 0; opened && i < spec->n_services; i++) {
        struct endpoint *endpoint = &endpoints->items[i];
        endpoints->statuses[i] = &endpoint->status;
        endpoints->count++;
        opened = open_one(endpoint, endpoints->token, options, spec->services[i], &err) == CWS_OK;
        if (!opened)
            cwsd_fault_set(fault, CWS_GRPC_UNAVAILABLE, CWSD_REASON_BACKEND_UNAVAILABLE,
                           "spec.services[%zu]: no port of this host can be had: %s", i, err.text);
    }
    if (!opened) {
        cwsd_endpoints_close(endpoints);
        return false;
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

const char *cwsd_endpoints_token(const struct cwsd_endpoints *endpoints)
{
    return endpoints && endpoints->token[0] ? endpoints->token : NULL;
}
