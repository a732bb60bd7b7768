#include "values/spec_services.h"

#include <stdio.h>
#include <string.h>

#include "values/bounds.h"
#include "values/text.h"

#define PB(name)         COREWEAVE__SANDBOX__V1__##name
#define UNSPECIFIED      PB(VISIBILITY__VISIBILITY_UNSPECIFIED)
#define PUBLIC           PB(VISIBILITY__VISIBILITY_PUBLIC)
#define PRIVATE          PB(VISIBILITY__VISIBILITY_PRIVATE)
#define ANY_PROTOCOL     PB(SERVICE_PROTOCOL__SERVICE_PROTOCOL_UNSPECIFIED)
#define TCP              PB(SERVICE_PROTOCOL__SERVICE_PROTOCOL_TCP)
#define TLS_PASSTHROUGH  PB(ENDPOINT_KIND__ENDPOINT_KIND_TLS_PASSTHROUGH)
#define HTTPS            PB(ENDPOINT_KIND__ENDPOINT_KIND_HTTPS)
#define NO_AUTH          PB(ENDPOINT_AUTH__ENDPOINT_AUTH_UNSPECIFIED)
#define OPEN             PB(ENDPOINT_AUTH__ENDPOINT_AUTH_OPEN)
#define WITH_SHARE_TOKEN PB(ENDPOINT_AUTH__ENDPOINT_AUTH_SHARE_TOKEN)

typedef Coreweave__Sandbox__V1__Service service_t;

/* "spec.services[3].port" */
struct field {
    char text[64];
};

static struct field field_of(size_t i, const char *name)
{
    struct field field;
    snprintf(field.text, sizeof(field.text), "spec.services[%zu].%s", i, name);
    return field;
}

static bool refuse(struct cwsd_fault *fault, size_t i, const char *name, const char *reason,
                   const char *what)
{
    struct field field = field_of(i, name);
    cwsd_fault_set(fault, CWS_GRPC_UNIMPLEMENTED, reason, "%s: this daemon has no %s", field.text,
                   what);
    cwsd_fault_note(fault, "field", field.text);
    return false;
}

bool cwsd_spec_is_exposed(const service_t *service)
{
    return service->visibility != UNSPECIFIED;
}

static bool check_numbers(const cwsd_pb_spec *spec, size_t i, struct cwsd_fault *fault)
{
    const service_t *service = spec->services[i];
    if (service->port < 1 || service->port > UINT16_MAX)
        return cwsd_fault_set_invalid(fault, field_of(i, "port").text, "%d is not from 1 to %d",
                                      (int)service->port, UINT16_MAX);
    for (size_t j = 0; j < i; j++)
        if (spec->services[j]->port == service->port)
            return cwsd_fault_set_invalid(fault, field_of(i, "port").text,
                                          "%d is the port of two services", (int)service->port);
    if (strlen(service->name) > CWSD_MAX_NAME_BYTES)
        return cwsd_fault_set_invalid(fault, field_of(i, "name").text,
                                      "\"%s\" has more than %d bytes",
                                      cwsd_text_short(service->name).text, CWSD_MAX_NAME_BYTES);
    return true;
}

static bool check_endpoint(const service_t *service, size_t i, struct cwsd_fault *fault)
{
    const Coreweave__Sandbox__V1__EndpointSpec *endpoint = service->endpoint;
    if (!endpoint)
        return true;
    if (service->visibility != PUBLIC)
        return cwsd_fault_set_invalid(fault, field_of(i, "endpoint").text,
                                      "needs the visibility PUBLIC");
    if (endpoint->kind == TLS_PASSTHROUGH &&
        (endpoint->auth != NO_AUTH || endpoint->request_timeout_seconds))
        return cwsd_fault_set_invalid(fault, field_of(i, "endpoint").text,
                                      "TLS passthrough has neither auth nor a time limit");
    if (endpoint->kind == TLS_PASSTHROUGH)
        return true;
    if (endpoint->kind != HTTPS)
        return cwsd_fault_set_invalid(fault, field_of(i, "endpoint.kind").text,
                                      "%d is no kind of endpoint", (int)endpoint->kind);
    if (endpoint->auth != OPEN && endpoint->auth != WITH_SHARE_TOKEN)
        return cwsd_fault_set_invalid(fault, field_of(i, "endpoint.auth").text,
                                      "must be OPEN or SHARE_TOKEN for HTTPS");
    int32_t limit_s = endpoint->request_timeout_seconds;
    if (limit_s && (limit_s < CWSD_MIN_REQUEST_S || limit_s > CWSD_MAX_REQUEST_S))
        return cwsd_fault_set_invalid(fault, field_of(i, "endpoint.request_timeout_seconds").text,
                                      "%d is neither 0 (the default) nor from %d to %d",
                                      (int)limit_s, CWSD_MIN_REQUEST_S, CWSD_MAX_REQUEST_S);
    return true;
}

bool cwsd_spec_has_https(const service_t *service)
{
    return service->endpoint && service->endpoint->kind == HTTPS;
}

bool cwsd_spec_needs_share_token(const service_t *service)
{
    return cwsd_spec_has_https(service) && service->endpoint->auth == WITH_SHARE_TOKEN;
}

static bool check_exposure(const service_t *service, size_t i, struct cwsd_fault *fault)
{
    if (service->visibility != UNSPECIFIED && service->visibility != PUBLIC &&
        service->visibility != PRIVATE)
        return refuse(fault, i, "visibility", CWSD_REASON_NOT_IMPLEMENTED,
                      "visibility but PUBLIC and PRIVATE");
    if (cwsd_spec_is_exposed(service) && service->protocol != ANY_PROTOCOL &&
        service->protocol != TCP)
        return refuse(fault, i, "protocol", CWSD_REASON_NOT_IMPLEMENTED,
                      "services of other protocols than TCP");
    return check_endpoint(service, i, fault);
}

bool cwsd_spec_check_services(const cwsd_pb_spec *spec, struct cwsd_fault *fault)
{
    bool is_public = false, is_private = false;
    if (spec->n_services > CWSD_MAX_SERVICES)
        return cwsd_fault_set_invalid(fault, "spec.services",
                                      "%zu services; at most %d are allowed", spec->n_services,
                                      CWSD_MAX_SERVICES);
    for (size_t i = 0; i < spec->n_services; i++) {
        if (!check_numbers(spec, i, fault) || !check_exposure(spec->services[i], i, fault))
            return false;
        is_public = is_public || spec->services[i]->visibility == PUBLIC;
        is_private = is_private || spec->services[i]->visibility == PRIVATE;
        if (is_public && is_private)
            return refuse(fault, i, "visibility", CWSD_REASON_NOT_IMPLEMENTED,
                          "sandboxes with both PUBLIC and PRIVATE services");
    }
    return true;
}
