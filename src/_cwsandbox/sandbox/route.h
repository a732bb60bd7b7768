/*
 * By which way a tenant's call goes: through the service's gateway, or straight to the sandbox's
 * own endpoint (the direct data plane). Loop thread only.
 */
#pragma once

#include "grpc/call.h"

/* A path is one of these and the method's name. */
#define CWS_GATEWAY_PATH "/coreweave.sandbox.v1.SandboxService/"
#define CWS_DIRECT_PATH  "/coreweave.sandbox.v1.SandboxDataPlaneService/"

/* The methods that both ways have. Their numbers are those of the published permissions. */
enum cws_data_method {
    CWS_DATA_STREAM_EXEC = 2,
    CWS_DATA_STREAM_LOGS = 3,
    CWS_DATA_WRITE_FILE = 4,
    CWS_DATA_READ_FILE = 5,
};

/* The direct way to one sandbox. All zero: there is none. */
struct cws_direct {
    struct cws_channel *channel; /* a reference */
    unsigned permissions;        /* bit 1 << cws_data_method for each */
    uint64_t until_ns;           /* the certificate's end */
    bool strict;                 /* the gateway is no way out */
};

/* The channel for a call of this method, with its paths filled in. In turn: the direct one, if it
 * is strict or connected, permits the method and has not expired, with the gateway's as the one
 * otherwise unless it is strict; the gateway's. NULL: it is strict and does not permit the
 * method. *out_missed: the direct way would have done, but is not connected or has expired. */
struct cws_channel *cws_route(const struct cws_direct *direct, struct cws_channel *gateway,
                              enum cws_data_method method, struct cws_call_options *options,
                              bool *out_missed);

/* Whether a call with this direct path, which cws_route has filled in, is permitted. */
bool cws_route_permits(const struct cws_direct *direct, const char *path);

/* What to tell a tenant that has no way. */
#define CWS_ROUTE_NOT_PERMITTED \
    "the service does not permit this over the direct data plane (data_plane_mode is 'direct')"
