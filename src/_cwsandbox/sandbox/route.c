#include "sandbox/route.h"

#include "base/clock.h"
#include "sandbox/log_wire.h"

static const struct {
    const char *gateway, *direct;
} paths[] = {
    [CWS_DATA_STREAM_EXEC] = {CWS_GATEWAY_PATH "StreamExec", CWS_DIRECT_PATH "StreamExec"},
    [CWS_DATA_STREAM_LOGS] = {CWS_GATEWAY_PATH "StreamLogs", CWS_DIRECT_PATH "StreamLogs"},
    [CWS_DATA_WRITE_FILE] = {CWS_GATEWAY_PATH "WriteFile", CWS_DIRECT_PATH "WriteFile"},
    [CWS_DATA_READ_FILE] = {CWS_GATEWAY_PATH "ReadFile", CWS_DIRECT_PATH "ReadFile"},
};

static bool is_refusal(const struct cws_grpc_status *status)
{
    return status->code == CWS_GRPC_UNAVAILABLE && cws_log_wire_advice(status).is_elsewhere;
}

struct cws_channel *cws_route(const struct cws_direct *direct, struct cws_channel *gateway,
                              enum cws_data_method method, struct cws_call_options *options,
                              bool *out_missed)
{
    *out_missed = false;
    options->path = paths[method].gateway;
    if (!direct->channel)
        return direct->strict ? NULL : gateway;
    bool permitted = direct->permissions >> method & 1;
    if (!permitted)
        return direct->strict ? NULL : gateway;
    if (!direct->strict &&
        (cws_clock_now_ns() >= direct->until_ns || !cws_channel_is_connected(direct->channel))) {
        *out_missed = true;
        return gateway;
    }
    if (!direct->strict) {
        options->otherwise = gateway;
        options->otherwise_path = options->path;
    }
    options->is_refusal = is_refusal;
    options->path = paths[method].direct;
    return direct->channel;
}

bool cws_route_permits(const struct cws_direct *direct, const char *path)
{
    for (unsigned method = 0; method < CWS_ARRAY_LEN(paths); method++)
        if (paths[method].direct == path)
            return direct->permissions >> method & 1;
    return false;
}
