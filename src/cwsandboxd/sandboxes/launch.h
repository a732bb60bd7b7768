/* Turns a checked spec into the options of a box. */
#pragma once

#include "box/box.h"
#include "values/pb.h"

struct cwsd_launch {
    struct cwsd_box_options options; /* points into the spec and the fields below */
    struct cwsd_string_list command;
    struct cwsd_string_list environment;
    struct cwsd_file *files;
};

/* The spec must outlive the launch. CWS_NO_MEMORY; there is nothing to free then. */
enum cws_status cwsd_launch_init(struct cwsd_launch *launch, const char *id,
                                 const cwsd_pb_spec *spec) CWS_MUST_CHECK;
void cwsd_launch_done(struct cwsd_launch *launch);
