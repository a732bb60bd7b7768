/* From a checked spec to the options of a box. */
#pragma once

#include "box/box.h"
#include "values/pb.h"

struct cwsd_launch {
    struct cwsd_box_options options; /* views the spec and what follows */
    struct cwsd_string_list command;
    struct cwsd_string_list environment;
    struct cwsd_file *files;
};

/* CWS_NO_MEMORY: nothing to free. The spec must outlive it. */
enum cws_status cwsd_launch_init(struct cwsd_launch *launch, const char *id,
                                 const cwsd_pb_spec *spec) CWS_MUST_CHECK;
void cwsd_launch_done(struct cwsd_launch *launch);
