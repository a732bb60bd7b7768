/* How far a sandbox is from its host. */
#pragma once

enum cwsd_isolation {
    /* Only by that explicit name. */
    CWSD_ISOLATION_NONE,
    /* bubblewrap; the host's programs read-only, tmpfs on the usual writable places. */
    CWSD_ISOLATION_NAMESPACES,
    /* bubblewrap; the host's programs under a private writable overlay. */
    CWSD_ISOLATION_OVERLAY,
};
