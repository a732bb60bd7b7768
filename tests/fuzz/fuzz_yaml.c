/* YAML documents as trees: whole and within the limits, or a fault that says why not. */
#include "base/alloc.h"
#include "fuzz.h"
#include "values/yaml.h"

static void check(const struct cwsd_yaml *node, unsigned depth)
{
    REQUIRE(depth <= CWSD_YAML_MAX_DEPTH);
    REQUIRE(node->line > 0);
    REQUIRE((node->kind == CWSD_YAML_TEXT) <= (node->text != NULL));
    if (node->kind != CWSD_YAML_LIST && node->kind != CWSD_YAML_MAP)
        return;
    for (size_t i = 0; i < node->count; i++) {
        REQUIRE(node->items[i].value);
        REQUIRE((node->items[i].key != NULL) == (node->kind == CWSD_YAML_MAP));
        if (i < 4) /* aliases may stand for very much */
            check(node->items[i].value, depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cwsd_yaml_document document;
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    if (cwsd_yaml_read(&document, "contents", data, size, &fault)) {
        if (document.root->count < 4)
            check(document.root, 0);
        cwsd_yaml_done(&document);
    } else {
        REQUIRE(fault.code == CWS_GRPC_INVALID_ARGUMENT && fault.message[0]);
    }
    REQUIRE(cws_alloc_live() == 0);
    return 0;
}
