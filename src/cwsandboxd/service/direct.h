/*
 * The direct data plane: who gets a certificate, and what those who show one may do. A certificate
 * stands for a grant (values/grant.h): some methods, on one sandbox, until it expires. Nothing else
 * counts; headers with credentials are not looked at. Loop thread only.
 */
#pragma once

#include "config/address.h"
#include "io/tls_ca.h"
#include "sandboxes/pool.h"
#include "values/grant.h"

#define CWSD_DATA_PLANE_SERVICE "/coreweave.sandbox.v1.SandboxDataPlaneService/"

struct cwsd_direct {
    struct cwsd_pool *pool;
    struct cws_tls_ca *ca;
    struct cws_buf ca_pem;                    /* its own certificate, for clients */
    char endpoint[CWSD_ADDRESS_URL_SIZE];     /* where clients connect to; "" before it is known */
    char endpoint_id[sizeof("direct-") + 16]; /* another one each time the daemon starts */
};

/* Makes the authority. The struct is the caller's memory. CWS_TLS, CWS_NO_MEMORY. */
enum cws_status cwsd_direct_init(struct cwsd_direct *direct, struct cwsd_pool *pool,
                                 struct cws_error *err) CWS_MUST_CHECK;
/* An all-zero struct is allowed. */
void cwsd_direct_done(struct cwsd_direct *direct);

/* Whether the client may have a connection: its certificate has a grant, whose sandbox has not
 * ended. */
bool cwsd_direct_welcomes(const struct cwsd_direct *direct, const struct cws_identity *identity);

/* Whether the call's certificate permits its method now. False with *fault UNAUTHENTICATED or
 * PERMISSION_DENIED. Only where cws_server_call_header is allowed. */
bool cwsd_direct_admit(const struct cws_server_call *call, struct cwsd_fault *fault);

/* Whether the call's certificate, if it came with one, is for this sandbox. False with *fault:
 * PERMISSION_DENIED, or UNAVAILABLE once the sandbox has ended. */
bool cwsd_direct_check_sandbox(const struct cwsd_direct *direct, const struct cws_server_call *call,
                               const char *sandbox_id, struct cwsd_fault *fault);
