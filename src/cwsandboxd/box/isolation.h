/* How strongly a sandbox is isolated from its host. */
#pragma once

enum cwsd_isolation {
    /* None at all; only if asked for explicitly. */
    CWSD_ISOLATION_NONE,
    /* bubblewrap, with the host's programs read-only and a tmpfs on the usual writable places. */
    CWSD_ISOLATION_NAMESPACES,
    /* bubblewrap, with the host's programs under a private writable overlay. */
    CWSD_ISOLATION_OVERLAY,
};
