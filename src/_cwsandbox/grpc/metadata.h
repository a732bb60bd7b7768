/*
 * Call metadata: an ordered list of header fields, and the text forms gRPC uses in them.
 * Owned memory; immutable once shared.
 */
#pragma once

#include "base/buf.h"
#include "base/status.h"

struct cws_metadata_field {
    char *name;  /* lower case */
    char *value; /* as on the wire: "-bin" values are base64 by then */
    size_t name_len;
    size_t value_len;
};

struct cws_metadata {
    struct cws_metadata_field *fields;
    size_t count;
    size_t size; /* as HTTP/2 counts: names, values and 32 for each field */
};

/* What may go with a call: more than most peers take, less than one header block can carry. */
#define CWS_METADATA_MAX_FIELDS 100
#define CWS_METADATA_MAX_SIZE   32768

void cws_metadata_init(struct cws_metadata *metadata);
void cws_metadata_done(struct cws_metadata *metadata);

/* Adds a copy; the name is lower-cased. CWS_INVALID names the rule that is broken: names of
 * [0-9a-z_.-], none reserved (":...", "grpc-...", "te", "content-type", "content-length",
 * connection headers), values of printable ASCII that neither begin nor end with a space. For
 * "-bin" names the value is arbitrary bytes and is encoded here. Not above the two limits. */
enum cws_status cws_metadata_add(struct cws_metadata *metadata, const char *name, size_t name_len,
                                 const char *value, size_t value_len,
                                 struct cws_error *err) CWS_MUST_CHECK;

/* NULL when absent. */
const char *cws_metadata_find(const struct cws_metadata *metadata, const char *name);

/* "1234m": the time left, rounded up, in at most 8 digits; never "0". `out` holds 16 bytes. */
void cws_timeout_format(uint64_t left_ns, char out[16]);
/* Nanoseconds; false when the text is no grpc-timeout. */
bool cws_timeout_parse(const char *text, uint64_t *out_ns);

/* Base64 with or without padding, either alphabet → appended to `out`. CWS_INVALID for anything
 * else. */
enum cws_status cws_base64_decode(const char *text, size_t len, struct cws_buf *out) CWS_MUST_CHECK;
/* Standard alphabet, padded / unpadded; a NUL-terminated cws_malloc'ed text, NULL when out of
 * memory. */
char *cws_base64_encode(const uint8_t *bytes, size_t len, bool padded);

/* grpc-message: percent decoding in place of malformed escapes is literal. NUL-terminated
 * cws_malloc'ed text. */
char *cws_percent_decode(const char *text, size_t len);
char *cws_percent_encode(const char *text, size_t len);
