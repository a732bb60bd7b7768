/*
 * What a sandbox sees of the host, and what is made for it: bubblewrap's command line, the init's
 * steps, and the environment. Decided once per daemon. Whether a path exists on the host is checked
 * again for every sandbox.
 */
#pragma once

#include "box/isolation.h"
#include "box/script.h"
#include "box/string_list.h"
#include "values/limits.h"

struct cwsd_layout_options {
    enum cwsd_isolation isolation; /* NAMESPACES or OVERLAY */
    const char *bwrap;
    const char *init_path;
    bool other_users; /* sandboxes run as users who own nothing on the host, with CWSI_PROGRAM */
    struct cwsd_limits limits; /* processes 0: no limit */
    unsigned read_only;        /* bit i: no overlay on cwsd_layout_programs[i] */
    bool etc_apart;            /* no overlay on /etc as a whole, but one on each of its folders */
};

/* Where the init puts its overlay on the host's /etc. Its report names this path if the overlay is
 * refused. */
extern const char cwsd_layout_etc[];

struct cwsd_layout {
    struct cwsd_layout_options options; /* what they point to may be gone */
    struct cwsd_string_list bwrap_argv;
    size_t hostname_at; /* index in bwrap_argv of the word that takes the host name */
    size_t network_at;  /* and of the one that asks for a network of its own */
    /* The init's steps. A sandbox's own ones (cwsd_layout_add_identity, its files) come between the
     * two. */
    struct cwsd_script before, after;
    struct cwsd_string_list environment;
};

/* The directories of the host's programs; NULL ends the list. Those that are symbolic links on the
 * host are symbolic links in the sandbox, too. */
extern const char *const cwsd_layout_programs[];

/* CWS_NO_MEMORY, or CWS_SYSTEM if a part of the host's file system cannot be examined. */
enum cws_status cwsd_layout_init(struct cwsd_layout *layout,
                                 const struct cwsd_layout_options *options,
                                 struct cws_error *err) CWS_MUST_CHECK;
/* An all-zero layout is allowed. */
void cwsd_layout_done(struct cwsd_layout *layout);

/* Adds the steps of `after`, with limits that are a part of a sandbox's, one of `parts`. */
void cwsd_layout_add_after(struct cwsd_script *script, const struct cwsd_layout_options *options,
                           unsigned parts);

/* Adds the file that names the name server of a network that leads to others. */
void cwsd_layout_add_name_server(struct cwsd_script *script);

/* Adds the files that contain the sandbox's own host name. `names` are other names of the loopback
 * address, each of at most 63 bytes. */
void cwsd_layout_add_identity(struct cwsd_script *script, const char *hostname,
                              const struct cwsd_string_list *names);
