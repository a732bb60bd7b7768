/*
 * What this daemon supports beyond the published messages. Extensions use fields with numbers from
 * 1000 on. A client uses one only after an answer to Create or Get has named it in the header
 * CWSD_EXTENSIONS_HEADER. docs/wire.md repeats this table; the client's is in
 * _cwsandbox/sandbox/extensions.h.
 */
#pragma once

#define CWSD_EXTENSIONS_HEADER "cwsandboxd-extensions"

/* Names, separated by commas:
 *   cwd    ExecStreamInit.cwd, ExecRequest.cwd
 *   execs  SandboxStatus.running_execs, SandboxStatus.started_execs
 *   file_modes  FileMount.mode */
#define CWSD_EXTENSIONS "cwd,execs,file_modes"
