#include "proto/registry.h"

#include <stdio.h>
#include <string.h>

#include "proto/generated/all.pb-c.h"

#define ADDRESS(name) &(name),

static const ProtobufCServiceDescriptor *const services[] = {CWS_PROTO_SERVICES(ADDRESS)};
static const ProtobufCMessageDescriptor *const messages[] = {CWS_PROTO_MESSAGES(ADDRESS)};

static bool is_text(const char *text, const char *bytes, size_t len)
{
    return strlen(text) == len && memcmp(text, bytes, len) == 0;
}

static const ProtobufCServiceDescriptor *find_service(const char *name, size_t len)
{
    for (size_t i = 0; i < CWS_ARRAY_LEN(services); i++) {
        if (is_text(services[i]->short_name, name, len)) {
            return services[i];
        }
    }
    return NULL;
}

const ProtobufCMethodDescriptor *cws_proto_method_path(const char *name, size_t len,
                                                       char out_path[CWS_PROTO_PATH_MAX])
{
    out_path[0] = '\0';
    const char *slash = memchr(name, '/', len);
    if (slash == NULL) {
        return NULL;
    }
    size_t service_len = (size_t)(slash - name);
    const ProtobufCServiceDescriptor *service = find_service(name, service_len);
    if (service == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < service->n_methods; i++) {
        const ProtobufCMethodDescriptor *method = &service->methods[i];
        if (is_text(method->name, slash + 1, len - service_len - 1)) {
            int written =
                snprintf(out_path, CWS_PROTO_PATH_MAX, "/%s/%s", service->name, method->name);
            assert(written > 0 && written < CWS_PROTO_PATH_MAX);
            (void)written;
            return method;
        }
    }
    return NULL;
}

const ProtobufCMethodDescriptor *cws_proto_method(const char *name, size_t len)
{
    char path[CWS_PROTO_PATH_MAX];
    return cws_proto_method_path(name, len, path);
}

const ProtobufCMessageDescriptor *cws_proto_message(const char *name, size_t len)
{
    for (size_t i = 0; i < CWS_ARRAY_LEN(messages); i++) {
        if (is_text(messages[i]->name, name, len)) {
            return messages[i];
        }
    }
    return NULL;
}
