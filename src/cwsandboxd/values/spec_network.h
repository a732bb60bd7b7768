/* The network options of a spec: checks, and what they mean here. */
#pragma once

#include "values/fault.h"
#include "values/pb.h"

/* What the daemon can lead from sandboxes' networks to others. */
enum cwsd_spec_egress {
    CWSD_SPEC_EGRESS_NONE,
    CWSD_SPEC_EGRESS_TCP_AND_UDP,
    CWSD_SPEC_EGRESS_ALL, /* all protocols of IPv4 */
};

/* False with *fault set: INVALID_ARGUMENT names the rule; UNIMPLEMENTED
 * (CWSANDBOX_NOT_IMPLEMENTED) for what this daemon does not offer. */
bool cwsd_spec_check_network(const cwsd_pb_spec *spec, enum cwsd_spec_egress egress,
                             struct cwsd_fault *fault);

/* Whether a checked spec asks for a way to other networks: by rules, or by an explicit "not
 * denied", which means any. Who says nothing about it gets none. */
bool cwsd_spec_has_egress(const cwsd_pb_spec *spec);

/* The rules of checked options that go by host name: how many there are, and their names. */
size_t cwsd_spec_count_names(const cwsd_pb_network *network);
void cwsd_spec_list_names(const cwsd_pb_network *network, char **out_names);
