#include "box/script.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Mounted files are the bulk; the request that brought them was far smaller. */
#define MAX_SCRIPT_BYTES ((size_t)1 << 30)

void cwsd_script_init(struct cwsd_script *script)
{
    cws_buf_init(&script->steps, MAX_SCRIPT_BYTES);
    script->status = CWS_OK;
}

void cwsd_script_done(struct cwsd_script *script)
{
    cws_buf_done(&script->steps);
}

static void add(struct cwsd_script *script, const struct cwsi_step *step, const char *a,
                const void *b)
{
    size_t size = sizeof(*step) + step->a_len + 1 + (size_t)step->b_len + 1;
    size_t padded = (size + 7) & ~(size_t)7;
    uint8_t *to;
    if (script->status == CWS_OK)
        script->status = cws_buf_reserve(&script->steps, padded, &to);
    if (script->status != CWS_OK)
        return;
    memcpy(to, step, sizeof(*step));
    memcpy(to + sizeof(*step), a, step->a_len + 1);
    if (step->b_len)
        memcpy(to + sizeof(*step) + step->a_len + 1, b, (size_t)step->b_len);
    memset(to + size - 1, 0, padded - size + 1);
    cws_buf_commit(&script->steps, padded);
}

void cwsd_script_add(struct cwsd_script *script, enum cwsi_step_op op, unsigned flags,
                     const char *a, const char *b)
{
    struct cwsi_step step = {
        .op = op, .flags = flags, .a_len = (uint32_t)strlen(a), .b_len = b ? strlen(b) : 0};
    add(script, &step, a, b);
}

void cwsd_script_mkdir(struct cwsd_script *script, const char *path, unsigned mode)
{
    struct cwsi_step step = {.op = CWSI_STEP_MKDIR, .mode = mode, .a_len = (uint32_t)strlen(path)};
    add(script, &step, path, NULL);
}

void cwsd_script_file(struct cwsd_script *script, enum cwsi_step_op op, const char *path,
                      unsigned mode, const void *data, size_t len)
{
    struct cwsi_step step = {.op = op, .mode = mode, .a_len = (uint32_t)strlen(path), .b_len = len};
    add(script, &step, path, data);
}

void cwsd_script_mount_volume(struct cwsd_script *script, const char *path, const char *source,
                              const char *sub_path, bool read_only)
{
    char whole[PATH_MAX + NAME_MAX];
    int len = snprintf(whole, sizeof(whole), "%s%s%s", source, sub_path ? "/" : "",
                       sub_path ? sub_path : "");
    assert(len > 0 && (size_t)len < sizeof(whole));
    struct cwsi_step step = {.op = path ? CWSI_STEP_MOUNT_VOLUME : CWSI_STEP_LEND,
                             .mode = read_only,
                             .a_len = (uint32_t)(path ? strlen(path) : (size_t)len),
                             .b_len = path ? (uint64_t)len : 0};
    add(script, &step, path ? path : whole, whole);
}

void cwsd_script_limit(struct cwsd_script *script, unsigned resource, const char *what,
                       uint64_t most)
{
    struct cwsi_step step = {.op = CWSI_STEP_LIMIT,
                             .mode = resource,
                             .a_len = (uint32_t)strlen(what),
                             .b_len = sizeof(most)};
    add(script, &step, what, &most);
}
