/* cwsandbox-egress/lookup: which addresses of a name are kept. */
#include "support/unit.h"

#include "cwsandbox-egress/lookup.h"
#include "support/played_names.h"

static const struct played_name names[] = {
    {"one.example", 0, {"11.22.33.1"}},
    {"both.example", 0, {"2606:4700::1", "11.22.33.1"}},
    {"inner.example", 0, {"10.0.0.1", "127.0.0.1", "::1", "169.254.169.254", "fe80::1"}},
    {"mixed.example", 0, {"10.0.0.1", "11.22.33.1", "::ffff:127.0.0.1", "2606:4700::1", "0.0.0.0"}},
    {"many.example",
     0,
     {"10.0.0.1", "11.22.33.1", "11.22.33.2", "11.22.33.3", "11.22.33.4", "11.22.33.5",
      "11.22.33.6", "11.22.33.7", "11.22.33.8", "11.22.33.9", "11.22.33.10"}},
    {"empty.example", EAI_NODATA, {NULL}},
    {"later.example", EAI_AGAIN, {NULL}},
    {"broken.example", EAI_FAIL, {NULL}},
};

struct world {
    uv_loop_t loop;
    struct cwse_lookup lookup;
    unsigned done;
};

static void on_done(struct cwse_lookup *lookup)
{
    cws_container_of(lookup, struct world, lookup)->done++;
}

static int set_up(void **state)
{
    struct world *w = test_calloc(1, sizeof(*w));
    alarm(UNIT_SECONDS);
    played_names = names;
    played_name_count = CWS_ARRAY_LEN(names);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    assert_int_equal(uv_loop_close(&w->loop), 0);
    test_free(w);
    alarm(0);
    return 0;
}

#define LOOKUP_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* The memory may hold an earlier one, as it does where a loop has several. */
static void look_up(struct world *w, const char *name, bool only_public)
{
    memset(&w->lookup, 0xa5, sizeof(w->lookup));
    w->done = 0;
    assert_int_equal(cwse_lookup_start(&w->loop, &w->lookup, name, only_public, on_done), 0);
    assert_int_equal(w->done, 0);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(w->done, 1);
}

/* In this order, and no others. */
static void assert_found(const struct world *w, const char *const *texts)
{
    size_t count = 0;
    assert_int_equal(w->lookup.error, 0);
    assert_false(cwse_lookup_found_none(&w->lookup));
    for (; texts[count]; count++) {
        char text[INET6_ADDRSTRLEN];
        const struct sockaddr_storage *found = &w->lookup.addresses[count];
        assert_true(count < w->lookup.count);
        const void *bytes = found->ss_family == AF_INET
                                ? (const void *)&((const struct sockaddr_in *)found)->sin_addr
                                : (const void *)&((const struct sockaddr_in6 *)found)->sin6_addr;
        assert_string_equal(inet_ntop(found->ss_family, bytes, text, sizeof(text)), texts[count]);
        assert_int_equal(ntohs(((const struct sockaddr_in *)found)->sin_port), 443);
    }
    assert_int_equal(w->lookup.count, count);
}

#define FOUND(w, ...) assert_found(w, (const char *const[]){__VA_ARGS__})

static void of_both_families(void **state)
{
    struct world *w = *state;
    look_up(w, "one.example", true);
    FOUND(w, "11.22.33.1", NULL);
    look_up(w, "both.example", true);
    FOUND(w, "2606:4700::1", "11.22.33.1", NULL);
}

/* A name's owner could make it lead inwards. Where other rules hold, that is none of its
 * business. */
static void inner_ones(void **state)
{
    struct world *w = *state;
    look_up(w, "inner.example", true);
    FOUND(w, NULL);
    look_up(w, "inner.example", false);
    FOUND(w, "10.0.0.1", "127.0.0.1", "::1", "169.254.169.254", "fe80::1", NULL);
    look_up(w, "mixed.example", true);
    FOUND(w, "11.22.33.1", "2606:4700::1", NULL);
}

/* What is left out does not count. */
static void more_than_are_kept(void **state)
{
    struct world *w = *state;
    look_up(w, "many.example", true);
    FOUND(w, "11.22.33.1", "11.22.33.2", "11.22.33.3", "11.22.33.4", "11.22.33.5", "11.22.33.6",
          "11.22.33.7", "11.22.33.8", NULL);
}

static void expect_none(struct world *w, const char *name, int error, bool none)
{
    look_up(w, name, true);
    assert_int_equal(w->lookup.error, error);
    assert_int_equal(w->lookup.count, 0);
    assert_int_equal(cwse_lookup_found_none(&w->lookup), none);
}

/* That there are none differs from that nobody knows. */
static void none(void **state)
{
    struct world *w = *state;
    expect_none(w, "other.example", UV_EAI_NONAME, true);
    expect_none(w, "empty.example", UV_EAI_NODATA, true);
    expect_none(w, "later.example", UV_EAI_AGAIN, false);
    expect_none(w, "broken.example", UV_EAI_FAIL, false);
}

/* libuv has a bound of its own, as long as host names can be; then `done` is not called. */
static void a_name_that_cannot_be_asked_for(void **state)
{
    struct world *w = *state;
    char name[400];
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_true(cwse_lookup_start(&w->loop, &w->lookup, name, true, on_done) < 0);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(w->done, 0);
}

static const struct CMUnitTest tests[] = {
    LOOKUP_TEST(of_both_families),
    LOOKUP_TEST(inner_ones),
    LOOKUP_TEST(more_than_are_kept),
    LOOKUP_TEST(none),
    LOOKUP_TEST(a_name_that_cannot_be_asked_for),
};

UNIT_MAIN(tests)
