/*
 * What a service may be able to do beyond its published messages. It is asked for in fields with
 * numbers from 1000 on, which a service that does not know them skips without a word: so each is
 * used only after the service has named it in the header CWS_EXTENSIONS_HEADER of an answer.
 * docs/wire.md has this table, too; the daemon's is in cwsandboxd/values/extensions.h.
 */
#pragma once

#include "base/base.h"

#define CWS_EXTENSIONS_HEADER "cwsandboxd-extensions"

enum cws_extension {
    /* ExecStreamInit.cwd. Without it the sandbox's shell enters the directory. */
    CWS_EXTENSION_CWD = 1u << 0,
};

/* The extensions named in a header's value, separated by commas and perhaps blanks; a set of enum
 * cws_extension. Names that are not known here are skipped. */
unsigned cws_extensions_parse(const char *value, size_t len);
