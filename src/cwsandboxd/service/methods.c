#include "service/methods.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "proto/generated/all.pb-c.h"
#include "service/calls.h"

static const struct cwsd_unary_row *const unary_tables[] = {
    cwsd_settings_rows,  cwsd_template_rows, cwsd_create_rows, cwsd_discovery_rows,
    cwsd_lifecycle_rows, cwsd_exec_rows,     cwsd_file_rows,   cwsd_connect_rows,
    cwsd_snapshot_rows,  cwsd_volume_rows,
};

static const struct cws_server_method *const streams[] = {&cwsd_call_stream_exec,
                                                          &cwsd_call_stream_logs};

#define SERVICE_ADDRESS(descriptor) &(descriptor),
static const ProtobufCServiceDescriptor *const services[] = {CWS_PROTO_SERVICES(SERVICE_ADDRESS)};

/* ---- methods that are not offered ----------------------------------------------------------- */

static void refuse(struct cws_server_call *call, void *ctx)
{
    (void)ctx;
    struct cwsd_fault fault;
    const char *path = cws_server_call_header(call, ":path");
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

static void ignore_half_closed(struct cws_server_call *call)
{
    (void)call;
}

static void ignore_closed(struct cws_server_call *call, enum cws_grpc_code why)
{
    (void)call, (void)why;
}

static const struct cws_server_method refused = {.start = refuse,
                                                 .message = ignore_message,
                                                 .half_closed = ignore_half_closed,
                                                 .closed = ignore_closed};

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

static const struct cwsd_unary_row *find_unary(const char *path)
{
    for (size_t i = 0; i < CWS_ARRAY_LEN(unary_tables); i++)
        for (const struct cwsd_unary_row *row = unary_tables[i]; row->path; row++)
            if (strcmp(row->path, path) == 0)
                return row;
    return NULL;
}

static struct cws_server_method find_offered(const char *path,
                                             const ProtobufCMethodDescriptor *types,
                                             struct cwsd_unary_method *unary)
{
    *unary = (struct cwsd_unary_method){find_unary(path), types};
    if (unary->row)
        return cwsd_unary_server_method(unary);
    for (size_t i = 0; i < CWS_ARRAY_LEN(streams); i++)
        if (strcmp(streams[i]->path, path) == 0)
            return *streams[i];
    return refused;
}

/* Adds the methods of a service, each done by what is offered under the same name by `as`. */
static enum cws_status add_service(struct cwsd_methods *methods,
                                   const ProtobufCServiceDescriptor *descriptor,
                                   const ProtobufCServiceDescriptor *as)
{
    for (unsigned i = 0; i < descriptor->n_methods; i++) {
        char *path = make_path(descriptor, &descriptor->methods[i]);
        char *offered = path ? make_path(as, &descriptor->methods[i]) : NULL;
        if (!offered) {
            cws_free(path);
            return CWS_NO_MEMORY;
        }
        size_t at = methods->count++;
        methods->entries[at] = find_offered(offered, &descriptor->methods[i], &methods->unary[at]);
        methods->entries[at].path = path;
        cws_free(offered);
    }
    return CWS_OK;
}

static enum cws_status init(struct cwsd_methods *methods,
                            const ProtobufCServiceDescriptor *const *added, size_t service_count,
                            const ProtobufCServiceDescriptor *as)
{
    size_t count = 0;
    memset(methods, 0, sizeof(*methods));
    for (size_t i = 0; i < service_count; i++)
        count += added[i]->n_methods;
    methods->entries = cws_calloc(count, sizeof(*methods->entries));
    methods->unary = cws_calloc(count, sizeof(*methods->unary));
    enum cws_status status = methods->entries && methods->unary ? CWS_OK : CWS_NO_MEMORY;
    for (size_t i = 0; status == CWS_OK && i < service_count; i++)
        status = add_service(methods, added[i], as ? as : added[i]);
    if (status != CWS_OK)
        cwsd_methods_done(methods);
    return status;
}

enum cws_status cwsd_methods_init(struct cwsd_methods *methods)
{
    return init(methods, services, CWS_ARRAY_LEN(services), NULL);
}

enum cws_status cwsd_methods_init_direct(struct cwsd_methods *methods)
{
    static const ProtobufCServiceDescriptor *const direct[] = {
        &coreweave__sandbox__v1__sandbox_data_plane_service__descriptor};
    return init(methods, direct, CWS_ARRAY_LEN(direct),
                &coreweave__sandbox__v1__sandbox_service__descriptor);
}

void cwsd_methods_done(struct cwsd_methods *methods)
{
    for (size_t i = 0; methods->entries && i < methods->count; i++)
        cws_free((char *)methods->entries[i].path);
    cws_free(methods->entries);
    cws_free(methods->unary);
    methods->entries = NULL;
    methods->unary = NULL;
    methods->count = 0;
}
