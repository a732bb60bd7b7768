/*
 * SettingsService, as far as there is something to say on one host: snapshots lie in the data
 * directory and not in a bucket, and no images are built. So both are read, and can be set only to
 * what is the case.
 */
#include "service/calls.h"
#include "service/unary.h"

#define MANAGED \
    COREWEAVE__SANDBOX__V1__FILE_SYSTEM_SNAPSHOT_BUCKET_MODE__FILE_SYSTEM_SNAPSHOT_BUCKET_MODE_CW_MANAGED

static bool answer_bucket(struct cwsd_unary *unary)
{
    cwsd_pb_bucket_config answer = COREWEAVE__SANDBOX__V1__FILE_SYSTEM_SNAPSHOT_BUCKET_CONFIG__INIT;
    answer.mode = MANAGED;
    return cwsd_unary_answer(unary, &answer);
}

static bool handle_get_bucket(struct cwsd_unary *unary, void *request, struct cwsd_fault *fault)
{
    (void)request, (void)fault;
    return answer_bucket(unary);
}

static bool handle_update_bucket(struct cwsd_unary *unary, void *message, struct cwsd_fault *fault)
{
    const cwsd_pb_bucket_update_request *request = message;
    const cwsd_pb_bucket_config *config = request->file_system_snapshot_bucket_config;
    if (!config)
        return cwsd_fault_set_invalid(fault, "file_system_snapshot_bucket_config", "must be given");
    if (config->bucket_name[0] || config->region[0])
        return cwsd_fault_set(fault, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_BUCKET_UNAVAILABLE,
                              "file_system_snapshot_bucket_config.%s: this daemon keeps snapshots "
                              "in its data directory, and knows no buckets",
                              config->bucket_name[0] ? "bucket_name" : "region");
    return answer_bucket(unary);
}

static bool answer_build_storage(struct cwsd_unary *unary)
{
    cwsd_pb_build_storage answer = COREWEAVE__SANDBOX__V1__BUILD_STORAGE_CONFIG__INIT;
    return cwsd_unary_answer(unary, &answer);
}

static bool handle_get_build_storage(struct cwsd_unary *unary, void *request,
                                     struct cwsd_fault *fault)
{
    (void)request, (void)fault;
    return answer_build_storage(unary);
}

static bool handle_update_build_storage(struct cwsd_unary *unary, void *message,
                                        struct cwsd_fault *fault)
{
    const cwsd_pb_build_storage_update_request *request = message;
    const cwsd_pb_build_storage *config = request->build_storage_config;
    if (!config)
        return cwsd_fault_set_invalid(fault, "build_storage_config", "must be given");
    if (protobuf_c_message_get_packed_size(&config->base) > 0)
        return cwsd_fault_set(fault, CWS_GRPC_UNIMPLEMENTED, CWSD_REASON_NOT_IMPLEMENTED,
                              "build_storage_config: this daemon builds no images, and so has "
                              "nothing to store");
    return answer_build_storage(unary);
}

const struct cwsd_unary_row cwsd_settings_rows[] = {
    {.path = CWSD_SETTINGS_SERVICE "GetFileSystemSnapshotBucketConfig",
     .handle = handle_get_bucket},
    {.path = CWSD_SETTINGS_SERVICE "UpdateFileSystemSnapshotBucketConfig",
     .handle = handle_update_bucket},
    {.path = CWSD_SETTINGS_SERVICE "GetBuildStorageConfig", .handle = handle_get_build_storage},
    {.path = CWSD_SETTINGS_SERVICE "UpdateBuildStorageConfig",
     .handle = handle_update_build_storage},
    {.path = NULL},
};
