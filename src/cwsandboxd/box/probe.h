/*
 * Finds out what a host offers, by running a container on it. Blocks until that is over. From then
 * on the process ignores SIGPIPE and is a subreaper.
 */
#pragma once

#include "box/host.h"

/* Tries the strongest isolation first. CWS_SYSTEM with *err naming the layer that refused (no
 * bubblewrap, user namespaces off by which sysctl, AppArmor) when none is possible; CWS_INVALID
 * when sandboxes would see the state directory; CWS_NO_MEMORY. */
enum cws_status cwsd_probe_host(const struct cwsd_host_options *options,
                                struct cwsd_host **out_host, struct cws_error *err) CWS_MUST_CHECK;

/* The same, but tries nothing stronger than `strongest`. */
enum cws_status cwsd_probe_host_from(const struct cwsd_host_options *options,
                                     enum cwsd_isolation strongest, struct cwsd_host **out_host,
                                     struct cws_error *err) CWS_MUST_CHECK;
