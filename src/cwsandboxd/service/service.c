#include "service/service.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "proto/generated/all.pb-c.h"
#include "service/auth.h"
#include "service/calls.h"
#include "values/wire.h"

static const struct cws_server_method *const offered[] = {
    &cwsd_call_create, &cwsd_call_get,  &cwsd_call_list,
    &cwsd_call_delete, &cwsd_call_exec, &cwsd_call_stream_exec,
};

#define SERVICE_ADDRESS(descriptor) &(descriptor),
static const ProtobufCServiceDescriptor *const services[] = {CWS_PROTO_SERVICES(SERVICE_ADDRESS)};

/* ---- methods that are not offered ----------------------------------------------------------- */

static void refuse(struct cws_server_call *call, void *ctx)
{
    (void)ctx;
    struct cwsd_fault fault;
    const char *path = cws_server_call_header(call, ":path");
    if (!cwsd_service_admit(call))
        return;
    cwsd_fault_set(&fault, CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NOT_IMPLEMENTED,
                   "this daemon does not offer %s", path ? path : "this method");
    if (path)
        cwsd_fault_note(&fault, "method", path);
    cwsd_fault_finish(&fault, call);
}

static void ignore_message(struct cws_server_call *call, const uint8_t *data, size_t len)
{
    (void)call, (void)data, (void)len;
}

static void ignore(struct cws_server_call *call)
{
    (void)call;
}

static void ignore_closed(struct cws_server_call *call, enum cws_grpc_code why)
{
    (void)call, (void)why;
}

static const struct cws_server_method refused = {NULL,   refuse,        ignore_message, ignore,
                                                 ignore, ignore_closed, false};

/* ---- the table ------------------------------------------------------------------------------ */

static char *make_path(const ProtobufCServiceDescriptor *service,
                       const ProtobufCMethodDescriptor *method)
{
    size_t size = strlen(service->name) + strlen(method->name) + 3;
    char *path = cws_malloc(size);
    if (path)
        snprintf(path, size, "/%s/%s", service->name, method->name);
    return path;
}

static const struct cws_server_method *find_offered(const char *path)
{
    for (size_t i = 0; i < CWS_ARRAY_LEN(offered); i++)
        if (strcmp(offered[i]->path, path) == 0)
            return offered[i];
    return &refused;
}

static enum cws_status add_service(struct cwsd_service *service,
                                   const ProtobufCServiceDescriptor *descriptor)
{
    for (unsigned i = 0; i < descriptor->n_methods; i++) {
        char *path = make_path(descriptor, &descriptor->methods[i]);
        if (!path)
            return CWS_NO_MEMORY;
        struct cws_server_method *method = &service->methods[service->method_count++];
        *method = *find_offered(path);
        method->path = path;
    }
    return CWS_OK;
}

enum cws_status cwsd_service_init(struct cwsd_service *service, struct cwsd_pool *pool,
                                  const char *token)
{
    size_t count = 0;
    memset(service, 0, sizeof(*service));
    service->pool = pool;
    service->token = token;
    for (size_t i = 0; i < CWS_ARRAY_LEN(services); i++)
        count += services[i]->n_methods;
    service->methods = cws_calloc(count, sizeof(*service->methods));
    if (!service->methods)
        return CWS_NO_MEMORY;
    for (size_t i = 0; i < CWS_ARRAY_LEN(services); i++)
        if (add_service(service, services[i]) != CWS_OK) {
            cwsd_service_done(service);
            return CWS_NO_MEMORY;
        }
    return CWS_OK;
}

void cwsd_service_done(struct cwsd_service *service)
{
    for (size_t i = 0; i < service->method_count; i++)
        cws_free((char *)service->methods[i].path);
    cws_free(service->methods);
    service->methods = NULL;
    service->method_count = 0;
}

/* ---- for all methods ------------------------------------------------------------------------ */

bool cwsd_service_admit(struct cws_server_call *call)
{
    struct cwsd_fault fault;
    if (cwsd_auth_check(call, cwsd_service_of(call)->token, &fault))
        return true;
    cwsd_fault_finish(&fault, call);
    return false;
}

bool cwsd_service_send(struct cws_server_call *call, const void *message)
{
    struct cws_block *block = cwsd_wire_pack(message);
    if (!block)
        return false;
    cws_server_call_send(call, block);
    return true;
}

void cwsd_service_answer(struct cws_server_call *call, const void *message)
{
    if (cwsd_service_send(call, message)) {
        cws_server_call_finish(call, CWS_GRPC_OK, NULL, NULL, 0);
        return;
    }
    struct cwsd_fault fault;
    cwsd_fault_set_memory(&fault);
    cwsd_fault_finish(&fault, call);
}
