/*
 * The rules for the volumes of a spec, and where its containers see them. Values only; any thread.
 */
#pragma once

#include "values/fault.h"
#include "values/pb.h"

/* Checks spec.volumes and every container's volume_mounts, and gives a volume without a source the
 * source that it means: a scratch volume. False with *fault set. */
bool cwsd_spec_check_volumes(cwsd_pb_spec *spec, struct cwsd_fault *fault);

/* What is wrong with a path inside a volume; NULL: nothing. */
const char *cwsd_spec_sub_path_fault(const char *path);

/* For a checked spec: */

/* The id of a registered volume; NULL: it is none. */
const char *cwsd_spec_registered(const cwsd_pb_volume *volume);

/* Whether one of its volumes is the registered one. */
bool cwsd_spec_attaches(const cwsd_pb_spec *spec, const char *volume_id);

/* The volume of this name; NULL: there is none. */
const cwsd_pb_volume *cwsd_spec_find_volume(const cwsd_pb_spec *spec, const char *name);

/* Whether it is a scratch volume. */
bool cwsd_spec_is_scratch(const cwsd_pb_volume *volume);

/* Whether any of its volumes starts from a snapshot. */
bool cwsd_spec_restores(const cwsd_pb_spec *spec);

/* The size of a scratch volume in bytes; 0: it has none of its own. */
uint64_t cwsd_spec_volume_bytes(const cwsd_pb_volume *volume);

/* Lowers the sizes of scratch volumes that together want more than `room` bytes, or leave nothing
 * for those without a size: each gets what it wants, or as much as any other that gets less.
 * Returns CWS_OK or CWS_NO_MEMORY. */
enum cws_status cwsd_spec_fit_volumes(cwsd_pb_spec *spec, uint64_t room);
