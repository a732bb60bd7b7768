/* cwsandboxd/host/egress: the range for sandboxes beside the routes of the host, in a network of
 * the test's own. */
#include "support/own_network.h"

#include "host/egress.h"
#include "host/program.h"

static bool has_program(const char *name)
{
    char *path = cwsd_program_find(name);
    cws_free(path);
    return path != NULL;
}

static void need_programs(void)
{
    if (has_program("nft") && has_program("ip"))
        return;
    print_message("nftables or iproute2 is not installed\n");
    skip();
}

static struct cwsd_egress *open_egress(struct cws_error *err)
{
    struct cwsd_egress *egress = NULL;
    enum cws_status status = cwsd_egress_open(CWSD_EGRESS_NFTABLES, NULL, "/none", &egress, err);
    assert_int_equal(status == CWS_OK, egress != NULL);
    return egress;
}

static void expect_slot(unsigned slot)
{
    struct cws_error err;
    struct cwsd_egress *egress = open_egress(&err);
    if (!egress && !strstr(err.text, "10.192.0.0/16")) {
        print_message("this host takes no rules: %s\n", err.text);
        skip();
    }
    if (!egress)
        fail_msg("%s", err.text);
    assert_int_equal(egress->slot, slot);
    cwsd_egress_close(egress);
}

/* Beside a route to somewhere in it, a range is not taken. */
static void the_first_that_no_route_leads_into(void **state)
{
    (void)state;
    need_programs();
    expect_slot(0);
    ip("route add 10.192.7.0/24 dev lo");
    ip("route add 10.193.0.0/16 dev lo");
    expect_slot(2);
    ip("route add default dev lo"); /* leads everywhere, and so to no range */
    expect_slot(2);
    ip("route add 10.192.0.0/11 dev lo");
    expect_slot(32);
}

static void a_route_into_all_of_them(void **state)
{
    struct cws_error err;
    (void)state;
    need_programs();
    ip("route add 10.0.0.0/8 dev lo");
    assert_null(open_egress(&err));
    assert_int_equal(err.status, CWS_SYSTEM);
    if (!strstr(err.text, "10.0.0.0/8 by lo") || !strstr(err.text, "into 64 of them;"))
        fail_msg("%s", err.text);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(the_first_that_no_route_leads_into),
    UNIT_TEST(a_route_into_all_of_them),
};

int main(void)
{
    if (!own_network_enter()) {
        print_message("this host lets nobody have a network of his own\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
