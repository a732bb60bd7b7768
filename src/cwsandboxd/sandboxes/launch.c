#include "sandboxes/launch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "box/string_list.h"
#include "store/secrets.h"
#include "values/pairs.h"
#include "values/path.h"
#include "values/spec_secrets.h"
#include "values/spec_volumes.h"

/*
 * The main command that clients send for a sandbox that was given none, word for word: wait until
 * TERM or INT, then leave with 0. A shell and a `sleep` for that would be nearly all that an idle
 * sandbox costs, so it is not run: the box idles, which does the same.
 */
static const char *const keep_alive[] = {"/bin/sh", "-c",
                                         "trap \"exit 0\" TERM INT; sleep infinity & wait"};

static bool is_keep_alive(const cwsd_pb_container *container)
{
    if (container->n_args != 2 || strcmp(container->command, keep_alive[0]) != 0)
        return false;
    return strcmp(container->args[0], keep_alive[1]) == 0 &&
           strcmp(container->args[1], keep_alive[2]) == 0;
}

static enum cws_status fill_command(struct cwsd_launch *launch, const cwsd_pb_container *container)
{
    if (container->command[0] == '\0' || is_keep_alive(container))
        return CWS_OK;
    if (cwsd_string_list_reserve(&launch->command, 1 + container->n_args) != CWS_OK ||
        cwsd_string_list_add(&launch->command, container->command) != CWS_OK)
        return CWS_NO_MEMORY;
    for (size_t i = 0; i < container->n_args; i++)
        if (cwsd_string_list_add(&launch->command, container->args[i]) != CWS_OK)
            return CWS_NO_MEMORY;
    return CWS_OK;
}

/* The secrets come last: of a variable that occurs more than once, the last value wins. */
static bool fill_environment(struct cwsd_launch *launch, const cwsd_pb_container *container,
                             const char *secrets_dir, struct cwsd_fault *fault)
{
    const struct cwsd_pairs pairs = CWSD_PAIRS(container, environment_variables);
    if (cwsd_string_list_reserve(&launch->environment,
                                 pairs.count + cwsd_spec_count_secrets(container)) != CWS_OK)
        return cwsd_fault_set_memory(fault);
    for (size_t i = 0; i < pairs.count; i++)
        if (cwsd_string_list_add_pair(&launch->environment, cwsd_pairs_key(&pairs, i),
                                      cwsd_pairs_value(&pairs, i)) != CWS_OK)
            return cwsd_fault_set_memory(fault);
    return cwsd_secrets_resolve(secrets_dir, container, &launch->environment, fault);
}

static enum cws_status fill_files(struct cwsd_launch *launch, const cwsd_pb_container *container)
{
    launch->files = cws_calloc(container->n_files + 1, sizeof(*launch->files));
    if (!launch->files)
        return CWS_NO_MEMORY;
    for (size_t i = 0; i < container->n_files; i++) {
        const cwsd_pb_file *file = container->files[i];
        launch->files[i] = (struct cwsd_file){
            .path = file->path,
            .data = file->content.data,
            .len = file->content.len,
            .mode = file->_mode_case ? file->mode : CWSD_FILE_MODE,
        };
    }
    return CWS_OK;
}

/* The first container makes or opens all volumes. */
static bool fill_volumes(struct cwsd_launch *launch, const cwsd_pb_spec *spec,
                         const struct cwsd_claims *claims, struct cwsd_fault *fault)
{
    struct cwsd_box_options *options = &launch->options;
    launch->volumes = cws_calloc(spec->n_volumes + 1, sizeof(*launch->volumes));
    launch->folders = cws_calloc(spec->n_volumes + 1, sizeof(*launch->folders));
    options->volumes = launch->volumes;
    options->folders = launch->folders;
    if (!launch->volumes || !launch->folders)
        return cwsd_fault_set_memory(fault);
    for (size_t i = 0; i < spec->n_volumes; i++) {
        const cwsd_pb_volume *volume = spec->volumes[i];
        const char *registered = cwsd_spec_registered(volume);
        if (registered) {
            struct cwsd_folder *folder = &launch->folders[options->folder_count];
            folder->name = volume->name;
            folder->fd = cwsd_claims_attach(claims, registered, &folder->read_only, fault);
            if (folder->fd < 0)
                return false;
            options->folder_count++;
        } else {
            launch->volumes[options->volume_count++] =
                (struct cwsd_volume){.name = volume->name, .bytes = cwsd_spec_volume_bytes(volume)};
        }
    }
    return true;
}

static int compare_paths(const void *a, const void *b)
{
    return cwsd_path_compare(((const struct cwsd_volume_mount *)a)->path,
                             ((const struct cwsd_volume_mount *)b)->path);
}

/* Folders before what is in them. Returns how many there are. */
static size_t list_mounts(const cwsd_pb_container *container, struct cwsd_volume_mount *mounts)
{
    for (size_t i = 0; i < container->n_volume_mounts; i++) {
        const cwsd_pb_mount *mount = container->volume_mounts[i];
        mounts[i] =
            (struct cwsd_volume_mount){.volume = mount->volume,
                                       .path = mount->mount_path,
                                       .sub_path = mount->sub_path[0] ? mount->sub_path : NULL,
                                       .read_only = mount->read_only};
    }
    qsort(mounts, container->n_volume_mounts, sizeof(*mounts), compare_paths);
    return container->n_volume_mounts;
}

/* The first container's own mounts, and then those that it lends to the others, in their order. */
static enum cws_status fill_all_mounts(struct cwsd_launch *launch, const cwsd_pb_spec *spec)
{
    size_t count = 0;
    for (size_t i = 0; i < spec->n_containers; i++)
        count += spec->containers[i]->n_volume_mounts;
    launch->mounts = cws_calloc(count + 1, sizeof(*launch->mounts));
    if (!launch->mounts)
        return CWS_NO_MEMORY;
    launch->options.mounts = launch->mounts;
    launch->options.mount_count = list_mounts(spec->containers[0], launch->mounts);
    struct cwsd_volume_mount *lends = launch->mounts + launch->options.mount_count;
    launch->options.lends = lends;
    for (size_t i = 1; i < spec->n_containers; i++)
        launch->options.lend_count +=
            list_mounts(spec->containers[i], lends + launch->options.lend_count);
    return CWS_OK;
}

/* Those of another container, out of what the first one's box has lent. */
static enum cws_status fill_lent_mounts(struct cwsd_launch *launch, const cwsd_pb_spec *spec,
                                        const cwsd_pb_container *container,
                                        const struct cwsd_box *home)
{
    size_t first = 0;
    for (size_t i = 1; spec->containers[i] != container; i++)
        first += spec->containers[i]->n_volume_mounts;
    launch->mounts = cws_calloc(container->n_volume_mounts + 1, sizeof(*launch->mounts));
    if (!launch->mounts)
        return CWS_NO_MEMORY;
    launch->options.mounts = launch->mounts;
    launch->options.mount_count = list_mounts(container, launch->mounts);
    for (size_t i = 0; i < launch->options.mount_count; i++)
        launch->mounts[i].lent = cwsd_box_lent(home, first + i);
    return CWS_OK;
}

static bool fill_storage(struct cwsd_launch *launch, const cwsd_pb_spec *spec,
                         const cwsd_pb_container *container, const struct cwsd_box *home,
                         const struct cwsd_claims *claims, struct cwsd_fault *fault)
{
    bool is_first = container == spec->containers[0];
    if (is_first && !fill_volumes(launch, spec, claims, fault))
        return false;
    enum cws_status status =
        is_first ? fill_all_mounts(launch, spec) : fill_lent_mounts(launch, spec, container, home);
    return status == CWS_OK || cwsd_fault_set_memory(fault);
}

/* Containers know each other by name. */
static enum cws_status fill_host_names(struct cwsd_launch *launch, const cwsd_pb_spec *spec)
{
    if (spec->n_containers == 1 && strcmp(spec->containers[0]->name, "main") == 0)
        return CWS_OK;
    if (cwsd_string_list_reserve(&launch->host_names, spec->n_containers) != CWS_OK)
        return CWS_NO_MEMORY;
    for (size_t i = 0; i < spec->n_containers; i++)
        if (cwsd_string_list_add(&launch->host_names, spec->containers[i]->name) != CWS_OK)
            return CWS_NO_MEMORY;
    return CWS_OK;
}

bool cwsd_launch_init(struct cwsd_launch *launch, const char *id, const cwsd_pb_spec *spec,
                      const cwsd_pb_container *container, const struct cwsd_box *home,
                      const char *secrets_dir, const struct cwsd_claims *claims,
                      struct cwsd_fault *fault)
{
    memset(launch, 0, sizeof(*launch));
    bool filled = fill_command(launch, container) == CWS_OK &&
                  fill_files(launch, container) == CWS_OK &&
                  fill_host_names(launch, spec) == CWS_OK;
    if (!filled)
        cwsd_fault_set_memory(fault);
    if (!filled || !fill_environment(launch, container, secrets_dir, fault) ||
        !fill_storage(launch, spec, container, home, claims, fault)) {
        cwsd_launch_done(launch);
        return false;
    }
    launch->options.id = id;
    launch->options.command = launch->command;
    launch->options.environment = launch->environment;
    launch->options.host_names = launch->host_names;
    launch->options.working_dir = container->working_dir[0] ? container->working_dir : NULL;
    launch->options.files = launch->files;
    launch->options.file_count = container->n_files;
    return true;
}

void cwsd_launch_done(struct cwsd_launch *launch)
{
    cwsd_string_list_done(&launch->command);
    cwsd_string_list_done(&launch->environment);
    cwsd_string_list_done(&launch->host_names);
    for (size_t i = 0; i < launch->options.folder_count; i++)
        close(launch->folders[i].fd);
    launch->options.folder_count = 0;
    cws_free(launch->files);
    cws_free(launch->volumes);
    cws_free(launch->folders);
    cws_free(launch->mounts);
    launch->files = NULL;
    launch->volumes = NULL;
    launch->folders = NULL;
    launch->mounts = NULL;
}
