/*
 * A Compose file as the containers of a sandbox. Values only; any thread.
 *
 * A key that has no meaning here is refused, with its path and line; nothing is silently ignored
 * but what Compose itself ignores ("version", "x-..."), and "ports" and "expose": what listens on a
 * port is reached by the other services anyway, and by nobody else.
 */
#pragma once

#include "values/fault.h"
#include "values/pairs.h"
#include "values/pb.h"
#include "values/plan.h"

struct cwsd_compose_request {
    const void *text;
    size_t len;
    const char *primary_service;
    cwsd_pb_requirements *default_resources; /* NULL: none */
    struct cwsd_pairs images;                /* by service, instead of those in the file */
};

/* Adds a container for each service to an empty spec, in the order of the file. All of it is from
 * cws_malloc. *out_plan is the order in which they start. False with *fault set; the spec is then
 * to be freed with what it has, and there is no plan. */
bool cwsd_compose_read(const struct cwsd_compose_request *request, cwsd_pb_spec *spec,
                       struct cwsd_plan **out_plan, struct cwsd_fault *fault);
