/* io/listen: TCP and Unix sockets that accept, and what happens to the socket file. */
#include "support/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "io/listen.h"

#define MAX_PEERS 64

struct fixture {
    struct cws_loop *loop;
    size_t live;
    struct cws_listener *listener;
    struct peer peers[MAX_PEERS];
    size_t count;
    bool free_on_accept;
    char dir[32];
    char path[64];
};

static int set_up(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));
    f->live = cws_alloc_live();
    f->loop = loop_open();
    strcpy(f->dir, "/tmp/cws-listen-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/socket", f->dir);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    cws_listener_free(f->listener);
    for (size_t i = 0; i < f->count; i++)
        peer_done(&f->peers[i]);
    loop_close(f->loop);
    unlink(f->path);
    rmdir(f->dir);
    size_t live = cws_alloc_live();
    size_t before = f->live;
    test_free(f);
    return live == before ? 0 : -1;
}

static void on_accept(void *ctx, struct cws_transport *transport)
{
    struct fixture *f = ctx;
    assert_true(f->count < MAX_PEERS);
    peer_start(&f->peers[f->count++], transport);
    if (f->free_on_accept) {
        cws_listener_free(f->listener);
        f->listener = NULL;
    }
}

static enum cws_status listen_at(struct fixture *f, const char *unix_path, const char *host,
                                 uint16_t port, struct cws_listener **out, struct cws_error *err)
{
    struct cws_listen_options options = {.unix_path = unix_path, .host = host, .port = port};
    return cws_listener_new(f->loop, &options, on_accept, f, out, err);
}

static void listen_ok(struct fixture *f, const char *unix_path, const char *host)
{
    struct cws_error err = {0};
    if (listen_at(f, unix_path, host, 0, &f->listener, &err) != CWS_OK)
        fail_msg("%s", err.text);
}

static int connect_tcp(int family, uint16_t port)
{
    struct sockaddr_storage addr = {0};
    if (family == AF_INET)
        assert_int_equal(uv_ip4_addr("127.0.0.1", port, (struct sockaddr_in *)&addr), 0);
    else
        assert_int_equal(uv_ip6_addr("::1", port, (struct sockaddr_in6 *)&addr), 0);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static int connect_unix(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    strcpy(addr.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
        return fd;
    close(fd);
    return -1;
}

static void exchange(struct fixture *f, int fd)
{
    size_t at = f->count;
    PUMP_UNTIL(f->loop, f->count == at + 1);
    struct peer *peer = &f->peers[at];
    assert_int_equal(send(fd, "hello", 5, 0), 5);
    PUMP_UNTIL(f->loop, peer->received.len == 5);
    assert_int_equal(peer_write(peer, "world", 5), CWS_OK);
    char back[5];
    assert_int_equal(recv(fd, back, 5, MSG_WAITALL), 5);
    assert_memory_equal(back, "world", 5);
    close(fd);
    PUMP_UNTIL(f->loop, peer->closed);
}

static void test_tcp(void **state)
{
    struct fixture *f = *state;
    listen_ok(f, NULL, "127.0.0.1");
    uint16_t port = cws_listener_port(f->listener);
    assert_int_not_equal(port, 0);
    exchange(f, connect_tcp(AF_INET, port));
    exchange(f, connect_tcp(AF_INET, port));
}

static void test_tcp_ipv6(void **state)
{
    struct fixture *f = *state;
    struct cws_error err = {0};
    if (listen_at(f, NULL, "::1", 0, &f->listener, &err) != CWS_OK)
        skip(); /* a machine without IPv6 */
    exchange(f, connect_tcp(AF_INET6, cws_listener_port(f->listener)));
}

static void test_many_at_once(void **state)
{
    struct fixture *f = *state;
    listen_ok(f, NULL, "127.0.0.1");
    int fds[MAX_PEERS];
    for (size_t i = 0; i < MAX_PEERS; i++)
        fds[i] = connect_tcp(AF_INET, cws_listener_port(f->listener));
    PUMP_UNTIL(f->loop, f->count == MAX_PEERS);
    for (size_t i = 0; i < MAX_PEERS; i++)
        close(fds[i]);
    for (size_t i = 0; i < MAX_PEERS; i++)
        PUMP_UNTIL(f->loop, f->peers[i].closed);
}

static void test_free_inside_accept(void **state)
{
    struct fixture *f = *state;
    f->free_on_accept = true;
    listen_ok(f, f->path, NULL);
    int first = connect_unix(f->path), second = connect_unix(f->path);
    PUMP_UNTIL(f->loop, !f->listener);
    settle(f->loop);
    assert_int_equal(f->count, 1);
    char byte;
    assert_true(recv(second, &byte, 1, 0) <= 0); /* turned away */
    close(first);
    close(second);
}

static void test_bad_addresses_are_named(void **state)
{
    struct fixture *f = *state;
    struct cws_error err = {0};
    struct cws_listener *other;
    assert_int_equal(listen_at(f, NULL, "localhost", 0, &other, &err), CWS_INVALID);
    assert_non_null(strstr(err.text, "localhost: not an IP address"));
    listen_ok(f, NULL, "127.0.0.1");
    uint16_t port = cws_listener_port(f->listener);
    char text[64];
    snprintf(text, sizeof(text), "127.0.0.1 port %u: address already in use", port);
    assert_int_equal(listen_at(f, NULL, "127.0.0.1", port, &other, &err), CWS_IO);
    assert_non_null(strstr(err.text, text));
    assert_int_equal(listen_at(f, "", NULL, 0, &other, &err), CWS_INVALID);
    char endless[200];
    memset(endless, 'x', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    assert_int_equal(listen_at(f, endless, NULL, 0, &other, &err), CWS_INVALID);
    assert_non_null(strstr(err.text, "1 to 107 bytes"));
    assert_int_equal(listen_at(f, "/nonexistent/socket", NULL, 0, &other, &err), CWS_IO);
    assert_non_null(strstr(err.text, "/nonexistent/socket: No such file"));
}

static void test_unix_is_private_and_removed(void **state)
{
    struct fixture *f = *state;
    mode_t before = umask(0); /* the widest: the mode is not the umask's doing */
    listen_ok(f, f->path, NULL);
    umask(before);
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    exchange(f, connect_unix(f->path));
    cws_listener_free(f->listener);
    f->listener = NULL;
    assert_int_equal(access(f->path, F_OK), -1);
}

static void test_stale_socket_is_replaced(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    strcpy(addr.sun_path, f->path);
    int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(dead, (struct sockaddr *)&addr, sizeof(addr)), 0);
    close(dead); /* the file stays, as after kill -9 */
    listen_ok(f, f->path, NULL);
    exchange(f, connect_unix(f->path));
}

static void test_live_socket_is_left_alone(void **state)
{
    struct fixture *f = *state;
    listen_ok(f, f->path, NULL);
    struct cws_error err = {0};
    struct cws_listener *other;
    assert_int_equal(listen_at(f, f->path, NULL, 0, &other, &err), CWS_IO);
    assert_non_null(strstr(err.text, "in use by a live server"));
    assert_non_null(strstr(err.text, f->path));
    PUMP_UNTIL(f->loop, f->count == 1); /* the probe */
    PUMP_UNTIL(f->loop, f->peers[0].closed);
    exchange(f, connect_unix(f->path));
}

static void test_other_files_are_left_alone(void **state)
{
    struct fixture *f = *state;
    FILE *file = fopen(f->path, "w");
    assert_non_null(file);
    fclose(file);
    struct cws_error err = {0};
    struct cws_listener *other;
    assert_int_equal(listen_at(f, f->path, NULL, 0, &other, &err), CWS_IO);
    assert_non_null(strstr(err.text, "exists and is not a socket"));
    assert_int_equal(access(f->path, F_OK), 0);
}

static void test_successors_socket_is_left_alone(void **state)
{
    struct fixture *f = *state;
    listen_ok(f, f->path, NULL);
    struct cws_listener *first = f->listener;
    unlink(f->path);
    listen_ok(f, f->path, NULL);
    cws_listener_free(first);
    assert_int_equal(access(f->path, F_OK), 0);
    exchange(f, connect_unix(f->path));
}

static void test_no_memory(void **state)
{
    struct fixture *f = *state;
    struct cws_error err = {0};
    for (size_t n = 1; n <= 2; n++) {
        cws_alloc_fail_at(n);
        assert_int_equal(listen_at(f, f->path, NULL, 0, &f->listener, &err), CWS_NO_MEMORY);
        f->listener = NULL;
    }
    listen_ok(f, f->path, NULL);
    int fd = connect_unix(f->path);
    cws_alloc_fail_at(1); /* for the connection; it is taken a moment later */
    exchange(f, fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_tcp),
        TEST(test_tcp_ipv6),
        TEST(test_many_at_once),
        TEST(test_free_inside_accept),
        TEST(test_bad_addresses_are_named),
        TEST(test_unix_is_private_and_removed),
        TEST(test_stale_socket_is_replaced),
        TEST(test_live_socket_is_left_alone),
        TEST(test_other_files_are_left_alone),
        TEST(test_successors_socket_is_left_alone),
        TEST(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
