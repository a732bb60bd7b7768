#include "service/direct.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "io/tls.h"
#include "values/text.h"

/* In the order of enum cwsd_permission. */
static const char *const methods[CWSD_PERMISSION_END] = {
    [CWSD_PERMISSION_EXEC] = CWSD_DATA_PLANE_SERVICE "Exec",
    [CWSD_PERMISSION_STREAM_EXEC] = CWSD_DATA_PLANE_SERVICE "StreamExec",
    [CWSD_PERMISSION_STREAM_LOGS] = CWSD_DATA_PLANE_SERVICE "StreamLogs",
    [CWSD_PERMISSION_WRITE_FILE] = CWSD_DATA_PLANE_SERVICE "WriteFile",
    [CWSD_PERMISSION_READ_FILE] = CWSD_DATA_PLANE_SERVICE "ReadFile",
};

enum cws_status cwsd_direct_init(struct cwsd_direct *direct, struct cwsd_pool *pool,
                                 struct cws_error *err)
{
    uint64_t random;
    memset(direct, 0, sizeof(*direct));
    direct->pool = pool;
    cws_buf_init(&direct->ca_pem, CWS_TLS_PEM_MAX);
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        abort(); /* the kernel guarantees reads of this size */
    snprintf(direct->endpoint_id, sizeof(direct->endpoint_id), "direct-%016llx",
             (unsigned long long)random);
    if (cws_tls_ca_new("cwsandboxd data plane", &direct->ca, err) == CWS_OK &&
        cws_tls_ca_write(direct->ca, &direct->ca_pem, err) == CWS_OK)
        return CWS_OK;
    cwsd_direct_done(direct);
    return err->status;
}

void cwsd_direct_done(struct cwsd_direct *direct)
{
    cws_tls_ca_free(direct->ca);
    cws_buf_done(&direct->ca_pem);
    direct->ca = NULL;
}

static bool has_ended(const struct cwsd_direct *direct, const char *sandbox_id)
{
    struct cwsd_fault ignored;
    const struct cwsd_sandbox *sandbox = cwsd_pool_find(direct->pool, sandbox_id, &ignored);
    return !sandbox || cwsd_record_is_finished(&sandbox->record);
}

bool cwsd_direct_welcomes(const struct cwsd_direct *direct, const struct cws_identity *identity)
{
    struct cwsd_grant grant;
    return identity && cwsd_grant_parse(identity->uri, &grant) &&
           !has_ended(direct, grant.sandbox_id);
}

bool cwsd_direct_admit(const struct cws_server_call *call, struct cwsd_fault *fault)
{
    const struct cws_identity *identity = cws_server_call_identity(call);
    const char *path = cws_server_call_header(call, ":path");
    struct cwsd_grant grant;
    int permission = CWSD_PERMISSION_EXEC;
    if (!identity || !cwsd_grant_parse(identity->uri, &grant))
        return cwsd_fault_set(fault, CWS_GRPC_UNAUTHENTICATED, CWSD_REASON_UNAUTHENTICATED,
                              "the certificate is not one of ConnectSandbox");
    if (identity->expires_s <= time(NULL)) /* it was valid when the connection was made */
        return cwsd_fault_set(fault, CWS_GRPC_UNAUTHENTICATED, CWSD_REASON_UNAUTHENTICATED,
                              "the certificate has expired; ConnectSandbox gives a new one");
    while (permission < CWSD_PERMISSION_END && (!path || strcmp(path, methods[permission]) != 0))
        permission++;
    if (permission < CWSD_PERMISSION_END && cwsd_grant_has(&grant, permission))
        return true;
    return cwsd_fault_set(fault, CWS_GRPC_PERMISSION_DENIED, CWSD_REASON_PERMISSION_DENIED,
                          "the certificate does not permit %s",
                          path ? cwsd_text_short(path).text : "this method");
}

bool cwsd_direct_check_sandbox(const struct cwsd_direct *direct, const struct cws_server_call *call,
                               const char *sandbox_id, struct cwsd_fault *fault)
{
    const struct cws_identity *identity = cws_server_call_identity(call);
    struct cwsd_grant grant;
    if (!identity)
        return true; /* it came by the gateway, and was admitted there */
    if (!cwsd_grant_parse(identity->uri, &grant) || strcmp(grant.sandbox_id, sandbox_id) != 0)
        return cwsd_fault_set(fault, CWS_GRPC_PERMISSION_DENIED, CWSD_REASON_PERMISSION_DENIED,
                              "the certificate is not for sandbox \"%s\"",
                              cwsd_text_short(sandbox_id).text);
    if (!has_ended(direct, sandbox_id))
        return true;
    cwsd_fault_set(fault, CWS_GRPC_UNAVAILABLE, CWSD_REASON_SHARD_RETIRING,
                   "sandbox %s has ended, and this endpoint no longer serves it", sandbox_id);
    cwsd_fault_note(fault, "sandbox_id", sandbox_id);
    return false;
}
