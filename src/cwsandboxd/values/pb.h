/* Short names for the generated messages the daemon handles. */
#pragma once

#include "proto/generated/discovery.pb-c.h"
#include "proto/generated/sandbox.pb-c.h"
#include "proto/generated/sandbox_template.pb-c.h"
#include "proto/generated/settings.pb-c.h"
#include "proto/generated/volume.pb-c.h"

#define CWSD_PB_MESSAGES(X) \
    X(sandbox, Sandbox) \
    X(spec, SandboxSpec) \
    X(status, SandboxStatus) \
    X(container, Container) \
    X(container_status, ContainerStatus) \
    X(usage, ResourceUsage) \
    X(requirements, ResourceRequirements) \
    X(resources, Resources) \
    X(network, NetworkOptions) \
    X(security, SecurityContext) \
    X(file, FileMount) \
    X(volume, SandboxVolume) \
    X(scratch, ScratchVolume) \
    X(mount, VolumeMount) \
    X(create_request, CreateSandboxRequest) \
    X(from_file_request, CreateSandboxFromFileRequest) \
    X(get_request, GetSandboxRequest) \
    X(list_request, ListSandboxesRequest) \
    X(list_response, ListSandboxesResponse) \
    X(delete_request, DeleteSandboxRequest) \
    X(delete_response, DeleteSandboxResponse) \
    X(connect_request, ConnectSandboxRequest) \
    X(connection, SandboxConnection) \
    X(snapshot, FileSystemSnapshot) \
    X(create_snapshot_request, CreateFileSystemSnapshotRequest) \
    X(get_snapshot_request, GetFileSystemSnapshotRequest) \
    X(list_snapshots_request, ListFileSystemSnapshotsRequest) \
    X(list_snapshots_response, ListFileSystemSnapshotsResponse) \
    X(delete_snapshot_request, DeleteFileSystemSnapshotRequest) \
    X(exec_request, ExecRequest) \
    X(exec_response, ExecResponse) \
    X(read_file_request, ReadFileRequest) \
    X(write_file_request, WriteFileRequest) \
    X(write_file_response, WriteFileResponse) \
    X(stream_request, ExecStreamRequest) \
    X(stream_init, ExecStreamInit) \
    X(stream_response, ExecStreamResponse) \
    X(stream_ready, ExecStreamReady) \
    X(stream_resize, ExecStreamResize) \
    X(stream_output, ExecStreamOutput) \
    X(stream_exit, ExecStreamExit) \
    X(logs_request, StreamLogsRequest) \
    X(log_entry, LogEntry) \
    X(log_error, LogStreamError) \
    X(egress_rule, EgressRule) \
    X(cidr, CidrBlock) \
    X(port_range, PortRange) \
    X(runner, AvailableRunner) \
    X(runner_capabilities, RunnerCapabilitySummary) \
    X(runner_resources, RunnerResourceSummary) \
    X(runners_request, ListAvailableRunnersRequest) \
    X(runners_response, ListAvailableRunnersResponse) \
    X(runner_request, GetAvailableRunnerRequest) \
    X(partial_spec, PartialSandboxSpec) \
    X(partial_container, PartialContainer) \
    X(template, SandboxTemplate) \
    X(template_create_request, CreateSandboxTemplateRequest) \
    X(template_get_request, GetSandboxTemplateRequest) \
    X(template_list_request, ListSandboxTemplatesRequest) \
    X(template_list_response, ListSandboxTemplatesResponse) \
    X(template_update_request, UpdateSandboxTemplateRequest) \
    X(template_delete_request, DeleteSandboxTemplateRequest) \
    X(from_template_request, CreateSandboxFromTemplateRequest) \
    X(bucket_config, FileSystemSnapshotBucketConfig) \
    X(bucket_update_request, UpdateFileSystemSnapshotBucketConfigRequest) \
    X(build_storage, BuildStorageConfig) \
    X(build_storage_update_request, UpdateBuildStorageConfigRequest) \
    X(registered, Volume) \
    X(registered_spec, VolumeSpec) \
    X(registered_status, VolumeStatus) \
    X(claim, PvcVolumeSource) \
    X(volume_create_request, CreateVolumeRequest) \
    X(volume_get_request, GetVolumeRequest) \
    X(volume_list_request, ListVolumesRequest) \
    X(volume_list_response, ListVolumesResponse) \
    X(volume_update_request, UpdateVolumeRequest) \
    X(volume_delete_request, DeleteVolumeRequest) \
    X(volume_validate_request, ValidateVolumeRequest)

/* typedefs, against the house rule: the generated names are typedefs already. */
#define CWSD_PB_TYPEDEF(short_name, name) \
    typedef Coreweave__Sandbox__V1__##name cwsd_pb_##short_name;
CWSD_PB_MESSAGES(CWSD_PB_TYPEDEF)
#undef CWSD_PB_TYPEDEF

typedef Google__Protobuf__Timestamp cwsd_pb_timestamp;

#define CWSD_STATE(name) COREWEAVE__SANDBOX__V1__STATE__STATE_##name
