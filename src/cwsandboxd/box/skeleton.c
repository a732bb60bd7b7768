#include "box/skeleton.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Each costs a sandbox some 2 us when it is made. */
#define MAX_DIRECTORIES 300
#define MAX_DEPTH       5

#define LOCAL "/usr/local"

struct walk {
    struct cwsd_script *script;
    const char *upper;
    bool other_user;
    unsigned left;
};

/* Where people and package managers install to; `depth` counts the levels below. */
static const struct {
    const char *path;
    unsigned depth;
} places[] = {
    {LOCAL, MAX_DEPTH}, {"/usr/lib/python3", 1},
    {"/usr", 1},        {"/opt", 1},
    {"/bin", 0},        {"/sbin", 0},
    {"/lib", 1},        {"/lib64", 0},
};

static bool is_foreign(const struct walk *walk, const struct stat *status)
{
    return walk->other_user || status->st_uid != geteuid() || status->st_gid != getegid();
}

static void add(struct walk *walk, const char *path)
{
    char target[PATH_MAX + 64];
    const char *below = strchr(path + 1, '/');
    snprintf(target, sizeof(target), "%s/up%s", walk->upper, below ? below : "");
    cwsd_script_mkdir(walk->script, target, 0755);
    walk->left--;
}

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Whether nobody installs to what is called `name` in the folder. */
static bool is_left_out(const char *folder, const char *name)
{
    static const char suffix[] = "-packages";
    size_t len = strlen(name), suffix_len = sizeof(suffix) - 1;
    /* Of /usr/local/lib/python3.11, say, only site-packages and the like. */
    if (begins(strrchr(folder, '/'), "/python3."))
        return len < suffix_len || strcmp(name + len - suffix_len, suffix) != 0;
    /* Of what was unpacked to /usr/local (go, cargo) only the uppermost folders. */
    return begins(folder, LOCAL "/") && strchr(folder + sizeof(LOCAL), '/') &&
           !begins(folder, LOCAL "/lib/") && !begins(folder, LOCAL "/share/");
}

/* The directories `level` levels below `path`, which has room for PATH_MAX bytes and is as before
 * afterwards. */
static void visit(struct walk *walk, char *path, unsigned level)
{
    struct stat status;
    struct dirent *entry;
    size_t len = strlen(path);
    DIR *folder;
    if (walk->left == 0 || lstat(path, &status) != 0 || !S_ISDIR(status.st_mode))
        return;
    if (level == 0) {
        if (is_foreign(walk, &status))
            add(walk, path);
        return;
    }
    /* The content of a directory that this user may not read must not become visible through what
     * is made here. */
    if (walk->other_user && (status.st_mode & 0005) != 0005)
        return;
    folder = opendir(path);
    while (folder && (entry = readdir(folder)) != NULL) {
        size_t name_len = strlen(entry->d_name);
        if (entry->d_name[0] == '.' || entry->d_type != DT_DIR || len + 1 + name_len >= PATH_MAX ||
            is_left_out(path, entry->d_name))
            continue;
        path[len] = '/';
        memcpy(path + len + 1, entry->d_name, name_len + 1);
        visit(walk, path, level - 1);
        path[len] = '\0';
    }
    if (folder)
        closedir(folder);
}

void cwsd_skeleton_add(struct cwsd_script *script, const char *path, const char *upper,
                       bool other_user)
{
    struct walk walk = {
        .script = script, .upper = upper, .other_user = other_user, .left = MAX_DIRECTORIES};
    char place[PATH_MAX];
    size_t len = strlen(path);
    /* Level by level, so that one deep tree does not use up the limit before the other trees have
     * any. */
    for (unsigned level = 0; level <= MAX_DEPTH; level++) {
        for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
            bool inside = strncmp(places[i].path, path, len) == 0 &&
                          (places[i].path[len] == '\0' || places[i].path[len] == '/');
            if (!inside || level > places[i].depth)
                continue;
            snprintf(place, sizeof(place), "%s", places[i].path);
            visit(&walk, place, level);
        }
    }
}
