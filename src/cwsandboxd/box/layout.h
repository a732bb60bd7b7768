/*
 * What a sandbox sees of the host, and what is made for it: bubblewrap's command line, the init's
 * steps, and the environment. Decided once per daemon; what of it exists on the host is looked at
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
    bool other_users;          /* they run as users to whom nothing belongs, with CWSI_PROGRAM */
    struct cwsd_limits limits; /* processes 0: none */
    unsigned read_only;        /* bit i: no overlay on cwsd_layout_programs[i] */
    bool etc_apart;            /* no overlay on /etc as a whole, but one for each folder */
};

/* Where the init puts its overlay on the host's /etc: what its report names when that is refused.
 */
extern const char cwsd_layout_etc[];

struct cwsd_layout {
    struct cwsd_string_list bwrap_argv;
    size_t hostname_at; /* the word of bwrap_argv to put the host name in */
    /* A sandbox's own steps (cwsd_layout_add_identity, its files) come between the two. */
    struct cwsd_script before, after;
    struct cwsd_string_list environment;
};

/* Where the host's programs are; a NULL ends the list. Those that are symbolic links on the host
 * are in the sandbox. */
extern const char *const cwsd_layout_programs[];

/* CWS_NO_MEMORY, or CWS_SYSTEM when there is something of the host that cannot be looked at. */
enum cws_status cwsd_layout_init(struct cwsd_layout *layout,
                                 const struct cwsd_layout_options *options,
                                 struct cws_error *err) CWS_MUST_CHECK;
/* An all-zero layout is allowed. */
void cwsd_layout_done(struct cwsd_layout *layout);

/* The files that carry the sandbox's own name. */
void cwsd_layout_add_identity(struct cwsd_script *script, const char *hostname);
