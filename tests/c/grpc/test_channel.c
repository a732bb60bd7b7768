/* grpc/channel: who shares connections with whom, and how long a channel lives. */
#include "support/client_peer.h"

#include <pthread.h>

static struct cws_channel *new_channel(struct cws_loop *loop,
                                       const struct cws_channel_options *options)
{
    struct cws_channel *channel = NULL;
    struct cws_error err = {0};
    if (cws_channel_new(loop, options, &channel, &err) != CWS_OK)
        fail_msg("%s", err.text);
    return channel;
}

static void close_loop(struct cws_loop *loop, size_t live)
{
    settle(loop);
    loop_close(loop);
    assert_int_equal(cws_alloc_live(), live);
}

static void metadata_of(struct cws_metadata *metadata, const char *name, const char *value)
{
    cws_metadata_init(metadata);
    assert_int_equal(cws_metadata_add(metadata, name, strlen(name), value, strlen(value), NULL),
                     CWS_OK);
}

/* --- sharing --- */

static void test_equal_options_share_a_channel(void **state)
{
    (void)state;
    size_t live = cws_alloc_live();
    struct cws_loop *loop = loop_open();
    struct cws_metadata one, two;
    metadata_of(&one, "x", "1");
    metadata_of(&two, "X", "1");
    struct cws_channel_options a = {.url = "http://host:80", .metadata = &one};
    struct cws_channel_options b = {
        .url = "HTTP://user@host/", .metadata = &two, .max_connections = 64};
    struct cws_channel *first = new_channel(loop, &a);
    struct cws_channel *second = new_channel(loop, &b);
    assert_ptr_equal(first, second);
    assert_ptr_equal(cws_channel_loop(first), loop);
    cws_channel_unref(first);
    assert_ptr_equal(new_channel(loop, &a), first); /* one reference is left: it lives */
    cws_channel_unref(first);
    cws_channel_unref(first);
    settle(loop);
    assert_ptr_equal(new_channel(loop, &a), first); /* none: it lingers for the next */
    cws_channel_unref(first);
    cws_channel_unref(NULL);
    cws_metadata_done(&one);
    cws_metadata_done(&two);
    close_loop(loop, live);
}

static void test_any_other_option_makes_another(void **state)
{
    (void)state;
    size_t live = cws_alloc_live();
    struct cws_loop *loop = loop_open();
    struct cws_metadata a, b, ab;
    metadata_of(&a, "x", "1");
    metadata_of(&b, "x", "2");
    metadata_of(&ab, "x1", "");
    const struct cws_channel_options options[] = {
        {.url = "http://host"},
        {.url = "http://host:81"},
        {.url = "http://host2"},
        {.url = "http://[::1]"},
        {.url = "unix:///host"},
        {.url = "unix:///host2"},
        {.url = "http://host", .metadata = &a},
        {.url = "http://host", .metadata = &b},
        {.url = "http://host", .metadata = &ab},
        {.url = "http://host", .max_receive = 1},
        {.url = "http://host", .max_connections = 1},
        {.url = "http://host", .roots_pem = "a", .roots_len = 1},
        {.url = "http://host", .roots_pem = "", .roots_len = 0},
        {.url = "http://host", .cert_pem = "a", .cert_len = 1},
        {.url = "http://host", .key_pem = "a", .key_len = 1},
    };
    struct cws_channel *channels[CWS_ARRAY_LEN(options)];
    for (size_t i = 0; i < CWS_ARRAY_LEN(options); i++) {
        channels[i] = new_channel(loop, &options[i]);
        for (size_t k = 0; k < i; k++)
            if (channels[k] == channels[i])
                fail_msg("options %zu and %zu share a channel", k, i);
    }
    for (size_t i = 0; i < CWS_ARRAY_LEN(options); i++)
        cws_channel_unref(channels[i]);
    cws_metadata_done(&a);
    cws_metadata_done(&b);
    cws_metadata_done(&ab);
    close_loop(loop, live);
}

static void test_channels_of_two_loops_are_two(void **state)
{
    (void)state;
    size_t live = cws_alloc_live();
    struct cws_loop *one = loop_open(), *two = loop_open();
    const struct cws_channel_options options = {.url = "http://host"};
    struct cws_channel *a = new_channel(one, &options), *b = new_channel(two, &options);
    assert_true(a != b);
    cws_channel_unref(a);
    cws_channel_unref(b);
    loop_close(one);
    close_loop(two, live);
}

static void test_a_shared_channel_shares_its_connection(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    rpc_wait(rpc_unary(bed, ECHO_PATH, 5));
    struct cws_channel *first = bed->channel;
    client_bed_channel(bed, (struct cws_channel_options){0});
    assert_ptr_equal(bed->channel, first);
    rpc_wait(rpc_unary(bed, ECHO_PATH, 5));
    assert_int_equal(bed->accepted, 1);
    cws_channel_unref(first);
    rpc_wait(rpc_unary(bed, ECHO_PATH, 5)); /* the other reference holds it */
    assert_int_equal(bed->accepted, 1);
    client_bed_close(bed);
}

static void test_the_next_user_takes_over_what_lingers(void **state)
{
    struct client_bed *bed = *state;
    client_bed_open(bed, NULL);
    rpc_wait(rpc_unary(bed, ECHO_PATH, 5));
    cws_channel_unref(bed->channel);
    settle(bed->loop);
    client_bed_channel(bed, (struct cws_channel_options){0});
    rpc_wait(rpc_unary(bed, ECHO_PATH, 5));
    assert_int_equal(bed->accepted, 1);
    client_bed_close(bed);
}

/* --- options that are refused --- */

static void test_several_linger_when_the_loop_goes(void **state)
{
    (void)state;
    size_t live = cws_alloc_live();
    struct cws_loop *loop = loop_open();
    static const char *const urls[] = {"http://a:80", "http://b:80", "http://c:80"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(urls); i++)
        cws_channel_unref(new_channel(loop, &(struct cws_channel_options){.url = urls[i]}));
    close_loop(loop, live);
}

static void test_bad_options(void **state)
{
    (void)state;
    size_t live = cws_alloc_live();
    struct cws_loop *loop = loop_open();
    static const struct {
        struct cws_channel_options options;
        enum cws_status status;
        const char *says;
    } rows[] = {
        {{.url = "ftp://host"}, CWS_INVALID, "scheme"},
        {{.url = "https://host/path"}, CWS_INVALID, "URL paths"},
        {{.url = "https://host", .roots_pem = "no PEM", .roots_len = 6}, CWS_TLS, ""},
        {{.url = "https://host", .cert_pem = "no PEM", .cert_len = 6}, CWS_TLS, ""},
    };
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        struct cws_channel *channel = NULL;
        struct cws_error err = {0};
        enum cws_status status = cws_channel_new(loop, &rows[i].options, &channel, &err);
        if (status != rows[i].status || !strstr(err.text, rows[i].says))
            fail_msg("row %zu: status %d, '%s'", i, status, err.text);
        assert_int_equal(err.status, status);
        assert_true(strlen(err.text) > 0);
        assert_null(channel);
    }
    close_loop(loop, live);
}

static void test_failed_memory_is_told(void **state)
{
    (void)state;
    size_t live = cws_alloc_live();
    struct cws_loop *loop = loop_open();
    struct cws_metadata metadata;
    metadata_of(&metadata, "x", "1");
    const struct cws_channel_options options = {.url = "http://host", .metadata = &metadata};
    for (size_t n = 1;; n++) {
        struct cws_channel *channel = NULL;
        struct cws_error err = {0};
        cws_alloc_fail_at(n);
        enum cws_status status = cws_channel_new(loop, &options, &channel, &err);
        cws_alloc_fail_at(0);
        if (status == CWS_OK) {
            assert_true(n > 5);
            cws_channel_unref(channel);
            break;
        }
        assert_int_equal(status, CWS_NO_MEMORY);
        assert_int_equal(err.status, CWS_NO_MEMORY);
    }
    cws_metadata_done(&metadata);
    close_loop(loop, live);
}

/* --- counting --- */

static void test_connections_and_calls_are_counted(void **state)
{
    struct client_bed *bed = *state;
    size_t connections, calls;
    client_bed_open(bed, NULL);
    cws_channel_count(bed->loop, &connections, &calls);
    assert_int_equal(connections + calls, 0);
    rpc_unary(bed, HOLD_PATH, 5);
    struct rpc *other = rpc_unary(bed, HOLD_PATH, 5);
    cws_channel_count(bed->loop, &connections, &calls);
    assert_int_equal(calls, 2);
    wait_served(bed, 1);
    cws_channel_count(bed->loop, &connections, &calls);
    assert_int_equal(connections, 1);
    assert_int_equal(calls, 2);
    rpc_cancel(other);
    cws_channel_count(bed->loop, &connections, &calls);
    assert_int_equal(calls, 1);
    client_bed_close(bed);
}

/* --- threads --- */

struct user {
    pthread_t thread;
    struct cws_loop *loop;
};

static void *come_and_go(void *arg)
{
    struct user *user = arg;
    for (int i = 0; i < 300; i++) {
        char url[32];
        snprintf(url, sizeof(url), "http://host%d", i % 3);
        const struct cws_channel_options options = {.url = url};
        struct cws_channel *channel = new_channel(user->loop, &options);
        struct cws_channel *again = new_channel(user->loop, &options);
        assert_ptr_equal(again, channel); /* which is shared as long as it is held */
        cws_channel_ref(channel);
        cws_channel_unref(again);
        cws_channel_unref(channel);
        cws_channel_unref(channel);
    }
    return NULL;
}

static void test_users_on_many_threads(void **state)
{
    (void)state;
    size_t live = cws_alloc_live();
    struct cws_loop *loop = loop_open();
    struct cws_error err = {0};
    struct user users[4];
    assert_int_equal(cws_loop_start(loop, &err), CWS_OK);
    for (int i = 0; i < 4; i++) {
        users[i] = (struct user){.loop = loop};
        assert_int_equal(pthread_create(&users[i].thread, NULL, come_and_go, &users[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(users[i].thread, NULL);
    cws_loop_stop(loop);
    loop_close(loop);
    assert_int_equal(cws_alloc_live(), live);
}

#define CHANNEL_TEST(function) TEST_WITH(struct client_bed, function)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHANNEL_TEST(test_equal_options_share_a_channel),
        CHANNEL_TEST(test_any_other_option_makes_another),
        CHANNEL_TEST(test_channels_of_two_loops_are_two),
        CHANNEL_TEST(test_a_shared_channel_shares_its_connection),
        CHANNEL_TEST(test_the_next_user_takes_over_what_lingers),
        CHANNEL_TEST(test_several_linger_when_the_loop_goes),
        CHANNEL_TEST(test_bad_options),
        CHANNEL_TEST(test_failed_memory_is_told),
        CHANNEL_TEST(test_connections_and_calls_are_counted),
        CHANNEL_TEST(test_users_on_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
