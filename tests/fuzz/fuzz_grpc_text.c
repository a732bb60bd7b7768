/* The text forms in gRPC headers: base64, percent encoding, time-outs, metadata. What is written
 * reads back. */
#include "base/alloc.h"
#include "base/clock.h"
#include "fuzz.h"
#include "grpc/metadata.h"

static void try_base64(const char *text, size_t len, const uint8_t *data)
{
    struct cws_buf out;
    cws_buf_init(&out, 1 << 20);
    if (cws_base64_decode(text, len, &out) == CWS_OK)
        REQUIRE(out.len <= len);
    cws_buf_done(&out);

    for (int padded = 0; padded < 2; padded++) {
        char *encoded = cws_base64_encode(data, len, padded);
        REQUIRE(encoded);
        cws_buf_init(&out, 1 << 20);
        REQUIRE(cws_base64_decode(encoded, strlen(encoded), &out) == CWS_OK);
        REQUIRE(out.len == len && (len == 0 || memcmp(cws_buf_bytes(&out), data, len) == 0));
        cws_buf_done(&out);
        cws_free(encoded);
    }
}

static void try_percent(const char *text, size_t len)
{
    char *decoded = cws_percent_decode(text, len);
    REQUIRE(decoded && strlen(decoded) <= len);
    char *encoded = cws_percent_encode(decoded, strlen(decoded));
    REQUIRE(encoded);
    for (const char *c = encoded; *c; c++)
        REQUIRE(*c >= 0x20 && *c <= 0x7e);
    char *again = cws_percent_decode(encoded, strlen(encoded));
    REQUIRE(again && strcmp(again, decoded) == 0);
    cws_free(again);
    cws_free(encoded);
    cws_free(decoded);
}

static void try_timeout(const char *text)
{
    uint64_t ns;
    if (!cws_timeout_parse(text, &ns))
        return;
    char formatted[16];
    cws_timeout_format(ns, formatted);
    uint64_t again;
    REQUIRE(cws_timeout_parse(formatted, &again));
    REQUIRE(again >= ns || again >= 99999999ull * CWS_NS_PER_S);
}

static void try_metadata(const char *text, size_t len)
{
    struct cws_metadata metadata;
    struct cws_error err = {0};
    cws_metadata_init(&metadata);
    size_t name_len = len / 3;
    if (cws_metadata_add(&metadata, text, name_len, text + name_len, len - name_len, &err) ==
        CWS_OK) {
        REQUIRE(metadata.count == 1);
        for (size_t i = 0; i < metadata.fields[0].value_len; i++)
            REQUIRE((unsigned char)metadata.fields[0].value[i] >= 0x20 &&
                    (unsigned char)metadata.fields[0].value[i] <= 0x7e);
    } else {
        REQUIRE(err.text[0]);
    }
    cws_metadata_done(&metadata);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    REQUIRE(text);
    memcpy(text, data, size);
    text[size] = '\0';
    try_base64(text, size, data);
    try_percent(text, size);
    try_timeout(text);
    try_metadata(text, size);
    free(text);
    REQUIRE(cws_alloc_live() == 0);
    return 0;
}
