/* Turns a container of a checked spec into the options of a box. */
#pragma once

#include "box/box.h"
#include "store/claims.h"
#include "values/fault.h"
#include "values/pb.h"

struct cwsd_launch {
    struct cwsd_box_options options; /* points into the spec and the fields below */
    struct cwsd_string_list command;
    struct cwsd_string_list environment;
    struct cwsd_string_list host_names;
    struct cwsd_file *files;
    struct cwsd_volume *volumes;
    struct cwsd_folder *folders;
    struct cwsd_volume_mount *mounts;
};

/* Of one of the spec's containers. The spec must outlive the launch. `home` is the box of the first
 * container, which makes the volumes for all; NULL for that one itself. The secrets come from the
 * stores in `secrets_dir` (NULL: none), registered volumes from `claims` (NULL: the spec has none).
 * False with *fault set: no memory, or that of cwsd_secrets_resolve or cwsd_claims_attach; there is
 * nothing to free then. */
bool cwsd_launch_init(struct cwsd_launch *launch, const char *id, const cwsd_pb_spec *spec,
                      const cwsd_pb_container *container, const struct cwsd_box *home,
                      const char *secrets_dir, const struct cwsd_claims *claims,
                      struct cwsd_fault *fault);
void cwsd_launch_done(struct cwsd_launch *launch);
