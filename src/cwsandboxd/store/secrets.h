/*
 * The secret stores of this host: a directory with a file STORE.json for each, which only its owner
 * may read. A file is one JSON object. Each member is a secret: a string, or an object of strings,
 * its fields. Files are read when a sandbox asks for them, so that a change holds for the next one;
 * nothing is kept.
 */
#pragma once

#include "base/status.h"
#include "box/string_list.h"
#include "values/fault.h"
#include "values/pb.h"

/* Checks that `dir` is a directory of this user that nobody else may enter. CWS_INVALID,
 * CWS_SYSTEM. */
enum cws_status cwsd_secrets_check(const char *dir, struct cws_error *err) CWS_MUST_CHECK;

/* Appends "VARIABLE=value" for each secret of a container whose spec has been checked, within the
 * room reserved in the list. `dir` NULL: there are no stores. False with *fault:
 * FAILED_PRECONDITION if a store or a secret is not here or cannot be used. No fault's text has
 * anything of a value. */
bool cwsd_secrets_resolve(const char *dir, const cwsd_pb_container *container,
                          struct cwsd_string_list *list, struct cwsd_fault *fault);
