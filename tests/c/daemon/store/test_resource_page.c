/* store/resource_page: pages end by number and by size, and hold what the filter lets through. */
#include "support/memory_database.h"

#include "base/alloc.h"
#include "store/resource_page.h"
#include "support/failing.h"
#include "values/bounds.h"

#define KIND CWSD_RESOURCE_TEMPLATE

static void add(const char *id, bool deleted, const char *text)
{
    cwsd_pb_template template = COREWEAVE__SANDBOX__V1__SANDBOX_TEMPLATE__INIT;
    struct cwsd_resource resource = {
        .kind = KIND, .id = id, .name = "", .request_id = "", .message = &template};
    struct cwsd_fault fault;
    resource.deleted = deleted;
    template.sandbox_template_id = (char *)id;
    template.create_user_id = (char *)text;
    if (!cwsd_resource_add(database, &resource, &fault))
        fail_msg("%s", fault.message);
}

static const char *id_of(const struct cwsd_resource_page *page, size_t index)
{
    const cwsd_pb_template *template = page->messages[index];
    return template->sandbox_template_id;
}

/* The ids of all pages: "a b|c". */
static void expect_pages(const struct cwsd_resource_filter *filter, int32_t size,
                         const char *expected)
{
    char found[64] = "", token[CWSD_PAGE_TOKEN_SIZE] = "";
    struct cwsd_fault fault = {.code = CWS_GRPC_OK};
    do {
        struct cwsd_page wanted;
        struct cwsd_resource_page page;
        if (!cwsd_page_set_size(&wanted, size, &fault) ||
            !cwsd_page_set_token(&wanted, token, 0, &fault) ||
            !cwsd_resource_page_read(database, filter, &wanted, &page, &fault))
            fail_msg("%s", fault.message);
        if (token[0])
            strcat(found, "|");
        for (size_t i = 0; i < page.count; i++) {
            strcat(found, i ? " " : "");
            strcat(found, id_of(&page, i));
        }
        strcpy(token, page.next_token);
        cwsd_resource_page_done(&page);
    } while (token[0]);
    assert_string_equal(found, expected);
}

static bool is_not(const void *message, const void *request)
{
    const cwsd_pb_template *template = message;
    return strcmp(template->sandbox_template_id, request) != 0;
}

static void by_number(void **state)
{
    (void)state;
    const struct cwsd_resource_filter all = {.kind = KIND};
    const struct cwsd_resource_filter deleted = {.kind = KIND, .with_deleted = true};
    const struct cwsd_resource_filter others = {.kind = KIND, .matches = is_not, .request = "c"};
    const struct cwsd_resource_filter volumes = {.kind = CWSD_RESOURCE_VOLUME};
    expect_pages(&all, 2, "");
    add("a", false, "");
    add("b", true, "");
    add("c", false, "");
    add("d", false, "");
    expect_pages(&all, 2, "a c|d");
    expect_pages(&all, 3, "a c d"); /* a page that is just full is the last one */
    expect_pages(&deleted, 2, "a b|c d");
    expect_pages(&others, 1, "a|d");
    expect_pages(&volumes, 2, "");
}

static void by_size(void **state)
{
    (void)state;
    const struct cwsd_resource_filter all = {.kind = KIND};
    char *large = cws_malloc(CWSD_MAX_PAGE_BYTES / 2 + 1);
    assert_non_null(large);
    memset(large, 'x', CWSD_MAX_PAGE_BYTES / 2);
    large[CWSD_MAX_PAGE_BYTES / 2] = '\0';
    add("a", false, large);
    add("b", false, large);
    add("c", false, large);
    cws_free(large);
    expect_pages(&all, 10, "a b|c");
}

static void out_of_memory(void **state)
{
    (void)state;
    const struct cwsd_resource_filter all = {.kind = KIND};
    const struct cwsd_page wanted = {.size = 5};
    add("a", false, "");
    add("b", false, "");
    for (size_t n = 1;; n++) {
        struct cwsd_fault fault = {.code = CWS_GRPC_OK};
        struct cwsd_resource_page page;
        cws_alloc_fail_at(n);
        bool done = cwsd_resource_page_read(database, &all, &wanted, &page, &fault);
        bool more = failing_was_reached(n);
        assert_true(done || fault.code == CWS_GRPC_RESOURCE_EXHAUSTED);
        assert_true(!done || page.count == 2);
        cwsd_resource_page_done(&page);
        if (!more)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {DATABASE_TEST(by_number), DATABASE_TEST(by_size),
                                       DATABASE_TEST(out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
