/* cwsandboxd/host/egress: the range for sandboxes beside the routes of the host, in a network of
 * the test's own. */
#include "support/own_network.h"

#include <arpa/inet.h>

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

static void expect_device(struct cwsd_egress *egress, const char *name, const char *inside)
{
    struct cwsd_egress_device device;
    struct cws_error err;
    char text[INET_ADDRSTRLEN];
    assert_int_equal(cwsd_egress_next_device(egress, &device, &err), CWS_OK);
    assert_string_equal(device.name, name);
    assert_string_equal(inet_ntop(AF_INET, &device.inside, text, sizeof(text)), inside);
}

/* Numbers begin again after the last one. A sandbox may live longer than that takes. */
static void a_device_of_the_living_is_nobody_elses(void **state)
{
    struct cws_error err;
    (void)state;
    need_programs();
    struct cwsd_egress *egress = open_egress(&err);
    if (!egress) {
        print_message("this host takes no rules: %s\n", err.text);
        skip();
    }
    assert_int_equal(egress->slot, 0);
    expect_device(egress, "cws0-0", "10.192.0.1");
    ip("link add cws0-1 type veth peer name inside1");
    ip("link add cws0-32767 type veth peer name inside2");
    ip("link add cws0-0 type veth peer name inside3");
    expect_device(egress, "cws0-2", "10.192.0.5");
    egress->next = 32766;
    expect_device(egress, "cws0-32766", "10.192.255.253");
    expect_device(egress, "cws0-2", "10.192.0.5");
    ip("link delete cws0-32767");
    ip("link delete cws0-1");
    egress->next = 32767;
    expect_device(egress, "cws0-32767", "10.192.255.255");
    expect_device(egress, "cws0-1", "10.192.0.3");
    cwsd_egress_close(egress);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(a_device_of_the_living_is_nobody_elses),
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
