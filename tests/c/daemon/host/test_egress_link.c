/* host/egress_link: the steps that lead a sandbox's network to others, each of which may fail. The
 * launcher is the test, and scripts play the programs. */
#include "support/played_programs.h"

#include <sys/socket.h>

#include "cwsandbox-init/protocol.h"
#include "host/egress_link.h"
#include "support/failing.h"

static struct {
    struct cws_loop *loop;
    struct cwsd_egress egress;
    struct cwsd_egress_link_options options;
    struct cwsd_egress_link *link;
    unsigned descriptors;
    int launcher;        /* its end */
    const char *refusal; /* of the sockets */
    unsigned sockets, lost;
    char why[320];
} world;

static enum cws_status on_sockets(void *ctx, struct cwsd_egress_sockets *sockets,
                                  struct cws_error *err)
{
    assert_ptr_equal(ctx, &world);
    assert_true(sockets->diverted >= 0 && sockets->names >= 0);
    world.sockets++;
    close(sockets->names); /* the other one is left */
    sockets->names = -1;
    return world.refusal ? cws_error_set(err, CWS_SYSTEM, "%s", world.refusal) : CWS_OK;
}

static void on_lost(void *ctx, const char *why)
{
    assert_ptr_equal(ctx, &world);
    world.lost++;
    snprintf(world.why, sizeof(world.why), "%s", why);
}

static int set_up(void **state)
{
    if (own_folder_make(state))
        return -1;
    memset(&world, 0, sizeof(world));
    world.descriptors = count_descriptors();
    world.launcher = -1;
    world.loop = loop_open();
    world.egress = (struct cwsd_egress){.way = CWSD_EGRESS_NFTABLES,
                                        .init_path = played_init(),
                                        .nft = played_program("nft", PLAYED_READS),
                                        .ip = played_program("ip", PLAYED_READS),
                                        .slot_fd = -1,
                                        .slot = 63};
    world.egress.own.fd = -1;
    cws_list_init(&world.egress.watchers);
    world.options = (struct cwsd_egress_link_options){.loop = world.loop,
                                                      .egress = &world.egress,
                                                      .rules = "the rules",
                                                      .on_sockets = on_sockets,
                                                      .on_lost = on_lost,
                                                      .ctx = &world};
    return 0;
}

/* The loop ends once nothing of the link is left. */
static int tear_down(void **state)
{
    const unsigned lost = world.lost;
    cwsd_egress_link_free(world.link);
    loop_close(world.loop);
    assert_int_equal(world.lost, lost);
    assert_true(cws_list_is_empty(&world.egress.watchers));
    if (world.launcher >= 0)
        close(world.launcher);
    assert_int_equal(count_descriptors(), world.descriptors);
    assert_no_children();
    return own_folder_remove(state);
}

#define LINK_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* By way of slirp4netns, which is told of the host's addresses. */
static void use_stack(const char *script)
{
    world.egress.way = CWSD_EGRESS_SLIRP4NETNS;
    world.egress.slirp4netns = played_program("slirp", script);
    world.egress.own.fd = 0; /* somebody watches them */
}

static void open_link(void)
{
    struct cws_error err;
    if (cwsd_egress_link_new(&world.options, &world.link, &err) != CWS_OK)
        fail_msg("%s", err.text);
    world.launcher = fcntl(cwsd_egress_link_end(world.link), F_DUPFD_CLOEXEC, 0);
    cwsd_egress_link_started(world.link);
    assert_int_equal(cwsd_egress_link_end(world.link), -1);
}

/* What the launcher has to say, with so many descriptors. */
static void send_network(int error, unsigned count)
{
    struct cwsi_network network = {.error = error};
    struct iovec part = {.iov_base = &network, .iov_len = sizeof(network)};
    int fds[CWSI_NETWORK_FDS];
    char control[CMSG_SPACE(sizeof(fds))] = {0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        for (unsigned i = 0; i < count; i++)
            fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
        memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    }
    assert_int_equal(sendmsg(world.launcher, &message, MSG_NOSIGNAL), sizeof(network));
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
}

static void begin(void)
{
    open_link();
    send_network(0, CWSI_NETWORK_FDS);
}

/* What the launcher is told: "" to go on, or a part of why not. */
static void expect_answer(const char *text)
{
    char got[400];
    ssize_t len;
    while ((len = recv(world.launcher, got, sizeof(got) - 1, MSG_DONTWAIT)) < 0) {
        assert_int_equal(errno, EAGAIN);
        pump(world.loop);
    }
    got[len] = '\0';
    if (len == 0)
        fail_msg("no answer");
    if (text[0] ? !strstr(got, text) : got[0] != '\0')
        fail_msg("the answer is \"%s\"", got);
}

static void expect_no_answer(void)
{
    char got[400];
    ssize_t len;
    while ((len = recv(world.launcher, got, sizeof(got), MSG_DONTWAIT)) < 0)
        pump(world.loop);
    assert_int_equal(len, 0);
}

/* The host has other addresses now. */
static void change_own(void)
{
    struct cws_list *node = world.egress.watchers.next;
    assert_true(node != &world.egress.watchers);
    struct cwsd_egress_watcher *watcher = cws_list_entry(node, struct cwsd_egress_watcher, node);
    watcher->changed(watcher);
}

/* ---- by the kernel's own -------------------------------------------------------------------- */

static void in_three_steps(void **state)
{
    (void)state;
    begin();
    expect_answer("");
    assert_string_equal(played_read("nft.in"), "the rules");
    assert_string_equal(played_read("nft.runs"), "-f -\n");
    assert_string_equal(played_read("ip.runs"), "-batch -\n-batch -\n");
    assert_non_null(strstr(played_read("ip.in"), "route add default via 10.255."));
    assert_int_equal(world.sockets, 1);
    assert_int_equal(world.lost, 0);
}

static void without_anybody_who_wants_the_sockets(void **state)
{
    (void)state;
    world.options.on_sockets = NULL;
    begin();
    expect_answer("");
}

static void rules_that_are_refused(void **state)
{
    (void)state;
    played_says("nft", "line 3: \033[2Jno such table\nmore\n");
    begin();
    expect_answer("its way to other networks: line 3: ?[2Jno such table");
    assert_int_equal(played_runs("ip"), 0);
    assert_int_equal(world.sockets + world.lost, 0);
}

static void a_device_that_is_refused(void **state)
{
    (void)state;
    played_says("ip", "no more devices\n");
    begin();
    expect_answer("its way to other networks: no more devices");
    assert_int_equal(played_runs("ip"), 1);
}

static void a_program_that_says_nothing(void **state)
{
    (void)state;
    played_says("nft", "");
    begin();
    expect_answer("its way to other networks: it ended with exit code 1");
}

static void sockets_that_are_refused(void **state)
{
    (void)state;
    world.refusal = "nobody answers for names";
    begin();
    expect_answer("nobody answers for names");
    assert_int_equal(played_runs("ip"), 0);
}

static void programs_that_are_missing(void **state)
{
    (void)state;
    world.egress.init_path = "/nowhere/cwsandbox-init";
    begin();
    expect_answer("/nowhere/cwsandbox-init");
    assert_int_equal(world.lost, 0);
}

/* ---- the launcher --------------------------------------------------------------------------- */

/* It says itself why, or has ended. */
static void no_network(void **state)
{
    static const struct {
        int error;
        unsigned count;
    } messages[] = {{ENOSPC, 0}, {0, 0}};
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(messages); i++) {
        open_link();
        send_network(messages[i].error, messages[i].count);
        expect_no_answer();
        cwsd_egress_link_free(world.link);
        world.link = NULL;
        close(world.launcher);
        world.launcher = -1;
    }
    assert_int_equal(played_runs("nft") + world.lost, 0);
}

static void a_launcher_that_ends(void **state)
{
    (void)state;
    open_link();
    close(world.launcher);
    world.launcher = -1;
    for (int i = 0; i < 3; i++)
        pump(world.loop);
    assert_int_equal(played_runs("nft") + world.lost, 0);
}

/* Its box hears of it, and gives the link up. */
static void a_launcher_that_ends_meanwhile(void **state)
{
    (void)state;
    int go = played_wait("ip");
    begin();
    while (played_runs("ip") == 0)
        pump(world.loop);
    close(world.launcher);
    world.launcher = -1;
    played_go_on(go);
    while (played_runs("ip") == 1)
        pump(world.loop);
    played_go_on(go);
    while (strstr(played_read("ip.in"), "route") == NULL)
        pump(world.loop);
    settle(world.loop);
    assert_int_equal(world.lost, 0);
    close(go);
}

/* ---- by the user-mode stack ----------------------------------------------------------------- */

static void until_the_stack_ends(void **state)
{
    (void)state;
    use_stack("printf 1 >&3; exec 3>&-; read -r line < \"$0.waits\"; echo bye >&2");
    int go = played_wait("slirp");
    begin();
    played_go_on(go);
    expect_answer("");
    assert_int_equal(played_runs("ip"), 0);
    assert_int_equal(world.lost, 0);
    played_go_on(go);
    PUMP_UNTIL(world.loop, world.lost);
    assert_string_equal(world.why, "slirp4netns has ended: bye");
    close(go);
}

static void a_stack_that_does_not_begin(void **state)
{
    (void)state;
    use_stack("echo no tap device >&2; exit 1");
    begin();
    expect_answer("slirp4netns has ended: no tap device");
    assert_int_equal(world.lost, 0); /* it was never there */
}

/* ---- the host's addresses ------------------------------------------------------------------- */

static void rules_that_follow(void **state)
{
    (void)state;
    use_stack("printf 1 >&3; exec sleep 1000");
    begin();
    expect_answer("");
    change_own();
    while (played_runs("nft") < 2)
        pump(world.loop);
    while (strcmp(played_read("nft.in"), "the rules") == 0 || played_text[0] == '\0')
        pump(world.loop);
    settle(world.loop);
    change_own(); /* to the same */
    settle(world.loop);
    assert_int_equal(played_runs("nft"), 2);
    assert_int_equal(world.lost, 0);
}

/* Before the launcher goes on they are as the host is. */
static void changed_before_it_is_ready(void **state)
{
    (void)state;
    use_stack("printf 1 >&3; exec sleep 1000");
    int go = played_wait("nft");
    begin();
    while (played_runs("nft") == 0)
        pump(world.loop);
    change_own();
    played_go_on(go);
    played_go_on(go);
    expect_answer("");
    assert_int_equal(played_runs("nft"), 2);
    assert_true(strcmp(played_read("nft.in"), "the rules") != 0);
    close(go);
}

static void rules_that_cannot_follow(void **state)
{
    (void)state;
    use_stack("printf 1 >&3; exec sleep 1000");
    begin();
    expect_answer("");
    played_says("nft", "too many elements\n");
    change_own();
    PUMP_UNTIL(world.loop, world.lost);
    assert_string_equal(world.why,
                        "its rules cannot follow the host's addresses: too many elements");
    assert_int_equal(world.lost, 1);
}

static void the_stack_ends_while_they_are_changed(void **state)
{
    (void)state;
    use_stack("printf 1 >&3; exec 3>&-; read -r line < \"$0.waits\"; echo bye >&2");
    int slirp = played_wait("slirp");
    begin();
    played_go_on(slirp);
    expect_answer("");
    int nft = played_wait("nft");
    change_own();
    while (played_runs("nft") < 2)
        pump(world.loop);
    played_go_on(slirp);
    PUMP_UNTIL(world.loop, world.lost);
    played_go_on(nft);
    settle(world.loop);
    assert_int_equal(world.lost, 1);
    close(nft);
    close(slirp);
}

/* ---- given up ------------------------------------------------------------------------------- */

static void given_up_in_the_middle(void **state)
{
    static const char *const waiting[] = {"nft", "ip", "slirp"};
    (void)state;
    for (size_t i = 0; i < CWS_ARRAY_LEN(waiting); i++) {
        char file[64];
        if (strcmp(waiting[i], "slirp") == 0)
            use_stack("exec sleep 1000");
        int go = played_wait(waiting[i]);
        begin();
        while (played_runs(waiting[i]) == 0)
            pump(world.loop);
        cwsd_egress_link_free(world.link);
        world.link = NULL;
        close(world.launcher);
        world.launcher = -1;
        close(go);
        snprintf(file, sizeof(file), "%s.waits", waiting[i]);
        assert_int_equal(unlink(played_path(file)), 0);
    }
    open_link();
    cwsd_egress_link_free(world.link);
    cwsd_egress_link_free(NULL);
    world.link = NULL;
    assert_int_equal(world.lost, 0);
}

static void without_memory(void **state)
{
    (void)state;
    struct cws_error err;
    for (size_t n = 1, more = true; more; n++) {
        cws_alloc_fail_at(n);
        enum cws_status status = cwsd_egress_link_new(&world.options, &world.link, &err);
        more = failing_was_reached(n);
        assert_int_equal(status == CWS_OK, world.link != NULL);
        cwsd_egress_link_free(world.link);
        world.link = NULL;
        settle(world.loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINK_TEST(in_three_steps),
        LINK_TEST(without_anybody_who_wants_the_sockets),
        LINK_TEST(rules_that_are_refused),
        LINK_TEST(a_device_that_is_refused),
        LINK_TEST(a_program_that_says_nothing),
        LINK_TEST(sockets_that_are_refused),
        LINK_TEST(programs_that_are_missing),
        LINK_TEST(no_network),
        LINK_TEST(a_launcher_that_ends),
        LINK_TEST(a_launcher_that_ends_meanwhile),
        LINK_TEST(until_the_stack_ends),
        LINK_TEST(a_stack_that_does_not_begin),
        LINK_TEST(rules_that_follow),
        LINK_TEST(changed_before_it_is_ready),
        LINK_TEST(rules_that_cannot_follow),
        LINK_TEST(the_stack_ends_while_they_are_changed),
        LINK_TEST(given_up_in_the_middle),
        LINK_TEST(without_memory),
    };
    return cmocka_run_group_tests(tests, played_programs_begin, NULL);
}
