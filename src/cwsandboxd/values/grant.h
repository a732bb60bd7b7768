/* What a certificate of the direct data plane permits: some methods, on one sandbox. Values only;
 * any thread. */
#pragma once

#include "values/fault.h"
#include "values/pb.h"

enum cwsd_permission {
    CWSD_PERMISSION_EXEC = 1, /* the numbers of the published enum */
    CWSD_PERMISSION_STREAM_EXEC = 2,
    CWSD_PERMISSION_STREAM_LOGS = 3,
    CWSD_PERMISSION_WRITE_FILE = 4,
    CWSD_PERMISSION_READ_FILE = 5,
    CWSD_PERMISSION_END = 6,
};

struct cwsd_grant {
    char sandbox_id[32];
    unsigned permissions; /* bit 1 << cwsd_permission for each */
};

static inline bool cwsd_grant_has(const struct cwsd_grant *grant, enum cwsd_permission permission)
{
    return grant->permissions >> permission & 1;
}

/* The grant that a request asks for. False with *fault INVALID_ARGUMENT: none, or one that is
 * unknown. */
bool cwsd_grant_from_request(const cwsd_pb_connect_request *request, struct cwsd_grant *out_grant,
                             struct cwsd_fault *fault);

/* The grant as the URI that its certificate carries. */
#define CWSD_GRANT_URI_SIZE 80
void cwsd_grant_uri(const struct cwsd_grant *grant, char out_uri[CWSD_GRANT_URI_SIZE]);
/* The grant that such a URI stands for. False if it is not one. */
bool cwsd_grant_parse(const char *uri, struct cwsd_grant *out_grant);
