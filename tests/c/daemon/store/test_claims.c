/* store/claims: a directory for each claim, whatever clients call it and sandboxes leave in it. */
#include "support/claims_world.h"

#include <sys/stat.h>

static ino_t inode_of(int fd)
{
    struct stat info;
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &info), 0);
    assert_true(S_ISDIR(info.st_mode));
    close(fd);
    return info.st_ino;
}

static void test_each_claim_has_its_own(void **state)
{
    (void)state;
    struct cwsd_fault fault;
    ino_t first = inode_of(open_claim("a", "../../x", "", &fault));
    assert_int_equal(first, inode_of(open_claim("a", "../../x", "", &fault)));
    assert_int_not_equal(first, inode_of(open_claim("b", "../../x", "", &fault)));
    assert_int_not_equal(first, inode_of(open_claim("a", "x", "", &fault)));
}

static void test_sub_paths_are_made(void **state)
{
    (void)state;
    struct cwsd_fault fault;
    ino_t deep = inode_of(open_claim("a", "sub", "one/two", &fault));
    assert_int_equal(deep, inode_of(open_claim("a", "sub", "one/two", &fault)));
    assert_int_not_equal(deep, inode_of(open_claim("a", "sub", "one", &fault)));
}

/* Put there by a sandbox. */
static void test_no_link_and_no_file_is_followed(void **state)
{
    (void)state;
    struct cwsd_fault fault;
    int data = open_claim("a", "hostile", "", &fault);
    assert_true(data >= 0);
    assert_int_equal(symlinkat("/etc", data, "out"), 0);
    assert_int_equal(symlinkat("missing", data, "dangling"), 0);
    assert_int_equal(mknodat(data, "file", S_IFREG | 0600, 0), 0);
    close(data);
    static const char *const paths[] = {"out",        "out/ssl", "dangling",
                                        "dangling/x", "file",    "file/x"};
    for (size_t i = 0; i < CWS_ARRAY_LEN(paths); i++) {
        assert_int_equal(open_claim("a", "hostile", paths[i], &fault), -1);
        assert_int_equal(fault.code, CWS_GRPC_FAILED_PRECONDITION);
        assert_string_equal(fault.reason, CWSD_REASON_VOLUME_BACKEND);
    }
}

/* As if two claims had one digest. */
static void test_a_directory_of_another_claim_is_left_alone(void **state)
{
    (void)state;
    struct cwsd_fault fault;
    int data = open_claim("a", "mine", "", &fault);
    assert_true(data >= 0);
    int claim = openat(data, "../claim", O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(claim >= 0);
    assert_int_equal(write(claim, "b/mine\n", 7), 7);
    close(claim);
    close(data);
    assert_int_equal(open_claim("a", "mine", "", &fault), -1);
    assert_string_equal(fault.reason, CWSD_REASON_VOLUME_BACKEND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_claim_has_its_own),
        cmocka_unit_test(test_sub_paths_are_made),
        cmocka_unit_test(test_no_link_and_no_file_is_followed),
        cmocka_unit_test(test_a_directory_of_another_claim_is_left_alone),
    };
    return cmocka_run_group_tests(tests, claims_set_up, claims_tear_down);
}
