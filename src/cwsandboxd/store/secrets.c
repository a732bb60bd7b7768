#include "store/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/private.h"
#include "values/bounds.h"
#include "values/spec_secrets.h"
#include "values/text.h"

typedef Coreweave__Sandbox__V1__SecretMapping mapping_t;
typedef Coreweave__Sandbox__V1__SecretStoreReference reference_t;

enum cws_status cwsd_secrets_check(const char *dir, struct cws_error *err)
{
    int fd = open(dir, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return cws_error_set_errno(err, CWS_SYSTEM, errno, "cannot look at %s", dir);
    enum cws_status status = cwsd_private_check(fd, S_IFDIR, dir, err);
    close(fd);
    return status;
}

static bool refuse_store(struct cwsd_fault *fault, const char *store, const char *why)
{
    cwsd_fault_set(fault, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_NO_SECRET_STORE,
                   "the secret store \"%s\" %s", cwsd_text_short(store).text, why);
    cwsd_fault_note(fault, "store_name", store);
    return false;
}

static bool refuse_secret(struct cwsd_fault *fault, const char *store, const mapping_t *mapping,
                          const char *why)
{
    cwsd_fault_set(fault, CWS_GRPC_FAILED_PRECONDITION, CWSD_REASON_PRECONDITION_FAILED,
                   "the secret \"%s\" of the store \"%s\" %s", cwsd_text_short(mapping->path).text,
                   cwsd_text_short(store).text, why);
    cwsd_fault_note(fault, "store_name", store);
    return false;
}

static const char *file_fault(int fd)
{
    struct stat info;
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode))
        return "is no regular file";
    if (!cwsd_private(&info))
        return "has a file that is not only for the daemon's user (mode 0600)";
    if ((uint64_t)info.st_size > CWSD_MAX_SECRET_STORE_BYTES)
        return "has a file that is too large";
    return NULL;
}

/* -1 with *out_wrong set. The directory is looked at each time: it may have been opened to others
 * since the daemon has started, who could put any file of this user's there. */
static int open_file(const char *dir, const char *store, const char **out_wrong)
{
    char name[CWSD_MAX_PATH_BYTES];
    struct stat info;
    int len = snprintf(name, sizeof(name), "%s.json", store);
    int folder = dir && len < (int)sizeof(name) ? open(dir, O_PATH | O_CLOEXEC) : -1;
    int fd = -1;
    *out_wrong = "is not here";
    if (folder >= 0 && (fstat(folder, &info) < 0 || !cwsd_private(&info)))
        *out_wrong = "is in a directory that is not only for the daemon's user (mode 0700)";
    else if (folder >= 0)
        fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (folder >= 0)
        close(folder);
    return fd;
}

/* The store's object, or NULL with *fault set. What is wrong in a file is not told: the parser's
 * messages quote it. */
static json_t *open_store(const char *dir, const char *store, struct cwsd_fault *fault)
{
    json_t *secrets = NULL;
    const char *wrong;
    int fd = open_file(dir, store, &wrong);
    if (fd >= 0) {
        wrong = file_fault(fd);
        if (!wrong) {
            secrets = json_loadfd(fd, JSON_REJECT_DUPLICATES, NULL);
            if (!json_is_object(secrets))
                wrong = "has a file that is no JSON object";
        }
        close(fd);
    }
    if (!wrong)
        return secrets;
    json_decref(secrets);
    refuse_store(fault, store, wrong);
    return NULL;
}

/* A member's text; NULL if it is not there or is no string. */
static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static bool resolve_one(const json_t *secrets, const char *store, const mapping_t *mapping,
                        struct cwsd_string_list *list, struct cwsd_fault *fault)
{
    const json_t *secret = json_object_get(secrets, mapping->path);
    const char *value =
        mapping->field[0] ? text_of(secret, mapping->field) : text_of(secrets, mapping->path);
    if (!secret)
        return refuse_secret(fault, store, mapping, "does not exist");
    if (!value && mapping->field[0])
        return refuse_secret(fault, store, mapping, "has no text in that field");
    if (!value)
        return refuse_secret(fault, store, mapping, "is no text; name one of its fields");
    if (strlen(value) > CWSD_MAX_SECRET_BYTES)
        return refuse_secret(fault, store, mapping, "is too long for a variable");
    if (cwsd_string_list_add_pair(list, cwsd_secret_variable(mapping), value) != CWS_OK)
        return cwsd_fault_set_memory(fault);
    return true;
}

static bool resolve_store(const char *dir, const reference_t *reference,
                          struct cwsd_string_list *list, struct cwsd_fault *fault)
{
    bool done = true;
    json_t *secrets = open_store(dir, reference->store_name, fault);
    if (!secrets)
        return false;
    for (size_t i = 0; done && i < reference->n_secrets; i++)
        done = resolve_one(secrets, reference->store_name, reference->secrets[i], list, fault);
    json_decref(secrets);
    return done;
}

bool cwsd_secrets_resolve(const char *dir, const cwsd_pb_container *container,
                          struct cwsd_string_list *list, struct cwsd_fault *fault)
{
    for (size_t i = 0; i < container->n_secret_stores; i++)
        if (!resolve_store(dir, container->secret_stores[i], list, fault))
            return false;
    return true;
}
