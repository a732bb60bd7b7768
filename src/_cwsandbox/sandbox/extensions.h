/*
 * What a service may support beyond its published messages. Extensions use fields with numbers from
 * 1000 on. A service that does not know such a field ignores it silently. So an extension is used
 * only after the service has named it in the header CWS_EXTENSIONS_HEADER of an answer.
 * docs/wire.md repeats this table; the daemon's is in cwsandboxd/values/extensions.h.
 */
#pragma once

#include "base/base.h"

#define CWS_EXTENSIONS_HEADER "cwsandboxd-extensions"

enum cws_extension {
    /* ExecStreamInit.cwd. Without it the sandbox's shell enters the directory. */
    CWS_EXTENSION_CWD = 1u << 0,
    /* SandboxStatus.running_execs and started_execs. They come in answers only, where their
     * presence says the same. */
    CWS_EXTENSION_EXECS = 1u << 1,
    /* FileMount.mode. Without it no such sandbox is created. */
    CWS_EXTENSION_FILE_MODES = 1u << 2,
};

/* The set (of enum cws_extension) named in a header's value. Names are separated by commas and
 * optional blanks; unknown names are skipped. Any thread. */
unsigned cws_extensions_parse(const char *value, size_t len);
