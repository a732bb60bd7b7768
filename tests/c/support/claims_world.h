/* For the tests of claims: an empty folder for them. */
#pragma once

#include <fcntl.h>
#include <stdlib.h>

#include "store/claims.h"
#include "support/daemon_help.h"

static char claims_folder[] = "/tmp/cws-claims-XXXXXX";
static struct cwsd_claims claims = {.dir = -1};

/* Returns -1 with *out_fault set. */
static inline int open_claim(const char *namespace, const char *name, const char *sub_path,
                             struct cwsd_fault *out_fault)
{
    cwsd_pb_claim claim = COREWEAVE__SANDBOX__V1__PVC_VOLUME_SOURCE__INIT;
    claim.namespace_ = (char *)namespace;
    claim.claim_name = (char *)name;
    claim.sub_path = (char *)sub_path;
    memset(out_fault, 0, sizeof(*out_fault));
    return cwsd_claims_folder(&claims, &claim, out_fault);
}

static inline int claims_set_up(void **state)
{
    (void)state;
    if (!mkdtemp(claims_folder))
        return -1;
    claims.dir = open(claims_folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return claims.dir < 0;
}

static inline int claims_tear_down(void **state)
{
    (void)state;
    char command[64];
    cwsd_claims_close(&claims);
    snprintf(command, sizeof(command), "rm -r %s", claims_folder);
    return system(command);
}
