#include "box/layout.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box/share.h"
#include "box/skeleton.h"

/* In sight of bubblewrap and the init only; gone when commands start. One mount, so that it goes in
 * one step: each unmounting waits for every processor. */
#define HIDDEN_ETC  CWSI_HIDDEN "/etc"
#define HIDDEN_INIT CWSI_HIDDEN "/init"
#define GIVEN_INIT  "/proc/self/fd/" CWSI_PROGRAM_TEXT
/* What is written lies in the one tmpfs that is the sandbox's root, so that one limit holds for all
 * of it: in the folder on which /proc is mounted, where no command comes to. */
#define ROOT_VIEW CWSI_HIDDEN "/root"
#define WRITTEN   ROOT_VIEW "/proc"
#define UPPER     WRITTEN "/rw"
#define SHM       WRITTEN "/shm"
/* For a few names that programs make there: a log's socket, links. */
#define DEV_BYTES (64u << 10)
#define DEV_FILES 64
/* As bubblewrap mounts them, and how many there can be. The kernel has 3072 for all sandboxes. */
#define TERMINALS "ptmxmode=0666,mode=620,max=256"
/* The average size of a file, from which the maximum number of files follows. */
#define BYTES_A_FILE 8192

#define USUAL_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
/* Where `python` is put when /usr cannot be written to. */
#define OWN_BIN "/run/cwsandbox/bin"

const char cwsd_layout_etc[] = HIDDEN_ETC;
const char *const cwsd_layout_programs[] = {"/usr",   "/opt",   "/bin",    "/sbin", "/lib",
                                            "/lib32", "/lib64", "/libx32", NULL};

/*
 * What programs need from /etc, by name. Everything else, whoever put it there, stays out. Nothing
 * in here holds keys, passwords, tokens or addresses (so no pip.conf, gitconfig, wgetrc,
 * ssl/private, pki/tls/private, profile.d).
 */
static const char *const etc_files[] = {
    "debian_version", "fedora-release",  "gai.conf",       "host.conf",   "inputrc",
    "ld.so.cache",    "ld.so.conf",      "locale.alias",   "locale.conf", "localtime",
    "lsb-release",    "magic",           "magic.mime",     "mime.types",  "networks",
    "os-release",     "protocols",       "redhat-release", "rpc",         "services",
    "shells",         "ssl/openssl.cnf", "system-release", "timezone",    "ca-certificates.conf"};
static const struct {
    const char *pattern;
    bool writable; /* there are programs that add files there */
} etc_dirs[] = {
    {"alternatives", true},
    {"ca-certificates", false},
    {"crypto-policies", false},
    {"fonts", false},
    {"glvnd", false},
    {"groff", false},
    {"ImageMagick-*", false},
    {"java-*", false},
    {"ld.so.conf.d", true},
    {"OpenCL", false},
    {"perl", false},
    {"pki/ca-trust/extracted", true},
    {"pki/tls/certs", true},
    {"python3", false},
    {"python3.*", false},
    {"R", false},
    {"sgml", false},
    {"ssl/certs", true},
    {"terminfo", false},
    {"texmf", false},
    {"xml", false},
};

/* What the init needs for its steps, and what of it the commands keep (guard.c of the init). */
static const char *const capabilities[] = {
    "CAP_SYS_ADMIN",    "CAP_SYS_RESOURCE", "CAP_SETPCAP",          "CAP_CHOWN",
    "CAP_DAC_OVERRIDE", "CAP_FOWNER",       "CAP_FSETID",           "CAP_KILL",
    "CAP_SETGID",       "CAP_SETUID",       "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT"};

static const char *const empty_dirs[] = {"/home",     "/media",   "/mnt",       "/run",
                                         "/run/lock", "/srv",     "/var",       "/var/cache",
                                         "/var/lib",  "/var/log", "/var/spool", "/workspace"};

static const char passwd[] = "root:x:0:0:root:/root:%s\n"
                             "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
static const char group[] = "root:x:0:\ntty:x:5:\nstaff:x:50:\nnogroup:x:65534:\n";
static const char nsswitch[] =
    "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n"
    "protocols: files\nservices: files\nethers: files\nrpc: files\n";
/* A login shell keeps the PATH that the sandbox was given; only a missing one is made. */
static const char profile[] = "PATH=\"${PATH:-%s}\"\nexport PATH\n";

/* ---- bubblewrap's words --------------------------------------------------------------------- */

struct builder {
    struct cwsd_layout *layout;
    const struct cwsd_layout_options *options;
    enum cws_status status;
    size_t words_cap;
};

static bool is_overlay(const struct cwsd_layout_options *options)
{
    return options->isolation == CWSD_ISOLATION_OVERLAY;
}

static bool has_overlay(const struct builder *builder)
{
    return is_overlay(builder->options);
}

/* Without an overlay nothing depends on the init's steps but what root must be kept from. */
static unsigned try_unless_needed(const struct cwsd_layout_options *options)
{
    bool is_root = geteuid() == 0 && !options->other_users;
    return is_overlay(options) || is_root ? 0 : CWSI_STEP_TRY;
}

static void word(struct builder *builder, const char *text)
{
    if (builder->status == CWS_OK && builder->layout->bwrap_argv.count == builder->words_cap)
        builder->status = CWS_NO_MEMORY;
    if (builder->status == CWS_OK)
        builder->status = cwsd_string_list_add(&builder->layout->bwrap_argv, text);
}

static void words(struct builder *builder, const char *option, const char *a, const char *b)
{
    word(builder, option);
    word(builder, a);
    if (b)
        word(builder, b);
}

static void sized_tmpfs(struct builder *builder, const char *path, uint64_t bytes)
{
    char size[32];
    snprintf(size, sizeof(size), "%llu", (unsigned long long)bytes);
    words(builder, "--size", size, NULL);
    words(builder, "--tmpfs", path, NULL);
}

static void add_namespaces(struct builder *builder)
{
    /* No --die-with-parent: it ends bubblewrap's first process at a moment when the second may
     * still wait for it, and then waits for ever. The init sees the daemon's end by the socket, and
     * is never kept from looking (command.c there). */
    static const char *const flags[] = {"--unshare-user", "--unshare-pid", "--unshare-ipc",
                                        "--unshare-net",  "--unshare-uts", "--unshare-cgroup-try",
                                        "--as-pid-1",     "--clearenv"};
    word(builder, builder->options->bwrap);
    for (size_t i = 0; i < CWS_ARRAY_LEN(flags); i++) {
        if (strcmp(flags[i], "--unshare-net") == 0)
            builder->layout->network_at = builder->layout->bwrap_argv.count;
        word(builder, flags[i]);
    }
    word(builder, "--hostname");
    builder->layout->hostname_at = builder->layout->bwrap_argv.count;
    word(builder, "");
    words(builder, "--uid", "0", NULL);
    words(builder, "--gid", "0", NULL);
    for (size_t i = 0; i < CWS_ARRAY_LEN(capabilities); i++)
        words(builder, "--cap-add", capabilities[i], NULL);
}

/* ---- programs ------------------------------------------------------------------------------- */

/* The target of a symbolic link; false for anything else. */
static bool read_link(const char *path, char target[PATH_MAX])
{
    ssize_t len = readlink(path, target, PATH_MAX - 1);
    if (len >= 0)
        target[len] = '\0';
    return len >= 0;
}

static bool is_directory(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* UPPER/usr for /usr, UPPER/etc-ssl-certs for /etc/ssl/certs. */
static void upper_of(const char *path, char upper[PATH_MAX])
{
    size_t at = (size_t)snprintf(upper, PATH_MAX, UPPER "/%s", path + 1);
    for (size_t i = sizeof(UPPER "/"); i < at; i++)
        if (upper[i] == '/')
            upper[i] = '-';
}

static void add_overlay(struct builder *builder, const char *path, unsigned flags)
{
    char upper[PATH_MAX];
    upper_of(path, upper);
    cwsd_script_add(&builder->layout->before, CWSI_STEP_OVERLAY, flags, path, upper);
}

static void add_programs(struct builder *builder)
{
    char target[PATH_MAX], upper[PATH_MAX];
    for (size_t i = 0; cwsd_layout_programs[i]; i++) {
        const char *path = cwsd_layout_programs[i];
        if (read_link(path, target)) {
            cwsd_script_add(&builder->layout->before, CWSI_STEP_SYMLINK, 0, path, target);
            continue;
        }
        if (!is_directory(path))
            continue;
        words(builder, "--ro-bind", path, path);
        if (!has_overlay(builder) || builder->options->read_only & 1u << i)
            continue;
        upper_of(path, upper);
        cwsd_skeleton_add(&builder->layout->before, path, upper, builder->options->other_users);
        add_overlay(builder, path, 0);
    }
}

static bool on_host(const char *folder, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return access(path, X_OK) == 0;
}

/* `python` for a host that has only `python3`. */
static void add_python(struct builder *builder)
{
    static const char *const folders[] = {"/usr/local/bin", "/usr/bin", "/bin"};
    const char *python3 = NULL;
    for (size_t i = 0; i < CWS_ARRAY_LEN(folders); i++) {
        if (on_host(folders[i], "python"))
            return;
        if (!python3 && on_host(folders[i], "python3"))
            python3 = folders[i];
    }
    if (!python3)
        return;
    char target[64];
    snprintf(target, sizeof(target), "%s/python3", python3);
    bool writable = has_overlay(builder) && !(builder->options->read_only & 1u);
    cwsd_script_add(&builder->layout->before, CWSI_STEP_SYMLINK, 0,
                    writable ? "/usr/local/bin/python" : OWN_BIN "/python", target);
}

/* ---- /etc ----------------------------------------------------------------------------------- */

/* With an overlay the init picks from the whole /etc, which is then taken away again. */
static void pick_from_hidden(struct builder *builder)
{
    char from[PATH_MAX], to[PATH_MAX];
    for (size_t i = 0; i < CWS_ARRAY_LEN(etc_files); i++) {
        snprintf(from, sizeof(from), HIDDEN_ETC "/%s", etc_files[i]);
        snprintf(to, sizeof(to), "/etc/%s", etc_files[i]);
        cwsd_script_add(&builder->layout->before, CWSI_STEP_COPY, CWSI_STEP_IF_EXISTS, from, to);
    }
}

/* Locks on the host's files, and watches, would be shared with everybody who has these. One overlay
 * is cheaper than copies. */
static void overlay_hidden(struct builder *builder)
{
    char upper[PATH_MAX];
    if (builder->options->etc_apart)
        return;
    for (size_t i = 0; i < CWS_ARRAY_LEN(etc_dirs); i++) {
        snprintf(upper, sizeof(upper), "/etc/%s", etc_dirs[i].pattern);
        if (!etc_dirs[i].writable || !is_directory(upper))
            continue;
        snprintf(upper, sizeof(upper), UPPER "/etc/up/%s", etc_dirs[i].pattern);
        cwsd_script_mkdir(&builder->layout->before, upper, 0755);
    }
    cwsd_script_add(&builder->layout->before, CWSI_STEP_OVERLAY, 0, HIDDEN_ETC, UPPER "/etc");
}

static void bind_from_hidden(struct builder *builder, const char *path)
{
    char from[PATH_MAX];
    snprintf(from, sizeof(from), CWSI_HIDDEN "%s", path);
    cwsd_script_add(&builder->layout->before, CWSI_STEP_BIND, CWSI_STEP_IF_EXISTS, from, path);
    if (builder->options->etc_apart)
        add_overlay(builder, path, CWSI_STEP_TRY);
}

/* Without one bubblewrap does it, which takes longer but needs no rights in the sandbox. */
static void pick_by_bwrap(struct builder *builder)
{
    char path[PATH_MAX], target[PATH_MAX];
    for (size_t i = 0; i < CWS_ARRAY_LEN(etc_files); i++) {
        snprintf(path, sizeof(path), "/etc/%s", etc_files[i]);
        if (read_link(path, target))
            cwsd_script_add(&builder->layout->before, CWSI_STEP_SYMLINK, 0, path, target);
        else
            words(builder, "--ro-bind-try", path, path);
    }
}

static void add_etc_dirs(struct builder *builder)
{
    char pattern[PATH_MAX], target[PATH_MAX];
    for (size_t i = 0; i < CWS_ARRAY_LEN(etc_dirs); i++) {
        glob_t found;
        snprintf(pattern, sizeof(pattern), "/etc/%s", etc_dirs[i].pattern);
        int rc = glob(pattern, 0, NULL, &found);
        if (rc == GLOB_NOSPACE)
            builder->status = CWS_NO_MEMORY;
        for (size_t j = 0; rc == 0 && j < found.gl_pathc; j++) {
            const char *path = found.gl_pathv[j];
            if (read_link(path, target))
                cwsd_script_add(&builder->layout->before, CWSI_STEP_SYMLINK, 0, path, target);
            else if (!is_directory(path))
                continue;
            else if (has_overlay(builder))
                bind_from_hidden(builder, path);
            else
                words(builder, "--ro-bind-try", path, path);
        }
        globfree(&found);
    }
}

static void add_file(struct builder *builder, const char *path, const char *format,
                     const char *argument)
{
    char content[1024];
    int len = snprintf(content, sizeof(content), format, argument);
    assert(len >= 0 && (size_t)len < sizeof(content));
    cwsd_script_file(&builder->layout->before, CWSI_STEP_FILE, path, 0644, content, (size_t)len);
}

static const char *shell(void)
{
    return access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
}

static void add_etc(struct builder *builder, const char *path)
{
    if (has_overlay(builder)) {
        words(builder, "--ro-bind", "/etc", HIDDEN_ETC);
        pick_from_hidden(builder);
        overlay_hidden(builder);
    } else {
        pick_by_bwrap(builder);
    }
    add_etc_dirs(builder);
    /* bubblewrap makes what leads to a bound folder for its owner alone. */
    cwsd_script_mkdir(&builder->layout->before, "/etc", 0755);
    cwsd_script_mkdir(&builder->layout->before, "/etc/ssl", 0755);
    cwsd_script_add(&builder->layout->before, CWSI_STEP_SYMLINK, 0, "/etc/mtab",
                    "/proc/self/mounts");
    add_file(builder, "/etc/passwd", passwd, shell());
    add_file(builder, "/etc/group", "%s", group);
    add_file(builder, "/etc/nsswitch.conf", "%s", nsswitch);
    add_file(builder, "/etc/resolv.conf", "%s", "");
    add_file(builder, "/etc/profile", profile, path);
}

/* ---- the rest ------------------------------------------------------------------------------- */

static void add_writable(struct builder *builder)
{
    struct cwsd_script *script = &builder->layout->before;
    for (size_t i = 0; i < CWS_ARRAY_LEN(empty_dirs); i++)
        cwsd_script_mkdir(script, empty_dirs[i], 0755);
    cwsd_script_mkdir(script, "/tmp", 01777);
    cwsd_script_mkdir(script, "/var/tmp", 01777);
    cwsd_script_mkdir(script, "/root", 0700);
    cwsd_script_add(script, CWSI_STEP_ENSURE_DIR, 0, "/opt", NULL); /* a host may have none */
    cwsd_script_add(script, CWSI_STEP_SYMLINK, 0, "/var/run", "/run");
}

static void resize(struct cwsd_script *script, const char *path, uint64_t bytes, uint64_t files,
                   unsigned flags)
{
    char text[80];
    snprintf(text, sizeof(text), "size=%llu,nr_inodes=%llu", (unsigned long long)bytes,
             (unsigned long long)files);
    cwsd_script_add(script, CWSI_STEP_RESIZE, flags, path, text);
}

/* With an overlay all that can be written to is in the one tmpfs but for names in /dev. Without one
 * the init may not be allowed to do anything, and bubblewrap gives each its part; it cannot limit
 * how many files there are. */
static void add_limits(struct cwsd_script *script, const struct cwsd_layout_options *options,
                       unsigned parts)
{
    const struct cwsd_limits *limits = &options->limits;
    const uint64_t bytes = limits->written_bytes / parts;
    const uint64_t processes = limits->processes / parts;
    bool overlay = is_overlay(options);
    if (overlay) {
        resize(script, "/", bytes, bytes / BYTES_A_FILE, 0);
        resize(script, "/dev", DEV_BYTES, DEV_FILES, 0);
    } else {
        resize(script, "/", bytes / 2, bytes / 2 / BYTES_A_FILE, CWSI_STEP_TRY);
        resize(script, "/dev/shm", bytes / 4, bytes / 4 / BYTES_A_FILE, CWSI_STEP_TRY);
    }
    cwsd_script_add(script, CWSI_STEP_RESIZE, overlay ? 0 : CWSI_STEP_TRY, "/dev/pts", TERMINALS);
    if (limits->processes)
        cwsd_script_limit(script, RLIMIT_NPROC, "processes", processes ? processes : 1);
    cwsd_script_limit(script, RLIMIT_NOFILE, "open files", limits->open_files);
}

static void add_dev(struct builder *builder)
{
    struct cwsd_script *script = &builder->layout->before;
    words(builder, "--dev", "/dev", NULL);
    if (has_overlay(builder)) {
        cwsd_script_mkdir(script, SHM, 01777);
        cwsd_script_add(script, CWSI_STEP_BIND, 0, SHM, "/dev/shm");
    } else {
        sized_tmpfs(builder, "/dev/shm", builder->options->limits.written_bytes / 4);
        words(builder, "--remount-ro", "/dev", NULL);
        cwsd_script_mkdir(script, "/dev/shm", 01777);
    }
}

void cwsd_layout_add_after(struct cwsd_script *script, const struct cwsd_layout_options *options,
                           unsigned parts)
{
    unsigned flags = try_unless_needed(options);
    add_limits(script, options, parts);
    cwsd_script_add(script, CWSI_STEP_SETTING, flags, "/proc/sys/user/max_user_namespaces", "0");
    if (!options->other_users)
        cwsd_share_add(script, parts);
    /* The devices first: files of /proc are covered with one of them. */
    cwsd_script_add(script, CWSI_STEP_SEAL_DEV, flags, "/dev", NULL);
    cwsd_script_add(script, CWSI_STEP_SEAL_PROC, flags, "/proc", NULL);
    cwsd_script_add(script, CWSI_STEP_DETACH, flags, CWSI_HIDDEN, NULL);
}

static void variable(struct builder *builder, const char *name, const char *value)
{
    if (builder->status == CWS_OK)
        builder->status = cwsd_string_list_add_pair(&builder->layout->environment, name, value);
}

static void add_environment(struct builder *builder, const char *path)
{
    variable(builder, "PATH", path);
    variable(builder, "HOME", "/root");
    variable(builder, "USER", "root");
    variable(builder, "LOGNAME", "root");
    variable(builder, "SHELL", shell());
    variable(builder, "LANG", "C.UTF-8");
    /* The host's packages are this sandbox's own to change. */
    variable(builder, "PIP_BREAK_SYSTEM_PACKAGES", "1");
    variable(builder, "PIP_ROOT_USER_ACTION", "ignore");
}

static void build(struct builder *builder)
{
    /* pip installs into the home where it cannot write to /usr. */
    const char *path =
        has_overlay(builder) ? USUAL_PATH : "/root/.local/bin:" USUAL_PATH ":" OWN_BIN;
    const struct cwsd_layout_options *options = builder->options;
    unsigned flags = try_unless_needed(options);
    add_namespaces(builder);
    cwsd_script_add(&builder->layout->before, CWSI_STEP_PRIVATE, flags, "/", NULL);
    if (has_overlay(builder)) {
        words(builder, "--tmpfs", CWSI_HIDDEN, NULL);
        cwsd_script_add(&builder->layout->before, CWSI_STEP_VIEW, 0, "/", ROOT_VIEW);
    } else {
        sized_tmpfs(builder, "/", options->limits.written_bytes / 2);
        sized_tmpfs(builder, CWSI_HIDDEN, options->limits.written_bytes / 4);
    }
    add_programs(builder);
    add_etc(builder, path);
    if (!builder->options->other_users)
        words(builder, "--ro-bind", builder->options->init_path, HIDDEN_INIT);
    words(builder, "--proc", "/proc", NULL);
    add_dev(builder);
    words(builder, "--", builder->options->other_users ? GIVEN_INIT : HIDDEN_INIT, NULL);
    add_writable(builder);
    add_python(builder);
    cwsd_layout_add_after(&builder->layout->after, options, 1);
    add_environment(builder, path);
}

enum cws_status cwsd_layout_init(struct cwsd_layout *layout,
                                 const struct cwsd_layout_options *options, struct cws_error *err)
{
    struct builder builder = {.layout = layout, .options = options, .words_cap = 1000};
    memset(layout, 0, sizeof(*layout));
    layout->options = *options;
    cwsd_script_init(&layout->before);
    cwsd_script_init(&layout->after);
    builder.status = cwsd_string_list_reserve(&layout->bwrap_argv, builder.words_cap);
    if (builder.status == CWS_OK)
        builder.status = cwsd_string_list_reserve(&layout->environment, 16);
    if (builder.status == CWS_OK)
        build(&builder);
    if (builder.status == CWS_OK)
        builder.status = layout->before.status;
    if (builder.status == CWS_OK)
        builder.status = layout->after.status;
    if (builder.status == CWS_OK)
        return CWS_OK;
    cwsd_layout_done(layout);
    return cws_error_set(err, builder.status, "planning the sandboxes' file system: %s",
                         cws_status_text(builder.status));
}

void cwsd_layout_done(struct cwsd_layout *layout)
{
    cwsd_string_list_done(&layout->bwrap_argv);
    cwsd_string_list_done(&layout->environment);
    cwsd_script_done(&layout->before);
    cwsd_script_done(&layout->after);
}

void cwsd_layout_add_identity(struct cwsd_script *script, const char *hostname,
                              const struct cwsd_string_list *names)
{
    char text[4096];
    int len = snprintf(text, sizeof(text), "%s\n", hostname);
    cwsd_script_file(script, CWSI_STEP_FILE, "/etc/hostname", 0644, text, (size_t)len);
    len = snprintf(text, sizeof(text), "127.0.0.1\tlocalhost");
    for (size_t i = 0; i < names->count && len < (int)sizeof(text) / 2; i++)
        len += snprintf(text + len, sizeof(text) - (size_t)len, " %.63s", names->items[i]);
    len += snprintf(text + len, sizeof(text) - (size_t)len,
                    "\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t%s\n", hostname);
    cwsd_script_file(script, CWSI_STEP_FILE, "/etc/hosts", 0644, text, (size_t)len);
}

void cwsd_layout_add_name_server(struct cwsd_script *script)
{
    static const char text[] = "nameserver 127.0.0.53\n";
    cwsd_script_file(script, CWSI_STEP_FILE, "/etc/resolv.conf", 0644, text, sizeof(text) - 1);
}
