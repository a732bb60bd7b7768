#include "service/view.h"

#include <string.h>

#include "values/spec.h"
#include "values/spec_containers.h"
#include "values/spec_volumes.h"

#define PLATFORM  COREWEAVE__SANDBOX__V1__CONTROL__CONTROL_PLATFORM
#define DNS_ALLOW COREWEAVE__SANDBOX__V1__DNSEGRESS_MODE__DNS_EGRESS_MODE_ALLOW
#define DNS_DENY  COREWEAVE__SANDBOX__V1__DNSEGRESS_MODE__DNS_EGRESS_MODE_DENY

cwsd_pb_timestamp cwsd_view_timestamp(struct timespec time)
{
    cwsd_pb_timestamp out = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    out.seconds = time.tv_sec;
    out.nanos = (int32_t)time.tv_nsec;
    return out;
}

static void fill_times(struct cwsd_view *view, const struct cwsd_record *record)
{
    view->created = cwsd_view_timestamp(record->created);
    view->status.create_time = &view->created;
    view->started = cwsd_view_timestamp(record->started);
    if (record->started.tv_sec)
        view->status.start_time = &view->started;
    view->ended = cwsd_view_timestamp(record->ended);
    if (record->ended.tv_sec)
        view->status.end_time = &view->ended;
}

/* An only container fares as its sandbox. */
static void fill_containers(struct cwsd_view *view, const struct cwsd_record *record)
{
    const cwsd_pb_spec *spec = record->spec;
    bool has_rows = record->rows && spec->n_containers > 1;
    for (size_t i = 0; i < spec->n_containers; i++) {
        cwsd_pb_container_status *status = &view->containers[i];
        coreweave__sandbox__v1__container_status__init(status);
        status->name = spec->containers[i]->name;
        status->state = has_rows ? record->rows[i].state : record->state;
        status->exit_code = has_rows ? record->rows[i].exit_code : record->exit_code;
        view->container_list[i] = status;
    }
    view->status.n_container_statuses = spec->n_containers;
    view->status.container_statuses = view->container_list;
}

/* Each registered volume once, however often it is declared. */
static void fill_volumes(struct cwsd_view *view, const struct cwsd_record *record)
{
    size_t count = 0;
    for (size_t i = 0; i < record->spec->n_volumes && !cwsd_record_is_finished(record); i++) {
        const char *id = cwsd_spec_registered(record->spec->volumes[i]);
        size_t seen = 0;
        while (id && seen < count && strcmp(view->attached[seen], id) != 0)
            seen++;
        if (id && seen == count)
            view->attached[count++] = (char *)id;
    }
    view->status.n_attached_volume_ids = count;
    view->status.attached_volume_ids = view->attached;
}

/* The rules that hold. Without any there is no network but the sandbox's own. */
static void fill_egress(struct cwsd_view *view, const struct cwsd_record *record)
{
    const cwsd_pb_network *network = record->spec->network;
    view->status.effective_dns_egress = record->egress ? DNS_ALLOW : DNS_DENY;
    if (!record->egress)
        return;
    coreweave__sandbox__v1__egress_rule__init(&view->any);
    view->any.destination_case = COREWEAVE__SANDBOX__V1__EGRESS_RULE__DESTINATION_ANY;
    view->any.any = true;
    view->any_list[0] = &view->any;
    bool given = network->n_egress > 0;
    view->status.n_effective_egress = given ? network->n_egress : 1;
    view->status.effective_egress = given ? network->egress : view->any_list;
}

void cwsd_view_init(struct cwsd_view *view, const struct cwsd_record *record, const char *runner_id)
{
    const cwsd_pb_container *container = record->spec->containers[cwsd_spec_primary(record->spec)];
    coreweave__sandbox__v1__sandbox__init(&view->sandbox);
    coreweave__sandbox__v1__sandbox_status__init(&view->status);
    view->sandbox.sandbox_id = (char *)record->id;
    view->sandbox.display_name = record->display_name;
    view->sandbox.spec = record->spec;
    if (record->source_template_id)
        view->sandbox.source_template_id = record->source_template_id;
    view->sandbox.source_template_revision = record->source_template_revision;
    view->sandbox.control = PLATFORM; /* a container engine is refused */
    view->sandbox.status = &view->status;
    view->status.state = record->state;
    view->status.state_reason = (char *)record->reason;
    view->status.runner_id = (char *)runner_id;
    view->status.runner_group_id = (char *)CWSD_RUNNER_GROUP_ID;
    view->status.effective_max_lifetime_seconds = cwsd_spec_lifetime_s(record->spec);
    view->status.effective_resources = container->resources;
    view->status.effective_resource_requirements = container->resource_requirements;
    if (record->has_exit_code) {
        view->status._exit_code_case = COREWEAVE__SANDBOX__V1__SANDBOX_STATUS___EXIT_CODE_EXIT_CODE;
        view->status.exit_code = record->exit_code;
    }
    fill_egress(view, record);
    fill_times(view, record);
    fill_containers(view, record);
    fill_volumes(view, record);
}

void cwsd_view_add_execs(struct cwsd_view *view, struct cwsd_box_execs execs)
{
    view->status._running_execs_case =
        COREWEAVE__SANDBOX__V1__SANDBOX_STATUS___RUNNING_EXECS_RUNNING_EXECS;
    view->status.running_execs = (int32_t)execs.running;
    view->status._started_execs_case =
        COREWEAVE__SANDBOX__V1__SANDBOX_STATUS___STARTED_EXECS_STARTED_EXECS;
    view->status.started_execs = (int64_t)execs.started;
}

void cwsd_view_add_usage(struct cwsd_view *view, const struct cwsd_usage *usage)
{
    coreweave__sandbox__v1__resource_usage__init(&view->usage);
    view->usage.cpu_millicores = usage->cpu_millicores;
    view->usage.memory_mb = usage->memory_mb;
    view->status.resource_usage = &view->usage;
}
