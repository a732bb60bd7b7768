#include "launch.h"

#include <string.h>

#include "pairs.h"
#include "spec.h"
#include "string_list.h"

/* The main command of a sandbox that asks for none: silent, for ever, and at TERM gone at once
 * with 0. */
static const char *const keep_alive[] = {
    "/bin/sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 86400 & wait $!; done"};

static enum cws_status fill_command(struct cwsd_launch *launch, const cwsd_pb_container *container)
{
    bool given = container->command[0] != '\0';
    size_t count = given ? 1 + container->n_args : CWS_ARRAY_LEN(keep_alive);
    if (cwsd_string_list_reserve(&launch->command, count) != CWS_OK)
        return CWS_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        const char *word = !given   ? keep_alive[i]
                           : i == 0 ? container->command
                                    : container->args[i - 1];
        if (cwsd_string_list_add(&launch->command, word) != CWS_OK)
            return CWS_NO_MEMORY;
    }
    return CWS_OK;
}

static enum cws_status fill_environment(struct cwsd_launch *launch,
                                        const cwsd_pb_container *container)
{
    const struct cwsd_pairs pairs = CWSD_PAIRS(container, environment_variables);
    if (cwsd_string_list_reserve(&launch->environment, pairs.count) != CWS_OK)
        return CWS_NO_MEMORY;
    for (size_t i = 0; i < pairs.count; i++)
        if (cwsd_string_list_add_pair(&launch->environment, cwsd_pairs_key(&pairs, i),
                                      cwsd_pairs_value(&pairs, i)) != CWS_OK)
            return CWS_NO_MEMORY;
    return CWS_OK;
}

static enum cws_status fill_files(struct cwsd_launch *launch, const cwsd_pb_container *container)
{
    launch->files = cws_calloc(container->n_files + 1, sizeof(*launch->files));
    if (!launch->files)
        return CWS_NO_MEMORY;
    for (size_t i = 0; i < container->n_files; i++) {
        launch->files[i].path = container->files[i]->path;
        launch->files[i].data = container->files[i]->content.data;
        launch->files[i].len = container->files[i]->content.len;
    }
    return CWS_OK;
}

enum cws_status cwsd_launch_init(struct cwsd_launch *launch, const char *id,
                                 const cwsd_pb_spec *spec)
{
    const cwsd_pb_container *container = cwsd_spec_container(spec);
    memset(launch, 0, sizeof(*launch));
    if (fill_command(launch, container) != CWS_OK ||
        fill_environment(launch, container) != CWS_OK || fill_files(launch, container) != CWS_OK) {
        cwsd_launch_done(launch);
        return CWS_NO_MEMORY;
    }
    launch->options.id = id;
    launch->options.command = launch->command;
    launch->options.environment = launch->environment;
    launch->options.working_dir = container->working_dir[0] ? container->working_dir : NULL;
    launch->options.files = launch->files;
    launch->options.file_count = container->n_files;
    return CWS_OK;
}

void cwsd_launch_done(struct cwsd_launch *launch)
{
    cwsd_string_list_done(&launch->command);
    cwsd_string_list_done(&launch->environment);
    cws_free(launch->files);
    launch->files = NULL;
}
