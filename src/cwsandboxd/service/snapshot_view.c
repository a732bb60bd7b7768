#include "service/snapshot_view.h"

#include "base/clock.h"

static cwsd_pb_timestamp timestamp(int64_t ns)
{
    cwsd_pb_timestamp out = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    out.seconds = ns / (int64_t)CWS_NS_PER_S;
    out.nanos = (int32_t)(ns % (int64_t)CWS_NS_PER_S);
    return out;
}

void cwsd_snapshot_view_init(struct cwsd_snapshot_view *view, const struct cwsd_snapshot *snapshot)
{
    cwsd_pb_snapshot *message = &view->message;
    coreweave__sandbox__v1__file_system_snapshot__init(message);
    message->file_system_snapshot_id = (char *)snapshot->id;
    message->state = snapshot->state;
    message->state_reason = (char *)snapshot->reason;
    message->size_bytes = (int64_t)snapshot->size;
    message->source_sandbox_id = (char *)snapshot->sandbox_id;
    message->source_volume_name = (char *)snapshot->volume;
    message->trigger = snapshot->trigger;
    message->request_id = (char *)snapshot->request_id;
    view->created = timestamp(snapshot->created_ns);
    view->completed = timestamp(snapshot->completed_ns);
    view->updated = timestamp(snapshot->updated_ns);
    message->create_time = &view->created;
    message->updated_at = &view->updated;
    if (snapshot->completed_ns)
        message->complete_time = &view->completed;
}
