/* Lines out of chunks: every line ends with LF but the last, none is empty, and together they are
 * what came in. */
#include "base/alloc.h"
#include "fuzz.h"
#include "sandbox/output.h"

struct reading {
    const uint8_t *expected;
    size_t at;
    size_t size;
};

static void take_lines(struct cws_output *output, struct reading *reading)
{
    struct cws_output_line line;
    enum cws_output_next next;
    while ((next = cws_output_take(output, CWS_OUTPUT_LINE, &line, NULL)) == CWS_OUTPUT_TAKEN) {
        uint8_t last;
        size_t len = line.len + line.rest;
        REQUIRE(line.len > 0 && len <= reading->size - reading->at);
        do {
            last = line.data[line.len - 1];
            REQUIRE(memcmp(line.data, reading->expected + reading->at, line.len) == 0);
            REQUIRE(memchr(line.data, '\n', line.len - (line.rest == 0)) == NULL);
            reading->at += line.len;
        } while (cws_output_next_piece(&line));
        REQUIRE(last == '\n' || reading->at == reading->size);
    }
    REQUIRE(next == CWS_OUTPUT_EMPTY || next == CWS_OUTPUT_END);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cws_output output;
    struct reading reading = {.expected = data, .size = size};
    uint8_t seed = size ? data[size - 1] : 0;
    cws_output_init(&output);
    for (size_t at = 0; at < size;) {
        size_t piece = fuzz_piece(seed = (uint8_t)(seed * 167 + 13), size - at);
        REQUIRE(cws_output_append(&output, data + at, piece) == CWS_OK);
        at += piece;
        if (seed & 1)
            take_lines(&output, &reading);
    }
    cws_output_end(&output);
    take_lines(&output, &reading);
    REQUIRE(reading.at == size);
    REQUIRE(cws_output_size(&output) == size);
    uint8_t *copy = malloc(size ? size : 1);
    REQUIRE(copy);
    cws_output_copy(&output, copy, size);
    REQUIRE(size == 0 || memcmp(copy, data, size) == 0);
    free(copy);
    cws_output_done(&output);
    REQUIRE(cws_alloc_live() == 0);
    return 0;
}
