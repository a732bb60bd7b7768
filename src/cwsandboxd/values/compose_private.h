/* The parts of a service that compose.c reads. */
#pragma once

#include "values/compose.h"
#include "values/yaml.h"

#define CWSD_COMPOSE_FIELD "contents"

/* Where something stands: "services.web", and below it a key. */
struct cwsd_compose_at {
    const char *service;
    const char *key;
    const struct cwsd_yaml *services; /* of the file */
    struct cwsd_fault *fault;
};

/* Sets the fault "services.SERVICE.KEY (line N): ...". Returns false. */
bool cwsd_compose_refuse(const struct cwsd_compose_at *at, unsigned line, const char *fmt, ...)
    CWS_PRINTF(3, 4);
/* The same for something that exists in Compose but not here: UNIMPLEMENTED. */
bool cwsd_compose_refuse_here(const struct cwsd_compose_at *at, unsigned line, const char *key);

/* A scalar's text, "$$" replaced by "$", from cws_malloc. NULL with the fault set: it is none, or
 * it asks for a variable. */
char *cwsd_compose_text(const struct cwsd_compose_at *at, const struct cwsd_yaml *node);

/* A list from cws_calloc of texts from cws_malloc, from a list of texts, or from a text that is
 * split as a shell splits words. It may be empty. */
bool cwsd_compose_words(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                        char ***out_words, size_t *out_count);
void cwsd_compose_free_words(char **words, size_t count);

/* compose_environment.c: fills the container's variables. */
bool cwsd_compose_environment(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                              cwsd_pb_container *container);
/* compose_ports.c: whether it is a list of ports. Those that `publishes` may be of the long form,
 * and say where they are published. */
bool cwsd_compose_ports(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                        bool publishes);
/* compose_deploy.c: fills the container's resource_requirements. */
bool cwsd_compose_deploy(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                         cwsd_pb_container *container);
/* compose_order.c: fill the service's row of the plan. */
bool cwsd_compose_depends_on(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                             struct cwsd_plan_row *row);
bool cwsd_compose_healthcheck(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                              struct cwsd_plan_row *row);
/* Whether the whole plan can be carried out. */
bool cwsd_compose_check_order(const struct cwsd_yaml *services, const struct cwsd_plan *plan,
                              struct cwsd_fault *fault);
