/* The methods that this daemon offers, each in the call_*.c file of its group. Loop thread only. */
#pragma once

#include "sandboxes/pool.h"
#include "service/service.h"
#include "service/unary.h"

#define CWSD_SANDBOX_SERVICE   "/coreweave.sandbox.v1.SandboxService/"
#define CWSD_DISCOVERY_SERVICE "/coreweave.sandbox.v1.DiscoveryService/"
#define CWSD_SETTINGS_SERVICE  "/coreweave.sandbox.v1.SettingsService/"
#define CWSD_VOLUME_SERVICE    "/coreweave.sandbox.v1.VolumeService/"
#define CWSD_TEMPLATE_SERVICE  "/coreweave.sandbox.v1.SandboxTemplateService/"

/* Tables of unary methods. A row without a path ends each. */
extern const struct cwsd_unary_row cwsd_connect_rows[];   /* call_connect.c */
extern const struct cwsd_unary_row cwsd_create_rows[];    /* call_create.c */
extern const struct cwsd_unary_row cwsd_discovery_rows[]; /* call_discovery.c */
extern const struct cwsd_unary_row cwsd_exec_rows[];      /* call_exec.c */
extern const struct cwsd_unary_row cwsd_file_rows[];      /* call_files.c */
extern const struct cwsd_unary_row cwsd_lifecycle_rows[]; /* call_lifecycle.c */
extern const struct cwsd_unary_row cwsd_snapshot_rows[];  /* call_snapshots.c */
extern const struct cwsd_unary_row cwsd_settings_rows[];  /* call_settings.c */
extern const struct cwsd_unary_row cwsd_template_rows[];  /* call_templates.c */
extern const struct cwsd_unary_row cwsd_volume_rows[];    /* call_volumes.c */

/* The method that is not unary: call_stream.c */
extern const struct cws_server_method cwsd_call_stream_exec;
extern const struct cws_server_method cwsd_call_stream_logs;

/* Answers with the sandbox as clients see it; the first with its share token, too, which nobody is
 * told but who creates it. Always returns true, as cwsd_unary_answer.
 * call_lifecycle.c. */
bool cwsd_answer_created(struct cwsd_unary *unary, const struct cwsd_sandbox *sandbox);
bool cwsd_answer_sandbox(struct cwsd_unary *unary, const struct cwsd_sandbox *sandbox);

/* Whether the registered volumes that a spec names can be attached: *fault says of the first that
 * cannot, why. call_volumes.c. */
bool cwsd_volumes_check(const struct cwsd_service *service, const cwsd_pb_spec *spec,
                        struct cwsd_fault *fault);
