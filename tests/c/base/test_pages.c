/* base/pages: sizes in whole pages, zeros straight from the system, counted like other blocks; huge
 * pages while they are cheap; pages given away. The system calls are stood in for, to see them and
 * to let them fail. */
#include "support/unit.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/pages.h"

enum { BLOCK = 2 * 1024 * 1024 };

static struct {
    uint64_t thread_ns; /* what the thread's clock says, */
    uint64_t each_ns;   /* … and a huge page adds to that */
    size_t huge;        /* blocks asked for as huge pages */
    size_t populated;   /* bytes */
    enum { REAL, REFUSES, LEAVES_A_HOLE, LEAVES_A_HOLE_FOR_GOOD } mremap;
    struct rlimit as; /* to go back to */
} fake;

int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (clock != CLOCK_THREAD_CPUTIME_ID)
        return (int)syscall(SYS_clock_gettime, clock, time);
    *time = (struct timespec){.tv_sec = (time_t)(fake.thread_ns / 1000000000),
                              .tv_nsec = (long)(fake.thread_ns % 1000000000)};
    return 0;
}

int madvise(void *at, size_t len, int advice)
{
    if (advice == MADV_HUGEPAGE) {
        assert_int_equal((uintptr_t)at % BLOCK, 0);
        assert_int_equal(len, BLOCK);
        fake.huge++;
        fake.thread_ns += fake.each_ns;
    } else if (advice == MADV_POPULATE_WRITE) {
        fake.populated += len;
    }
    return (int)syscall(SYS_madvise, at, len, advice);
}

void *mremap(void *from, size_t old_len, size_t len, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    void *to = va_arg(args, void *);
    va_end(args);
    if (fake.mremap == REAL)
        return (void *)syscall(SYS_mremap, from, old_len, len, flags, to);
    if (fake.mremap != REFUSES)
        assert_int_equal(munmap(to, len), 0);
    if (fake.mremap == LEAVES_A_HOLE_FOR_GOOD) /* nothing new can be mapped */
        assert_int_equal(setrlimit(RLIMIT_AS, &(struct rlimit){0, fake.as.rlim_max}), 0);
    errno = ENOMEM;
    return MAP_FAILED;
}

static void test_sizes_are_rounded_up(void **state)
{
    (void)state;
    static const struct {
        size_t size, rounded;
    } rows[] = {{0, 0},
                {1, 4096},
                {4095, 4096},
                {4096, 4096},
                {4097, 8192},
                {((size_t)1 << 32) + 1, ((size_t)1 << 32) + 4096},
                {SIZE_MAX - 4095, SIZE_MAX - 4095}};
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++)
        assert_true(cws_pages_round(rows[i].size) == rows[i].rounded);
}

static void test_pages_are_zeros_of_ones_own(void **state)
{
    (void)state;
    static const size_t sizes[] = {4096, 8192, 2 * 1024 * 1024, 2 * 1024 * 1024 + 4096};
    for (size_t i = 0; i < CWS_ARRAY_LEN(sizes); i++) {
        size_t before = cws_alloc_live();
        uint8_t *pages = cws_pages_new(sizes[i]);
        assert_non_null(pages);
        assert_int_equal((uintptr_t)pages % 4096, 0);
        assert_int_equal(cws_alloc_live(), before + 1);
        for (size_t at = 0; at < sizes[i]; at += 512)
            assert_int_equal(pages[at], 0);
        memset(pages, 0xa5, sizes[i]);
        uint8_t *others = cws_pages_new(sizes[i]);
        assert_non_null(others);
        assert_int_equal(others[0], 0);
        assert_int_equal(pages[sizes[i] - 1], 0xa5);
        cws_pages_free(pages, sizes[i]);
        assert_int_equal(others[sizes[i] - 1], 0);
        cws_pages_free(others, sizes[i]);
        assert_int_equal(cws_alloc_live(), before);
    }
}

static void test_without_memory(void **state)
{
    (void)state;
    size_t before = cws_alloc_live();
    cws_alloc_fail_at(2);
    uint8_t *pages = cws_pages_new(4096);
    assert_non_null(pages);
    assert_null(cws_pages_new(4096));
    uint8_t *after = cws_pages_new(4096); /* it fails once */
    assert_non_null(after);
    cws_pages_free(pages, 4096);
    cws_pages_free(after, 4096);
    assert_null(cws_pages_new(SIZE_MAX - 4095)); /* more than there are addresses */
    assert_int_equal(cws_alloc_live(), before);
}

/* --- huge and small --- */

/* How many of so many blocks of a new piece of memory are asked for as huge pages; all of it is got
 * at once either way. */
static size_t huge_of(size_t blocks)
{
    uint8_t *pages = cws_pages_new(blocks * BLOCK);
    assert_non_null(pages);
    assert_int_equal((uintptr_t)pages % BLOCK, 0);
    assert_int_equal(fake.populated, blocks * BLOCK);
    size_t huge = fake.huge;
    fake.huge = fake.populated = 0;
    cws_pages_free(pages, blocks * BLOCK);
    return huge;
}

static void test_huge_pages_while_they_are_cheap(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    fake.each_ns = 300 * 1000;
    assert_int_equal(huge_of(5), 5);
    fake.each_ns = 5 * 1000 * 1000;
    assert_int_equal(huge_of(1), 1); /* and then small ones for a while, longer each time */
    assert_int_equal(huge_of(32), 0);
    assert_int_equal(huge_of(1), 1);
    assert_int_equal(huge_of(64), 0);
    assert_int_equal(huge_of(1), 1);
    assert_int_equal(huge_of(128), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(huge_of(1), 1);
        assert_int_equal(huge_of(256), 0);
    }
    fake.each_ns = 300 * 1000;
    assert_int_equal(huge_of(3), 3);
    fake.each_ns = 5 * 1000 * 1000;
    assert_int_equal(huge_of(34), 2); /* as in the beginning */
    fake.each_ns = 0;
    assert_int_equal(huge_of(64 + 1), 1);
}

/* Only whole pages inside are touched, and nothing that is in them changes. */
static void test_preparing_changes_nothing(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    size_t size = 3 * BLOCK;
    uint8_t *memory = malloc(size);
    assert_non_null(memory);
    memset(memory, 0xa5, size);
    static const struct {
        size_t at, len, populated;
    } rows[] = {{0, 0, 0},          {1, 100, 0},       {4000, 200, 0}, {1, 4096 + 4095, 4096},
                {4096, 4096, 4096}, {4095, 4098, 4096}};
    uint8_t *page = (uint8_t *)cws_pages_round((uintptr_t)memory);
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        fake.populated = 0;
        cws_pages_prepare(page + rows[i].at, rows[i].len);
        assert_int_equal(fake.populated, rows[i].populated);
    }
    cws_pages_prepare(memory, size);
    uintptr_t first = ((uintptr_t)memory + BLOCK - 1) / BLOCK,
              end = ((uintptr_t)memory + size) / BLOCK;
    assert_int_equal(fake.huge, end - first); /* the whole blocks inside */
    for (size_t i = 0; i < size; i++)
        assert_int_equal(memory[i], 0xa5);
    free(memory);
}

/* --- given away --- */

static void fill(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 4096);
}

/* Gives 5 of 8 pages, from the given one on, into the midst of other memory. */
static bool give(size_t first, bool *out_arrived)
{
    enum { PAGES = 8, GIVEN = 5, PAGE = 4096 };
    size_t before = cws_alloc_live();
    uint8_t expected[PAGES * PAGE];
    fill(expected, sizeof(expected));
    uint8_t *pages = cws_pages_new(sizeof(expected));
    memcpy(pages, expected, sizeof(expected));
    uint8_t *to =
        mmap(NULL, (GIVEN + 2) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(to != MAP_FAILED);
    memset(to, 0x11, (GIVEN + 2) * PAGE);
    bool given = cws_pages_give(pages, sizeof(expected), first * PAGE, GIVEN * PAGE, to + PAGE) ==
                 CWS_PAGES_GIVEN;
    assert_int_equal(cws_alloc_live(), given ? before : before + 1);
    if (!given) {
        assert_memory_equal(pages, expected, sizeof(expected)); /* as before */
        memcpy(to + PAGE, pages + first * PAGE, GIVEN * PAGE);  /* there is memory there still */
        cws_pages_free(pages, sizeof(expected));
    }
    *out_arrived = memcmp(to + PAGE, expected + first * PAGE, GIVEN * PAGE) == 0;
    assert_int_equal(to[PAGE - 1], 0x11);
    assert_int_equal(to[(GIVEN + 1) * PAGE], 0x11);
    munmap(to, (GIVEN + 2) * PAGE);
    assert_int_equal(cws_alloc_live(), before);
    return given;
}

static void test_pages_are_given_away(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    for (size_t first = 0; first <= 3; first++) {
        bool arrived;
        assert_true(give(first, &arrived));
        assert_true(arrived);
    }
}

static void test_pages_that_cannot_be_given(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    bool arrived;
    fake.mremap = REFUSES;
    assert_false(give(1, &arrived));
    assert_true(arrived);
    fake.mremap = LEAVES_A_HOLE;
    assert_false(give(1, &arrived));
    assert_true(arrived);
}

static void test_a_hole_that_cannot_be_filled(void **state)
{
    (void)state;
    enum { SIZE = 4 * 4096 };
    memset(&fake, 0, sizeof(fake));
    fake.mremap = LEAVES_A_HOLE_FOR_GOOD;
    assert_int_equal(getrlimit(RLIMIT_AS, &fake.as), 0);
    uint8_t expected[SIZE];
    fill(expected, SIZE);
    uint8_t *pages = cws_pages_new(SIZE);
    memcpy(pages, expected, SIZE);
    uint8_t *to = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(to != MAP_FAILED);
    enum cws_pages_given given = cws_pages_give(pages, SIZE, 0, SIZE, to);
    setrlimit(RLIMIT_AS, &fake.as);
    assert_int_equal(given, CWS_PAGES_LOST);
    assert_memory_equal(pages, expected, SIZE);
    cws_pages_free(pages, SIZE);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_sizes_are_rounded_up),
    UNIT_TEST(test_pages_are_zeros_of_ones_own),
    UNIT_TEST(test_without_memory),
    UNIT_TEST(test_huge_pages_while_they_are_cheap),
    UNIT_TEST(test_preparing_changes_nothing),
    UNIT_TEST(test_pages_are_given_away),
    UNIT_TEST(test_pages_that_cannot_be_given),
    UNIT_TEST(test_a_hole_that_cannot_be_filled),
};

UNIT_MAIN(tests)
