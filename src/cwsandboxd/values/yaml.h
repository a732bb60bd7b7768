/*
 * One YAML document as a tree, from bytes that anybody may have written. Any thread.
 *
 * Values are texts as they are written. Tags that ask for other values, and merge keys ("<<"), are
 * refused.
 *
 * Time and memory are bounded by the length of the text: an alias is another reference to its
 * anchor's node and not a copy, and depth and number of nodes have limits. So has what the aliases
 * stand for, all together: whoever copies the tree's texts meets each of them many times.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "values/fault.h"

#define CWSD_YAML_MAX_DEPTH 20
#define CWSD_YAML_MAX_NODES 20000                 /* an alias is one */
#define CWSD_YAML_MAX_KEYS  1000                  /* of one map; and as many anchors */
#define CWSD_YAML_MAX_COPY  ((size_t)1024 * 1024) /* bytes of texts, those of aliases included */
/* Lines that begin with a percent sign. libyaml compares each directive with all those before it,
 * and tells nobody of them until it has read the last. */
#define CWSD_YAML_MAX_DIRECTIVES 64

enum cwsd_yaml_kind {
    CWSD_YAML_NULL, /* a plain "", "~" or "null" */
    CWSD_YAML_TEXT, /* any other scalar, as it is written */
    CWSD_YAML_LIST,
    CWSD_YAML_MAP,
};

struct cwsd_yaml {
    enum cwsd_yaml_kind kind;
    unsigned line;                /* from 1 */
    bool plain;                   /* TEXT: it has neither quotes nor a tag */
    const char *text;             /* TEXT: valid UTF-8 without NUL */
    struct cwsd_yaml_item *items; /* LIST and MAP */
    size_t count;
};

struct cwsd_yaml_item {
    const char *key; /* MAP: no two are equal */
    unsigned key_line;
    struct cwsd_yaml *value;
};

struct cwsd_yaml_document {
    struct cwsd_yaml *root;
    void *memory; /* all that it consists of */
};

/* False with *fault set, INVALID_ARGUMENT about `field` with the line: this is no document, or one
 * beyond the limits; out of memory. There is nothing to free then. */
bool cwsd_yaml_read(struct cwsd_yaml_document *document, const char *field, const void *text,
                    size_t len, struct cwsd_fault *fault);
void cwsd_yaml_done(struct cwsd_yaml_document *document);

/* A map's value; NULL: it has no such key. */
const struct cwsd_yaml *cwsd_yaml_get(const struct cwsd_yaml *map, const char *key);
