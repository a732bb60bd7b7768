/* The system calls that are left to the process. */
#pragma once

#include "base/base.h"

/*
 * From now on this thread, and those that it starts, can make the calls that serving sockets and
 * looking names up take. Others fail with ENOSYS, which the C library is ready for: it has another
 * way, or none, as on an older kernel. So a module of the name service that wants more fails alone.
 *
 * Nothing can be started, signalled or traced; no file can be opened for writing; sockets are of
 * the families that names and connections take; and memory that was ever writable is never executed
 * (modules are mapped from their files). Needs no_new_privs. False: errno says why.
 */
bool cwse_calls_close(void) CWS_MUST_CHECK;
