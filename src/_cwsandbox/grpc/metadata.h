/*
 * Call metadata: an ordered list of header fields, and the text encodings gRPC uses in them. Owns
 * its memory; immutable once shared between threads.
 */
#pragma once

#include "base/buf.h"
#include "base/status.h"

struct cws_metadata_field {
    char *name;  /* lower case */
    char *value; /* as on the wire: "-bin" values are already in base64 */
    size_t name_len;
    size_t value_len;
};

struct cws_metadata {
    struct cws_metadata_field *fields;
    size_t count;
    size_t size; /* as HTTP/2 counts: names, values, and 32 bytes per field */
};

/* The limits for one call: more than most peers accept, less than one header block can carry. */
#define CWS_METADATA_MAX_FIELDS 100
#define CWS_METADATA_MAX_SIZE   32768

void cws_metadata_init(struct cws_metadata *metadata);
void cws_metadata_done(struct cws_metadata *metadata);

/* Adds a copy of the field, with its name in lower case. CWS_INVALID: *err names the rule that is
 * broken. Names consist of [0-9a-z_.-] and are not reserved (":...", "grpc-...", "te",
 * "content-type", "content-length", connection headers). Values are printable ASCII and neither
 * begin nor end with a space. A value whose name ends in "-bin" is arbitrary bytes, which are
 * encoded here. The two limits above hold. CWS_NO_MEMORY. */
enum cws_status cws_metadata_add(struct cws_metadata *metadata, const char *name, size_t name_len,
                                 const char *value, size_t value_len,
                                 struct cws_error *err) CWS_MUST_CHECK;

/* Writes the time left as a grpc-timeout, such as "1234m": rounded up, at most 8 digits, never
 * 0. */
void cws_timeout_format(uint64_t left_ns, char out[16]);
/* Parses a grpc-timeout into nanoseconds; false if the text is not one. */
bool cws_timeout_parse(const char *text, uint64_t *out_ns);

/* Decodes base64, in either alphabet, with or without padding, and appends the bytes to `out`.
 * CWS_INVALID for anything else; CWS_TOO_LARGE and CWS_NO_MEMORY as cws_buf_append. */
enum cws_status cws_base64_decode(const char *text, size_t len, struct cws_buf *out) CWS_MUST_CHECK;
/* Encodes in the standard alphabet, with or without padding. Returns a NUL-terminated text from
 * cws_malloc; NULL when out of memory. */
char *cws_base64_encode(const uint8_t *bytes, size_t len, bool padded);

/* The percent-encoding of grpc-message. Malformed escapes are kept as they are. Both return a
 * NUL-terminated text from cws_malloc; NULL when out of memory. */
char *cws_percent_decode(const char *text, size_t len);
char *cws_percent_encode(const char *text, size_t len);
