/* Sandboxes out of Compose files. Loop thread only. */
#pragma once

#include "sandboxes/pool.h"

/* As cwsd_pool_create, for a file whose services become the containers. Takes parts of the request
 * over. Requests with the same request_id are identical if all of their bytes are. NULL with *fault
 * set: also UNIMPLEMENTED for what this daemon has not, such as builds and control by an engine. */
struct cwsd_sandbox *cwsd_pool_create_from_file(struct cwsd_pool *pool,
                                                cwsd_pb_from_file_request *request,
                                                struct cwsd_fault *fault);
