/* cwsandboxd/yaml: documents as trees, and what is no document, or too much of one. */
#include <stdlib.h>

#include "support/daemon_help.h"

#include "values/yaml.h"

static struct cwsd_fault fault;

static bool read_text(const char *text, struct cwsd_yaml_document *document)
{
    fault = (struct cwsd_fault){.code = CWS_GRPC_OK};
    return cwsd_yaml_read(document, "contents", text, strlen(text), &fault);
}

/* As JSON, more or less, with lines. */
static void write_node(const struct cwsd_yaml *node, char *into)
{
    into += strlen(into);
    if (node->kind == CWSD_YAML_NULL) {
        strcat(into, "null");
    } else if (node->kind == CWSD_YAML_TEXT) {
        sprintf(into, node->plain ? "%s" : "'%s'", node->text);
    } else {
        bool map = node->kind == CWSD_YAML_MAP;
        strcat(into, map ? "{" : "[");
        for (size_t i = 0; i < node->count; i++) {
            strcat(into, i ? ", " : "");
            if (map)
                sprintf(into + strlen(into), "%s@%u: ", node->items[i].key,
                        node->items[i].key_line);
            write_node(node->items[i].value, into);
        }
        strcat(into, map ? "}" : "]");
    }
}

static void test_documents(void **state)
{
    (void)state;
    static const struct {
        const char *text, *tree;
    } cases[] = {
        {"a", "a"},
        {"a: 1\nb:\n  - x\n  - 'y'\n  - ~\nc:\n", "{a@1: 1, b@2: [x, 'y', null], c@6: null}"},
        {"{a: [], b: {}, \"c\": ''}", "{a@1: [], b@1: {}, c@1: ''}"},
        {"a: &x [1, 2]\nb: *x\n", "{a@1: [1, 2], b@2: [1, 2]}"},
        {"a: &x 1\nb: &x 2\nc: *x\n", "{a@1: 1, b@2: 2, c@3: 2}"},
        {"--- # first\na: null\n...\n", "{a@2: null}"},
        {"a: |\n  one\n  two\n", "{a@1: 'one\ntwo\n'}"},
        {"a: !!str null\nb: ! x\nc: !!map {d: !!seq [1]}",
         "{a@1: 'null', b@2: 'x', c@3: {d@3: [1]}}"},
        {"'<<': 1", "{<<@1: 1}"},
        {"\xef\xbb\xbf"
         "a: \xc3\xa4",
         "{a@1: \xc3\xa4}"},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        struct cwsd_yaml_document document;
        char tree[400] = "";
        if (!read_text(cases[i].text, &document))
            fail_msg("%s", fault.message);
        write_node(document.root, tree);
        assert_string_equal(tree, cases[i].tree);
        cwsd_yaml_done(&document);
    }
}

static void test_no_documents(void **state)
{
    (void)state;
    static const struct {
        const char *text, *what;
    } cases[] = {
        {"", "empty"},
        {"# nothing", "empty"},
        {"a: [1", "line 2: "},
        {"a: !!int 5", "line 1: there is no such tag here: tag:yaml.org,2002:int"},
        {"a:\n  !reset []", "line 2: there is no such tag here: !reset"},
        {"!x {a: 1}", "line 1: there is no such tag here: !x"},
        {"!!int 1: 2", "line 1: there is no such tag here: tag:yaml.org,2002:int"},
        {"a: &a {b: 1}\nc: {<<: *a}", "line 2: maps are not merged here (<<)"},
        {"a: 1\n b: 2", "line 2: "},
        {"a: 1\nb: 2\na: 3", "line 3: the key is there twice: a"},
        {"a: *x", "line 1: there is no such anchor before it: x"},
        {"a: &x [*x]", "line 1: there is no such anchor"},
        {"a: &x {b: {c: *x}}", "no such anchor"},
        {"[a]: 1", "a key must be a text"},
        {"? {a: 1}\n: 2", "a key must be a text"},
        {"a: 1\n---\nb: 2", "line 2: a second document begins here"},
        {"a: \"\\0\"", "contains a NUL"},
        {"\"a\\0b\": 1", "contains a NUL"},
        {"a: \xff", "line 1: "},
        {"\xff\xfe"
         "a",
         "line 1: "},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        struct cwsd_yaml_document document;
        assert_false(read_text(cases[i].text, &document));
        assert_invalid(&fault, "contents");
        if (!strstr(fault.message, cases[i].what))
            fail_msg("%s: %s", cases[i].text, fault.message);
    }
    struct cwsd_yaml_document document;
    assert_false(cwsd_yaml_read(&document, "contents", NULL, 0, &fault));
    assert_false(cwsd_yaml_read(&document, "contents", "a\0b", 3, &fault));
}

#define LARGE (256 * 1024)

/* Text that is repeated until it is that large. */
static char *repeat(const char *head, const char *part)
{
    char *text = test_malloc(LARGE + 1);
    size_t at = (size_t)sprintf(text, "%s", head), len = strlen(part);
    for (; at + len <= LARGE; at += len)
        memcpy(text + at, part, len);
    text[at] = '\0';
    return text;
}

/* What would take time or memory out of proportion. */
static void test_too_much(void **state)
{
    (void)state;
    static const struct {
        const char *head, *part;
    } cases[] = {
        {"", "["},
        {"", "{a: "},
        {"", "- "},
        {"", "a:\n "},
        {"", "- a\n"},
        {"[", "&a a, "},
        {"- &a [a,a,a,a,a,a,a,a,a]\n", "- *a\n"},
        {"", "? "},
        {"", "- &a\n"},
        {"\"", "\\u0041"},
        {"", "!<a> "},
        {"", "%TAG ! a\n"},
        {"", "\n---\n"},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        char *text = repeat(cases[i].head, cases[i].part);
        struct cwsd_yaml_document document;
        if (read_text(text, &document))
            cwsd_yaml_done(&document);
        else
            assert_int_equal(fault.code, CWS_GRPC_INVALID_ARGUMENT);
        test_free(text);
    }
    char *keys = test_malloc(LARGE);
    size_t at = 0;
    for (unsigned i = 0; at < LARGE - 20; i++)
        at += (size_t)sprintf(keys + at, "k%u: 1\n", i);
    struct cwsd_yaml_document document;
    assert_false(read_text(keys, &document));
    assert_non_null(strstr(fault.message, "too many keys"));
    test_free(keys);
}

/* Whoever reads the tree copies what an alias stands for, each time. */
static void test_what_aliases_stand_for(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *part;
    } cases[] = {
        {"- &a %s\n", "- *a\n"},                             /* a text, again and again */
        {"- &a [%s]\n- &b [*a,*a,*a,*a,*a,*a]\n", "- *b\n"}, /* lists of it */
        {"- &a {%s: b}\n", "- *a\n"},                        /* a key */
    };
    char *words = repeat("", "word");
    for (size_t i = 0; i < CWS_ARRAY_LEN(cases); i++) {
        char head[1000];
        struct cwsd_yaml_document document;
        snprintf(head, sizeof(head), cases[i].pattern, words + LARGE - 900);
        char *text = repeat(head, cases[i].part);
        assert_false(read_text(text, &document));
        assert_non_null(strstr(fault.message, "its aliases stand for too much"));
        test_free(text);
    }
    test_free(words);
}

/* Whatever ends a line for libyaml; its time would be quadratic in their number. */
static void test_directives(void **state)
{
    (void)state;
    static const char *const breaks[] = {"\n",       "\r",           "\r\n",
                                         "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(breaks); i++) {
        for (unsigned count = CWSD_YAML_MAX_DIRECTIVES; count <= CWSD_YAML_MAX_DIRECTIVES + 1;
             count++) {
            struct cwsd_yaml_document document;
            char text[4000], expected[100];
            size_t at = 0;
            for (unsigned n = 0; n < count; n++)
                at += (size_t)sprintf(text + at, "%%TAG !t%u! a%s", n, breaks[i]);
            sprintf(text + at, "--- a");
            bool good = read_text(text, &document);
            assert_int_equal(good, count == CWSD_YAML_MAX_DIRECTIVES);
            snprintf(expected, sizeof(expected), "line %u: the document has too many directives",
                     count);
            if (good)
                cwsd_yaml_done(&document);
            else
                assert_non_null(strstr(fault.message, expected));
        }
    }
    struct cwsd_yaml_document document;
    char *text = repeat("- |\n", " %TAG\n"); /* a text, and no directive */
    assert_true(read_text(text, &document));
    cwsd_yaml_done(&document);
    test_free(text);
}

static void test_depth(void **state)
{
    (void)state;
    for (unsigned depth = CWSD_YAML_MAX_DEPTH; depth <= CWSD_YAML_MAX_DEPTH + 1; depth++) {
        struct cwsd_yaml_document document;
        char text[200] = "";
        for (unsigned i = 0; i < depth; i++)
            strcat(text, "[");
        for (unsigned i = 0; i < depth; i++)
            strcat(text, "]");
        bool good = read_text(text, &document);
        assert_int_equal(good, depth == CWSD_YAML_MAX_DEPTH);
        if (good)
            cwsd_yaml_done(&document);
    }
}

static void test_without_memory(void **state)
{
    (void)state;
    struct cwsd_yaml_document document;
    bool good = false;
    for (size_t n = 1; !good; n++) {
        cws_alloc_fail_at(n);
        good = read_text("a: &x [1, {b: 2}]\nc: *x", &document);
        cws_alloc_fail_at(0);
        assert_true(good || fault.code == CWS_GRPC_RESOURCE_EXHAUSTED);
    }
    cwsd_yaml_done(&document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CWSD_TEST(test_documents),      CWSD_TEST(test_no_documents),
        CWSD_TEST(test_too_much),       CWSD_TEST(test_what_aliases_stand_for),
        CWSD_TEST(test_directives),     CWSD_TEST(test_depth),
        CWSD_TEST(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
