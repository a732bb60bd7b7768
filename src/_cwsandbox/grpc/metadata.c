#include "grpc/metadata.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/clock.h"

void cws_metadata_init(struct cws_metadata *metadata)
{
    *metadata = (struct cws_metadata){0};
}

void cws_metadata_done(struct cws_metadata *metadata)
{
    for (size_t i = 0; i < metadata->count; i++) {
        cws_free(metadata->fields[i].name);
        cws_free(metadata->fields[i].value);
    }
    cws_free(metadata->fields);
    cws_metadata_init(metadata);
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_reserved(const char *name)
{
    static const char *const reserved[] = {"te",         "content-type",      "content-length",
                                           "connection", "keep-alive",        "proxy-connection",
                                           "upgrade",    "transfer-encoding", "host"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(reserved); i++)
        if (strcmp(name, reserved[i]) == 0)
            return true;
    return strncmp(name, "grpc-", 5) == 0;
}

static bool ends_with_bin(const char *name, size_t len)
{
    return len >= 4 && memcmp(name + len - 4, "-bin", 4) == 0;
}

static enum cws_status check_name(const char *name, size_t len, struct cws_error *err)
{
    if (len == 0)
        return cws_error_set(err, CWS_INVALID, "metadata name must not be empty");
    for (size_t i = 0; i < len; i++)
        if (!is_name_char(name[i]))
            return cws_error_set(err, CWS_INVALID,
                                 "metadata name '%.*s' may only have a-z, 0-9, '_', '-' and '.'",
                                 (int)(len < 100 ? len : 100), name);
    if (is_reserved(name))
        return cws_error_set(err, CWS_INVALID, "metadata name '%s' is reserved for the transport",
                             name);
    return CWS_OK;
}

/* The value is not told: it may be a secret. */
static enum cws_status check_value(const char *name, const char *value, size_t len,
                                   struct cws_error *err)
{
    /* HTTP/2 forbids it, and peers drop such a field without a word. */
    if (len && (value[0] == ' ' || value[len - 1] == ' '))
        return cws_error_set(err, CWS_INVALID,
                             "metadata value of '%s' must not begin or end with a space", name);
    for (size_t i = 0; i < len; i++)
        if (value[i] < 0x20 || value[i] > 0x7e)
            return cws_error_set(
                err, CWS_INVALID,
                "metadata value of '%s' must be printable ASCII; byte %zu is 0x%02x", name, i,
                (unsigned)(unsigned char)value[i]);
    return CWS_OK;
}

static size_t size_of(const struct cws_metadata_field *field)
{
    return field->name_len + field->value_len + 32;
}

static enum cws_status check_room(const struct cws_metadata *metadata,
                                  const struct cws_metadata_field *field, struct cws_error *err)
{
    if (metadata->count == CWS_METADATA_MAX_FIELDS)
        return cws_error_set(err, CWS_INVALID, "metadata '%.100s' is one too many: there may be %d",
                             field->name, CWS_METADATA_MAX_FIELDS);
    if (size_of(field) > CWS_METADATA_MAX_SIZE - metadata->size)
        return cws_error_set(err, CWS_INVALID,
                             "metadata '%.100s' makes all of it larger than %d bytes", field->name,
                             CWS_METADATA_MAX_SIZE);
    return CWS_OK;
}

enum cws_status cws_metadata_add(struct cws_metadata *metadata, const char *name, size_t name_len,
                                 const char *value, size_t value_len, struct cws_error *err)
{
    struct cws_metadata_field field = {.name = cws_strndup(name, name_len), .name_len = name_len};
    enum cws_status status = CWS_NO_MEMORY;
    if (!field.name)
        goto no_memory;
    for (size_t i = 0; i < name_len; i++)
        field.name[i] = to_lower(field.name[i]);
    status = check_name(field.name, name_len, err);
    if (status != CWS_OK)
        goto fail;
    if (ends_with_bin(field.name, name_len)) {
        field.value = cws_base64_encode((const uint8_t *)value, value_len, false);
    } else {
        status = check_value(field.name, value, value_len, err);
        if (status != CWS_OK)
            goto fail;
        field.value = cws_strndup(value, value_len);
    }
    status = CWS_NO_MEMORY;
    if (!field.value)
        goto no_memory;
    field.value_len = strlen(field.value);
    status = check_room(metadata, &field, err);
    if (status != CWS_OK)
        goto fail;
    status = CWS_NO_MEMORY;
    struct cws_metadata_field *fields =
        cws_realloc(metadata->fields, (metadata->count + 1) * sizeof(*metadata->fields));
    if (!fields)
        goto no_memory;
    fields[metadata->count++] = field;
    metadata->size += size_of(&field);
    metadata->fields = fields;
    return CWS_OK;
no_memory:
    cws_error_set(err, CWS_NO_MEMORY, "out of memory for metadata");
fail:
    cws_free(field.name);
    cws_free(field.value);
    return status;
}
