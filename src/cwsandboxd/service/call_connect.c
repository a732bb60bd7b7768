/* ConnectSandbox: a certificate for the direct data plane, and where that is. */
#include <time.h>

#include "io/tls.h"
#include "service/calls.h"
#include "service/direct.h"
#include "service/unary.h"
#include "values/bounds.h"

#define TRANSPORT COREWEAVE__SANDBOX__V1__SANDBOX_DATA_TRANSPORT__SANDBOX_DATA_TRANSPORT_DIRECT_MTLS
#define PROTOCOL  COREWEAVE__SANDBOX__V1__SANDBOX_DATA_PROTOCOL__SANDBOX_DATA_PROTOCOL_CONNECT_H2_V1

static ProtobufCBinaryData bytes_of(const struct cws_buf *buf)
{
    return (ProtobufCBinaryData){buf->len, (uint8_t *)cws_buf_bytes(buf)};
}

static bool answer(struct cwsd_unary *unary, const struct cwsd_direct *direct,
                   const struct cws_buf *cert_pem, int64_t expires_s)
{
    const cwsd_pb_connect_request *request = unary->request;
    cwsd_pb_connection connection = COREWEAVE__SANDBOX__V1__SANDBOX_CONNECTION__INIT;
    cwsd_pb_timestamp expires = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    expires.seconds = expires_s;
    connection.endpoint_uri = (char *)direct->endpoint;
    connection.endpoint_id = (char *)direct->endpoint_id;
    connection.client_certificate_chain_pem = bytes_of(cert_pem);
    connection.server_ca_bundle_pem = bytes_of(&direct->ca_pem);
    connection.expires_at = &expires;
    connection.transport = TRANSPORT;
    connection.protocol = PROTOCOL;
    connection.n_granted_permissions = request->n_requested_permissions;
    connection.granted_permissions = request->requested_permissions;
    return cwsd_unary_answer(unary, &connection);
}

static bool set_sign_fault(const struct cws_error *err, struct cwsd_fault *fault)
{
    if (err->status == CWS_INVALID)
        return cwsd_fault_set_invalid(fault, "csr_der", "%s", err->text);
    if (err->status == CWS_NO_MEMORY)
        return cwsd_fault_set_memory(fault);
    return cwsd_fault_set(fault, CWS_GRPC_INTERNAL, CWSD_REASON_INTERNAL, "%s", err->text);
}

static bool check_running(struct cwsd_unary *unary, struct cwsd_fault *fault)
{
    const cwsd_pb_connect_request *request = unary->request;
    const struct cwsd_sandbox *sandbox =
        cwsd_pool_find(cwsd_unary_pool(unary), request->sandbox_id, fault);
    if (!sandbox)
        return false;
    if (sandbox->record.state == CWSD_STATE(RUNNING))
        return true;
    cwsd_fault_set(fault, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_SANDBOX_NOT_RUNNING,
                   "sandbox %s does not run", sandbox->record.id);
    cwsd_fault_note(fault, "sandbox_id", sandbox->record.id);
    return false;
}

static bool handle_connect(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_connect_request *request = message;
    struct cwsd_direct *direct = cwsd_service_of(unary->call)->direct;
    struct cwsd_grant grant;
    struct cws_error err;
    char uri[CWSD_GRANT_URI_SIZE];
    if (!direct)
        return cwsd_fault_set(fault, CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NOT_IMPLEMENTED,
                              "this daemon has no direct data plane (--data-plane)");
    if (!check_running(unary, fault) || !cwsd_grant_from_request(request, &grant, fault))
        return false;
    struct cws_buf cert_pem;
    int64_t expires_s = time(NULL) + CWSD_CERTIFICATE_S;
    cws_buf_init(&cert_pem, CWS_TLS_PEM_MAX);
    cwsd_grant_uri(&grant, uri);
    bool done = cws_tls_ca_sign_client(direct->ca, request->csr_der.data, request->csr_der.len, uri,
                                       expires_s, &cert_pem, &err) == CWS_OK
                    ? answer(unary, direct, &cert_pem, expires_s)
                    : set_sign_fault(&err, fault);
    cws_buf_done(&cert_pem);
    return done;
}

const struct cwsd_unary_row cwsd_connect_rows[] = {
    {.path = CWSD_SANDBOX_SERVICE "ConnectSandbox", .handle = handle_connect},
    {.path = NULL},
};
