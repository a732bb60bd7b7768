#include "files.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define READ   ((uint64_t)(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR))
#define FOLDER (READ | LANDLOCK_ACCESS_FS_EXECUTE) /* libraries are mapped to be executed */

/* Of the first version of Landlock, without what later ones have added. */
#define ALL ((uint64_t)(LANDLOCK_ACCESS_FS_MAKE_SYM | (LANDLOCK_ACCESS_FS_MAKE_SYM - 1)))

/* The resolver's settings and modules, and what the common ones among these read. */
static const struct {
    const char *path;
    uint64_t access;
} needed[] = {
    {"/etc", READ},
    {"/usr", FOLDER},
    {"/lib", FOLDER},
    {"/lib64", FOLDER},
    {"/nix/store", FOLDER},
    {"/gnu/store", FOLDER},
    {"/run/systemd/resolve", READ},
    {"/run/nscd", READ},
    {"/var/lib/sss", READ},
    {"/var/lib/libvirt/dnsmasq", READ},
};

/* What is not there needs no rule. */
static void allow(int rules, const char *path, uint64_t access)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access};
    rule.parent_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (rule.parent_fd < 0)
        return;
    (void)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    close(rule.parent_fd);
}

/* Often it is a link to what a service of the host writes, and replaces now and then. */
static void allow_servers(int rules)
{
    char path[PATH_MAX];
    if (realpath("/etc/resolv.conf", path))
        allow(rules, dirname(path), READ);
}

void cwse_files_close(void)
{
    const uint64_t handled = ALL; /* the size says that nothing else is */
    int rules = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0);
    if (rules < 0)
        return;
    for (size_t i = 0; i < CWS_ARRAY_LEN(needed); i++)
        allow(rules, needed[i].path, needed[i].access);
    allow_servers(rules);
    (void)syscall(SYS_landlock_restrict_self, rules, 0);
    close(rules);
}
