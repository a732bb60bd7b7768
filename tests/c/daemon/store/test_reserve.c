/* store/reserve: what is kept of the disk, given back and taken again. */
#include "support/own_folder.h"

#include <sys/stat.h>

#include "store/reserve.h"

static const char *file(void)
{
    static char path[100];
    snprintf(path, sizeof(path), "%s/reserve", own_folder);
    return path;
}

static uint64_t size_of_file(void)
{
    struct stat info;
    assert_int_equal(stat(file(), &info), 0);
    return (uint64_t)info.st_size;
}

static void given_back_and_taken_again(void **state)
{
    (void)state;
    struct cwsd_reserve reserve;
    cwsd_reserve_open(&reserve, own_folder);
    uint64_t whole = reserve.size;
    assert_int_equal(size_of_file(), whole);
    assert_int_equal(whole, reserve.wanted);
    for (uint64_t left = whole; left > 0; left = reserve.size) {
        assert_true(cwsd_reserve_release(&reserve));
        assert_true(reserve.size < left);
        assert_int_equal(size_of_file(), reserve.size);
    }
    assert_false(cwsd_reserve_release(&reserve));
    cwsd_reserve_refill(&reserve);
    assert_int_equal(size_of_file(), whole);
    cwsd_reserve_close(&reserve);
    assert_false(cwsd_reserve_release(&reserve));
    cwsd_reserve_open(&reserve, own_folder); /* the next daemon */
    assert_int_equal(reserve.size, whole);
    cwsd_reserve_close(&reserve);
}

/* Nothing is written through it, and nobody is waited for. */
static void what_is_no_file_is_no_reserve(void **state)
{
    (void)state;
    struct cwsd_reserve reserve;
    assert_int_equal(symlink("elsewhere", file()), 0);
    cwsd_reserve_open(&reserve, own_folder);
    assert_int_equal(reserve.fd, -1);
    assert_int_equal(unlink(file()), 0);
    assert_int_equal(mkfifo(file(), 0600), 0);
    cwsd_reserve_open(&reserve, own_folder);
    assert_int_equal(reserve.fd, -1);
    assert_false(cwsd_reserve_release(&reserve));
    cwsd_reserve_refill(&reserve);
    cwsd_reserve_close(&reserve);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(given_back_and_taken_again),
        FOLDER_TEST(what_is_no_file_is_no_reserve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
