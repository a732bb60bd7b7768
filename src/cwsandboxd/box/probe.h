/*
 * Finds out what isolation the host offers by running containers on it. Blocks until that is done.
 * From then on the process ignores SIGPIPE and is a subreaper. Before the loop runs.
 */
#pragma once

#include "box/host.h"

/* Tries the strongest isolation first. The caller owns *out_host and frees it with cwsd_host_free.
 * CWS_SYSTEM: no isolation is possible; *err names the layer that refused (bubblewrap is missing, a
 * sysctl forbids user namespaces, AppArmor). CWS_INVALID: sandboxes would see the state directory.
 * CWS_NO_MEMORY. */
enum cws_status cwsd_probe_host(const struct cwsd_host_options *options,
                                struct cwsd_host **out_host, struct cws_error *err) CWS_MUST_CHECK;

/* The same, but tries nothing stronger than `strongest`. */
enum cws_status cwsd_probe_host_from(const struct cwsd_host_options *options,
                                     enum cwsd_isolation strongest, struct cwsd_host **out_host,
                                     struct cws_error *err) CWS_MUST_CHECK;
