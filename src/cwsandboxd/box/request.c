#include "box/request.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "values/bounds.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif

void cwsd_request_init(struct cwsd_request *request, enum cwsi_op op, uint32_t id)
{
    *request = (struct cwsd_request){.packet = {.op = op, .id = id}};
    cws_list_init(&request->node);
}

void cwsd_request_done(struct cwsd_request *request)
{
    cws_list_remove(&request->node);
    cws_free(request->block);
    request->block = NULL;
    for (unsigned i = 0; i < request->fd_count; i++)
        close(request->fds[i]);
    request->fd_count = 0;
    void (*settled)(struct cwsd_request *settled_request) = request->settled;
    request->settled = NULL;
    if (settled)
        settled(request);
}

/* ---- the block ------------------------------------------------------------------------------ */

static enum cws_status make_file(struct cwsd_request *request, struct cws_error *err)
{
    assert(request->fd_count == 0);
    int fd = memfd_create("cwsandbox", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) /* a kernel before 6.3 */
        fd = memfd_create("cwsandbox", MFD_CLOEXEC);
    if (fd < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "memfd_create");
    request->fds[request->fd_count++] = fd;
    return CWS_OK;
}

static enum cws_status append(struct cwsd_request *request, const void *bytes, size_t len,
                              struct cws_error *err)
{
    const char *at = bytes;
    request->packet.size += len;
    while (len) {
        ssize_t written = write(request->fds[0], at, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return cws_error_set_errno(err, CWS_SYSTEM, errno,
                                       "writing a request to the sandbox's init");
        at += written;
        len -= (size_t)written;
    }
    return CWS_OK;
}

enum cws_status cwsd_request_set_scripts(struct cwsd_request *request,
                                         const struct cwsd_script *const *scripts, size_t count,
                                         struct cws_error *err)
{
    enum cws_status status = make_file(request, err);
    for (size_t i = 0; i < count && status == CWS_OK; i++) {
        const struct cws_buf *steps = &scripts[i]->steps;
        status = scripts[i]->status;
        if (status != CWS_OK)
            return cws_error_set(err, status, "the sandbox's files: %s", cws_status_text(status));
        if (steps->len)
            status = append(request, cws_buf_bytes(steps), steps->len, err);
    }
    return status;
}

/* Takes the block over. */
static enum cws_status set_block(struct cwsd_request *request, uint8_t *block, size_t size,
                                 struct cws_error *err)
{
    if (size <= CWSI_MAX_INLINE) {
        request->block = block;
        request->packet.size = size;
        return CWS_OK;
    }
    enum cws_status status = make_file(request, err);
    if (status == CWS_OK)
        status = append(request, block, size, err);
    cws_free(block);
    return status;
}

/* ---- commands ------------------------------------------------------------------------------- */

static size_t total_len(const struct cwsd_string_list *list)
{
    size_t len = 0;
    for (size_t i = 0; i < list->count; i++)
        len += strlen(list->items[i]) + 1;
    return len;
}

/* Copies the string to `at` in the block, notes its offset, returns the place after it. */
static size_t put(uint8_t *block, size_t at, const char *text, uint64_t *offset)
{
    size_t len = strlen(text) + 1;
    memcpy(block + at, text, len);
    *offset = at;
    return at + len;
}

static enum cws_status set_command(struct cwsd_request *request,
                                   const struct cwsd_string_list *argv,
                                   const struct cwsd_string_list *environment,
                                   const char *working_dir, struct cws_error *err)
{
    size_t pointers = argv->count + 1 + environment->count + 1;
    size_t words_len = total_len(argv) + total_len(environment);
    size_t charged = words_len + (argv->count + environment->count) * CWSD_ARG_POINTER_BYTES;
    if (charged > CWSD_MAX_EXEC_BYTES)
        return cws_error_set(err, CWS_INVALID,
                             "has %zu bytes in all with its environment and the sandbox's, and "
                             "%zu for each word; at most %zu are allowed",
                             charged, CWSD_ARG_POINTER_BYTES, CWSD_MAX_EXEC_BYTES);
    size_t at = sizeof(struct cwsi_command) + pointers * sizeof(uint64_t);
    size_t size = at + words_len + strlen(working_dir) + 1;
    uint8_t *block = cws_calloc(1, size);
    if (!block)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for a command");
    struct cwsi_command *command = (struct cwsi_command *)block;
    command->argc = (uint32_t)argv->count;
    command->envc = (uint32_t)environment->count;
    for (size_t i = 0; i < argv->count; i++)
        at = put(block, at, argv->items[i], &command->pointers[i]);
    for (size_t i = 0; i < environment->count; i++)
        at = put(block, at, environment->items[i], &command->pointers[argv->count + 1 + i]);
    put(block, at, working_dir, &command->working_dir);

    return set_block(request, block, size, err);
}

enum cws_status cwsd_request_set_command(struct cwsd_request *request,
                                         const struct cwsd_string_list *argv,
                                         const struct cwsd_string_list *environment,
                                         const char *working_dir, struct cws_error *err)
{
    if (argv->count == 0)
        return cws_error_set(err, CWS_INVALID, "the command has no words");
    return set_command(request, argv, environment, working_dir, err);
}

enum cws_status cwsd_request_set_idle(struct cwsd_request *request, const char *working_dir,
                                      struct cws_error *err)
{
    const struct cwsd_string_list nothing = {0};
    request->packet.flags |= CWSI_IDLE;
    return set_command(request, &nothing, &nothing, working_dir, err);
}

enum cws_status cwsd_request_set_file(struct cwsd_request *request, uint64_t size,
                                      const char *working_dir, const char *path,
                                      struct cws_error *err)
{
    size_t at = sizeof(struct cwsi_file);
    size_t block_size = at + strlen(working_dir) + 1 + strlen(path) + 1;
    uint8_t *block = cws_calloc(1, block_size);
    if (!block)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for a file operation");
    struct cwsi_file *file = (struct cwsi_file *)block;
    file->size = size;
    at = put(block, at, working_dir, &file->working_dir);
    put(block, at, path, &file->path);
    return set_block(request, block, block_size, err);
}

enum cws_status cwsd_request_set_port(struct cwsd_request *request, uint16_t port,
                                      struct cws_error *err)
{
    struct cwsi_connect *connect = cws_malloc(sizeof(*connect));
    if (!connect)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for a connection");
    connect->port = port;
    return set_block(request, (uint8_t *)connect, sizeof(*connect), err);
}

void cwsd_request_add_fd(struct cwsd_request *request, uint32_t flag, int fd)
{
    assert((request->block || request->fd_count > 0) && request->fd_count < CWSI_MAX_FDS &&
           flag > request->packet.flags);
    request->packet.flags |= flag;
    request->fds[request->fd_count++] = fd;
}
