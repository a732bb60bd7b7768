#include "host/machine.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/base.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

/* The file's first bytes; "" if it cannot be read. */
static void read_text(const char *path, char *text, size_t size)
{
    ssize_t len = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        len = read(fd, text, size - 1);
        close(fd);
    }
    text[len > 0 ? len : 0] = '\0';
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- the machine ---------------------------------------------------------------------------- */

static void read_architecture(char *name, size_t size)
{
    static const struct {
        const char *kernel, *usual;
    } names[] = {{"x86_64", "amd64"}, {"aarch64", "arm64"}};
    struct utsname system;
    name[0] = '\0';
    if (uname(&system) != 0)
        return;
    snprintf(name, size, "%s", system.machine);
    for (size_t i = 0; i < CWS_ARRAY_LEN(names); i++)
        if (strcmp(names[i].kernel, system.machine) == 0)
            snprintf(name, size, "%s", names[i].usual);
}

static int64_t count_processors(void)
{
    cpu_set_t usable;
    /* Fails where there are more processors than a cpu_set_t has room for. */
    if (sched_getaffinity(0, sizeof(usable), &usable) == 0)
        return CPU_COUNT(&usable);
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? count : 0;
}

/* What the line `name` of /proc/meminfo says, in bytes; -1 without one. */
static int64_t find_memory(const char *text, const char *name)
{
    long long kib;
    const char *line = strstr(text, name);
    return line && sscanf(line + strlen(name), "%lld", &kib) == 1 ? (int64_t)kib * 1024 : -1;
}

static void read_memory(struct cwsd_machine *machine)
{
    char text[1024];
    struct sysinfo info;
    if (sysinfo(&info) != 0)
        return;
    machine->memory_bytes = (int64_t)info.totalram * info.mem_unit;
    read_text("/proc/meminfo", text, sizeof(text));
    int64_t available = find_memory(text, "MemAvailable:");
    machine->free_memory_bytes = available >= 0 ? available : (int64_t)info.freeram * info.mem_unit;
}

/* ---- cgroups -------------------------------------------------------------------------------- */

static void limit_cpu(struct cwsd_machine *machine, const char *dir)
{
    char path[PATH_MAX], text[64];
    long long quota, period;
    snprintf(path, sizeof(path), "%s/cpu.max", dir);
    read_text(path, text, sizeof(text));
    /* "max 100000" without a limit. */
    if (sscanf(text, "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0)
        machine->cpu_millicores =
            least(machine->cpu_millicores, (int64_t)((double)quota * 1000 / (double)period));
}

static void limit_memory(struct cwsd_machine *machine, const char *dir)
{
    char path[PATH_MAX], text[64];
    long long most, used;
    snprintf(path, sizeof(path), "%s/memory.max", dir);
    read_text(path, text, sizeof(text));
    if (sscanf(text, "%lld", &most) != 1 || most < 0)
        return;
    machine->memory_bytes = least(machine->memory_bytes, most);
    snprintf(path, sizeof(path), "%s/memory.current", dir);
    read_text(path, text, sizeof(text));
    if (sscanf(text, "%lld", &used) == 1)
        machine->free_memory_bytes =
            least(machine->free_memory_bytes, used < most ? most - used : 0);
}

void cwsd_machine_limit(struct cwsd_machine *machine, const char *root, const char *path)
{
    char dir[PATH_MAX - sizeof("/memory.current")];
    size_t root_len = strlen(root);
    int len = snprintf(dir, sizeof(dir), "%s%s", root, path);
    if (len < 0 || (size_t)len >= sizeof(dir))
        return;
    for (;;) {
        limit_cpu(machine, dir);
        limit_memory(machine, dir);
        char *slash = strrchr(dir, '/');
        if (!slash || (size_t)(slash - dir) < root_len)
            return;
        *slash = '\0';
    }
}

/* This process's cgroup in the one hierarchy of version 2: the line "0::/path". "" if there is
 * none. */
static void read_cgroup(char *path, size_t size)
{
    char text[PATH_MAX];
    read_text("/proc/self/cgroup", text, sizeof(text));
    const char *line = strncmp(text, "0::/", 4) == 0 ? text : strstr(text, "\n0::/");
    path[0] = '\0';
    if (!line)
        return;
    const char *name = strchr(line, '/');
    snprintf(path, size, "%.*s", (int)strcspn(name, "\n"), name);
}

void cwsd_machine_read(struct cwsd_machine *out)
{
    char cgroup[PATH_MAX];
    memset(out, 0, sizeof(*out));
    read_architecture(out->architecture, sizeof(out->architecture));
    out->cpu_millicores = count_processors() * 1000;
    read_memory(out);
    read_cgroup(cgroup, sizeof(cgroup));
    if (cgroup[0])
        cwsd_machine_limit(out, CGROUP_ROOT, cgroup);
}
