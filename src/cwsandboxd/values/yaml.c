#include "values/yaml.h"

#include <assert.h>
#include <string.h>
#include <yaml.h>

#include "base/alloc.h"
#include "values/text.h"

/* What has been allocated: a chain, freed as a whole. */
struct chunk {
    struct chunk *next;
    max_align_t bytes[];
};

struct anchor {
    struct anchor *next;
    const char *name;
    struct cwsd_yaml *node; /* NULL: it is still being read, so an alias would be a circle */
    size_t size;            /* of a copy; until `node` is set, reader.size before it */
};

/* A list or map that is being read. */
struct level {
    struct cwsd_yaml *node;
    size_t cap;
    bool has_key; /* of the next item */
    struct anchor *anchor;
};

struct reader {
    const char *field;
    struct cwsd_fault *fault;
    struct chunk *chunks;
    struct anchor *anchors;
    size_t anchor_count;
    struct level levels[CWSD_YAML_MAX_DEPTH];
    size_t depth;
    size_t nodes;
    size_t size; /* of a copy of what has been read */
    struct cwsd_yaml *root;
    bool ended;
};

static void *allocate(struct reader *reader, size_t size)
{
    struct chunk *chunk = cws_calloc(1, sizeof(*chunk) + size);
    if (!chunk) {
        cwsd_fault_set_memory(reader->fault);
        return NULL;
    }
    chunk->next = reader->chunks;
    reader->chunks = chunk;
    return chunk->bytes;
}

static bool refuse(struct reader *reader, size_t line, const char *what, const char *name)
{
    return cwsd_fault_set_invalid(reader->fault, reader->field, "line %zu: %s%s", line + 1, what,
                                  name);
}

static bool count_node(struct reader *reader, size_t line)
{
    return ++reader->nodes <= CWSD_YAML_MAX_NODES ||
           refuse(reader, line, "the document has too many parts", "");
}

static bool count_bytes(struct reader *reader, size_t size, size_t line)
{
    reader->size += size; /* cannot overflow: both are within the limit */
    return reader->size <= CWSD_YAML_MAX_COPY ||
           refuse(reader, line, "the document is too long, or its aliases stand for too much", "");
}

static const char *copy_text(struct reader *reader, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    if (memchr(text, '\0', len)) {
        refuse(reader, event->start_mark.line, "a text contains a NUL", "");
        return NULL;
    }
    if (!count_bytes(reader, len + 1, event->start_mark.line))
        return NULL;
    char *copy = allocate(reader, len + 1);
    if (copy)
        memcpy(copy, text, len);
    return copy;
}

static bool is_null(const char *text)
{
    return text[0] == '\0' || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0;
}

/* A tag asks for a value other than what is written. Those of texts, lists and maps do not. */
static bool check_tag(struct reader *reader, const yaml_char_t *tag, const char *own, size_t line)
{
    const char *text = (const char *)tag;
    return !text || strcmp(text, own) == 0 || strcmp(text, "!") == 0 ||
           refuse(reader, line, "there is no such tag here: ", cwsd_text_short(text).text);
}

/* ---- the tree ------------------------------------------------------------------------------- */

static struct cwsd_yaml *new_node(struct reader *reader, enum cwsd_yaml_kind kind, size_t line)
{
    if (!count_node(reader, line))
        return NULL;
    struct cwsd_yaml *node = allocate(reader, sizeof(*node));
    if (!node)
        return NULL;
    node->kind = kind;
    node->line = (unsigned)line + 1;
    return node;
}

static bool grow(struct reader *reader, struct level *level)
{
    size_t cap = level->cap ? level->cap * 2 : 8;
    struct cwsd_yaml_item *items = allocate(reader, cap * sizeof(*items));
    if (!items)
        return false;
    if (level->node->count)
        memcpy(items, level->node->items, level->node->count * sizeof(*items));
    level->node->items = items;
    level->cap = cap;
    return true;
}

static bool add_key(struct reader *reader, struct level *level, const yaml_event_t *event)
{
    size_t line = event->start_mark.line;
    if (event->type != YAML_SCALAR_EVENT)
        return refuse(reader, line, "a key must be a text", "");
    if (!check_tag(reader, event->data.scalar.tag, YAML_STR_TAG, line))
        return false;
    if (level->node->count == CWSD_YAML_MAX_KEYS)
        return refuse(reader, line, "a map has too many keys", "");
    const char *key = copy_text(reader, event);
    if (!key)
        return false;
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strcmp(key, "<<") == 0)
        return refuse(reader, line, "maps are not merged here (<<): repeat the keys", "");
    for (size_t i = 0; i < level->node->count; i++)
        if (strcmp(level->node->items[i].key, key) == 0)
            return refuse(reader, line, "the key is there twice: ", cwsd_text_short(key).text);
    if (level->node->count == level->cap && !grow(reader, level))
        return false;
    level->node->items[level->node->count] =
        (struct cwsd_yaml_item){.key = key, .key_line = (unsigned)line + 1};
    level->has_key = true;
    return true;
}

/* Puts a node where it belongs. */
static bool place(struct reader *reader, struct cwsd_yaml *node)
{
    if (!node)
        return false;
    if (reader->depth == 0) {
        reader->root = node;
        return true;
    }
    struct level *level = &reader->levels[reader->depth - 1];
    if (level->node->kind == CWSD_YAML_LIST && level->node->count == level->cap &&
        !grow(reader, level))
        return false;
    level->node->items[level->node->count++].value = node;
    level->has_key = false;
    return true;
}

/* ---- anchors -------------------------------------------------------------------------------- */

static bool add_anchor(struct reader *reader, const yaml_char_t *name, struct anchor **out_anchor)
{
    *out_anchor = NULL;
    if (!name)
        return true;
    if (++reader->anchor_count > CWSD_YAML_MAX_KEYS)
        return cwsd_fault_set_invalid(reader->fault, reader->field, "there are too many anchors");
    size_t len = strlen((const char *)name);
    char *copy = allocate(reader, len + 1);
    struct anchor *anchor = copy ? allocate(reader, sizeof(*anchor)) : NULL;
    if (!anchor)
        return false;
    memcpy(copy, name, len);
    *anchor = (struct anchor){.next = reader->anchors, .name = copy, .size = reader->size};
    reader->anchors = anchor;
    *out_anchor = anchor;
    return true;
}

/* `node` is what the anchor stands for, and all of it has been read. */
static void set_anchor(struct reader *reader, struct anchor *anchor, struct cwsd_yaml *node)
{
    if (!anchor)
        return;
    anchor->node = node;
    anchor->size = reader->size - anchor->size;
}

static struct cwsd_yaml *take_alias(struct reader *reader, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    size_t line = event->start_mark.line;
    if (!count_node(reader, line))
        return NULL;
    for (struct anchor *anchor = reader->anchors; anchor; anchor = anchor->next)
        if (strcmp(anchor->name, name) == 0 && anchor->node)
            return count_bytes(reader, anchor->size, line) ? anchor->node : NULL;
    refuse(reader, line, "there is no such anchor before it: ", cwsd_text_short(name).text);
    return NULL;
}

/* ---- events --------------------------------------------------------------------------------- */

static bool take_scalar(struct reader *reader, const yaml_event_t *event)
{
    struct anchor *anchor;
    const yaml_char_t *tag = event->data.scalar.tag;
    if (!check_tag(reader, tag, YAML_STR_TAG, event->start_mark.line) ||
        !add_anchor(reader, event->data.scalar.anchor, &anchor))
        return false;
    struct cwsd_yaml *node = new_node(reader, CWSD_YAML_TEXT, event->start_mark.line);
    if (!node)
        return false;
    node->text = copy_text(reader, event);
    node->plain = !tag && event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (!node->text)
        return false;
    if (node->plain && is_null(node->text))
        node->kind = CWSD_YAML_NULL;
    set_anchor(reader, anchor, node);
    return place(reader, node);
}

static bool begin_level(struct reader *reader, const yaml_event_t *event, enum cwsd_yaml_kind kind,
                        const yaml_char_t *anchor)
{
    if (reader->depth == CWSD_YAML_MAX_DEPTH)
        return refuse(reader, event->start_mark.line, "the document is nested too deeply", "");
    struct level level = {0};
    if (!add_anchor(reader, anchor, &level.anchor))
        return false;
    level.node = new_node(reader, kind, event->start_mark.line);
    if (!place(reader, level.node))
        return false;
    reader->levels[reader->depth++] = level;
    return true;
}

static void end_level(struct reader *reader)
{
    struct level *level = &reader->levels[--reader->depth];
    set_anchor(reader, level->anchor, level->node);
}

static bool take_node(struct reader *reader, const yaml_event_t *event)
{
    size_t line = event->start_mark.line;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return take_scalar(reader, event);
    case YAML_ALIAS_EVENT:
        return place(reader, take_alias(reader, event));
    case YAML_SEQUENCE_START_EVENT:
        return check_tag(reader, event->data.sequence_start.tag, YAML_SEQ_TAG, line) &&
               begin_level(reader, event, CWSD_YAML_LIST, event->data.sequence_start.anchor);
    case YAML_MAPPING_START_EVENT:
        return check_tag(reader, event->data.mapping_start.tag, YAML_MAP_TAG, line) &&
               begin_level(reader, event, CWSD_YAML_MAP, event->data.mapping_start.anchor);
    default:
        return true;
    }
}

static bool take(struct reader *reader, const yaml_event_t *event)
{
    struct level *level = reader->depth ? &reader->levels[reader->depth - 1] : NULL;
    switch (event->type) {
    case YAML_STREAM_END_EVENT:
        reader->ended = true;
        return true;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        assert(level); /* libyaml ends what it began */
        end_level(reader);
        return true;
    case YAML_DOCUMENT_START_EVENT:
        return !reader->root ||
               refuse(reader, event->start_mark.line, "a second document begins here", "");
    default:
        if (level && level->node->kind == CWSD_YAML_MAP && !level->has_key)
            return add_key(reader, level, event);
        return take_node(reader, event);
    }
}

static bool read_all(struct reader *reader, yaml_parser_t *parser)
{
    bool good = true;
    while (good && !reader->ended) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) {
            size_t line = parser->problem_mark.line;
            return parser->error == YAML_MEMORY_ERROR
                       ? cwsd_fault_set_memory(reader->fault)
                       : refuse(reader, line, parser->problem ? parser->problem : "no YAML", "");
        }
        good = take(reader, &event);
        yaml_event_delete(&event);
    }
    return good;
}

/* How long the line break is with which `text` begins; 0: it begins with none. These are those of
 * YAML 1.1, and of libyaml. */
static size_t break_length(const char *text, size_t len)
{
    static const char *const breaks[] = {"\n", "\r", "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(breaks); i++) {
        size_t size = strlen(breaks[i]);
        if (size <= len && memcmp(text, breaks[i], size) == 0)
            return size;
    }
    return 0;
}

/* What stands inside of a block is indented, so a percent sign at the beginning of a line is that
 * of a directive, but in odd texts in quotes. */
static bool check_directives(struct reader *reader, const char *text, size_t len)
{
    size_t count = 0, line = 0;
    bool at_beginning = true;
    for (size_t at = 0, size; at < len; at += size ? size : 1) {
        if (at_beginning && text[at] == '%' && ++count > CWSD_YAML_MAX_DIRECTIVES)
            return refuse(reader, line, "the document has too many directives", "");
        size = break_length(text + at, len - at);
        at_beginning = size > 0;
        line += size > 0 && !(text[at] == '\r' && at + 1 < len && text[at + 1] == '\n');
    }
    return true;
}

static void free_chunks(struct chunk *chunk)
{
    while (chunk) {
        struct chunk *next = chunk->next;
        cws_free(chunk);
        chunk = next;
    }
}

bool cwsd_yaml_read(struct cwsd_yaml_document *document, const char *field, const void *text,
                    size_t len, struct cwsd_fault *fault)
{
    struct reader reader = {.field = field, .fault = fault};
    yaml_parser_t parser;
    if (!check_directives(&reader, text, len))
        return false;
    if (!yaml_parser_initialize(&parser))
        return cwsd_fault_set_memory(fault);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, len ? text : (const void *)"", len);
    bool good = read_all(&reader, &parser);
    yaml_parser_delete(&parser);
    if (good && !reader.root)
        good = cwsd_fault_set_invalid(fault, field, "the document is empty");
    if (!good) {
        free_chunks(reader.chunks);
        return false;
    }
    document->root = reader.root;
    document->memory = reader.chunks;
    return true;
}

void cwsd_yaml_done(struct cwsd_yaml_document *document)
{
    free_chunks(document->memory);
    *document = (struct cwsd_yaml_document){0};
}

const struct cwsd_yaml *cwsd_yaml_get(const struct cwsd_yaml *map, const char *key)
{
    for (size_t i = 0; i < map->count; i++)
        if (strcmp(map->items[i].key, key) == 0)
            return map->items[i].value;
    return NULL;
}
