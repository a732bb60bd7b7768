/* Lines and text out of an output, whatever of it is kept: what is handed out and what is told to
 * be missing is together what came in. A line has LF at its end only, text has whole characters. */
#include "base/alloc.h"
#include "fuzz.h"
#include "sandbox/output_private.h"

struct reading {
    const uint8_t *expected;
    size_t at;
    size_t size;
    bool ended;
    bool is_whole; /* all is kept: what is missing may cut a character */
};

static void on_taken(struct cws_output *output)
{
    (void)output;
}

static void check_taken(struct reading *reading, struct cws_output_line line,
                        enum cws_output_item item)
{
    size_t len = line.len + line.rest;
    REQUIRE(line.len > 0 && len <= reading->size - reading->at);
    do {
        REQUIRE(memcmp(line.data, reading->expected + reading->at, line.len) == 0);
        REQUIRE(item != CWS_OUTPUT_LINE ||
                memchr(line.data, '\n', line.len - (line.rest == 0)) == NULL);
        reading->at += line.len;
    } while (cws_output_next_piece(&line));
    /* No character goes on behind it. */
    if (item == CWS_OUTPUT_TEXT && reading->is_whole && reading->at < reading->size)
        REQUIRE(cws_output_unfinished(reading->expected, reading->at) == 0 ||
                (reading->expected[reading->at] & 0xc0) != 0x80);
}

static void take_items(struct cws_output *output, struct reading *reading, uint8_t seed)
{
    struct cws_output_line line;
    for (;;) {
        enum cws_output_item item = seed & 8   ? CWS_OUTPUT_BYTES
                                    : seed & 4 ? CWS_OUTPUT_TEXT
                                               : CWS_OUTPUT_LINE;
        size_t before = reading->at;
        seed = (uint8_t)(seed * 167 + 13);
        switch (cws_output_take(output, item, &line, NULL)) {
        case CWS_OUTPUT_TAKEN:
            check_taken(reading, line, item);
            if (seed & 2) {
                cws_output_put_back(output);
                reading->at = before;
                REQUIRE(cws_output_take(output, item, &line, NULL) == CWS_OUTPUT_TAKEN);
                check_taken(reading, line, item);
            }
            break;
        case CWS_OUTPUT_GAP:
            REQUIRE(output->kept != CWS_OUTPUT_ALL);
            REQUIRE(line.len > 0 && line.len <= reading->size - reading->at);
            reading->at += line.len;
            break;
        case CWS_OUTPUT_EMPTY:
            REQUIRE(!reading->ended);
            return;
        case CWS_OUTPUT_END:
            REQUIRE(reading->ended && reading->at == reading->size);
            return;
        default:
            REQUIRE(!"enough memory");
        }
    }
}

static void init(struct cws_output *output, uint8_t choice)
{
    cws_output_init(output);
    if (choice % 3 == 1)
        cws_output_keep_unread(output, on_taken);
    else if (choice % 3 == 2)
        cws_output_keep_ends(output, choice / 3 + 1u);
}

static void check_kept(struct cws_output *output, const struct reading *reading)
{
    size_t before, size = cws_output_size(output);
    size_t omitted = cws_output_omitted(output, &before);
    REQUIRE(size + omitted == reading->size && before <= size);
    uint8_t *copy = malloc(size ? size : 1);
    REQUIRE(copy);
    cws_output_copy(output, copy, size);
    REQUIRE(before == 0 || memcmp(copy, reading->expected, before) == 0);
    size_t after = size - before;
    REQUIRE(after == 0 ||
            memcmp(copy + before, reading->expected + reading->size - after, after) == 0);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cws_output output;
    struct reading reading = {.expected = data, .size = size};
    uint8_t seed = size ? data[size - 1] : 0;
    init(&output, size ? data[0] : 0);
    reading.is_whole = output.kept == CWS_OUTPUT_ALL;
    for (size_t at = 0; at < size;) {
        size_t piece = fuzz_piece(seed = (uint8_t)(seed * 167 + 13), size - at);
        REQUIRE(cws_output_append(&output, data + at, piece) == CWS_OK);
        at += piece;
        if (seed & 1) {
            cws_output_attach(&output);
            take_items(&output, &reading, seed);
            cws_output_detach(&output);
        } else if (output.kept == CWS_OUTPUT_UNREAD && (seed & 8)) {
            REQUIRE(cws_output_let_go(&output, seed));
        }
    }
    cws_output_end(&output);
    reading.ended = true;
    take_items(&output, &reading, seed);
    check_kept(&output, &reading);
    cws_output_done(&output);
    REQUIRE(cws_alloc_live() == 0);
    return 0;
}
