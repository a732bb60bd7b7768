/*
 * What this daemon can do that the published messages do not carry: fields with numbers from 1000
 * on. Clients use one only after an answer has named it in the header CWSD_EXTENSIONS_HEADER.
 * docs/wire.md has this table, too; the client's is in _cwsandbox/sandbox/extensions.h.
 */
#pragma once

#define CWSD_EXTENSIONS_HEADER "cwsandboxd-extensions"

/* Names, separated by commas:
 *   cwd   ExecStreamInit.cwd, ExecRequest.cwd */
#define CWSD_EXTENSIONS "cwd"
