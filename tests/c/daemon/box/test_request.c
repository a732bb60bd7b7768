/* cwsandboxd/request: blocks as the init reads them, and descriptors that are closed whatever
 * happens. */
#include "support/unit.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "box/request.h"
#include "support/failing.h"

#define LIST(...) \
    ((struct cwsd_string_list){(char *[]){__VA_ARGS__, NULL}, \
                               sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)})
#define T(text) ((char *)(text))

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* The block as the init gets it, to be given to test_free; its size is the packet's. */
static uint8_t *block_of(const struct cwsd_request *request)
{
    struct stat info;
    size_t size = request->packet.size;
    if (request->block) {
        assert_int_equal(request->fd_count, 0);
        assert_true(size <= CWSI_MAX_INLINE);
        return memcpy(test_malloc(size), request->block, size);
    }
    assert_true(fcntl(request->fds[0], F_GETFD) & FD_CLOEXEC);
    assert_int_equal(fstat(request->fds[0], &info), 0);
    assert_int_equal(info.st_size, size);
    uint8_t *block = test_malloc(size + !size);
    assert_int_equal(pread(request->fds[0], block, size, 0), size);
    return block;
}

static const char *string_at(const uint8_t *block, size_t size, uint64_t offset)
{
    assert_in_range(offset, sizeof(struct cwsi_command), size - 1);
    assert_non_null(memchr(block + offset, '\0', size - offset));
    return (const char *)block + offset;
}

/* Makes a START of these and holds what is in the block against them. */
static void check_command(const struct cwsd_string_list *argv,
                          const struct cwsd_string_list *environment, const char *working_dir)
{
    struct cwsd_request request;
    struct cws_error err = {CWS_OK, ""};
    cwsd_request_init(&request, CWSI_START, 7);
    assert_int_equal(cwsd_request_set_command(&request, argv, environment, working_dir, &err),
                     CWS_OK);
    assert_int_equal(request.packet.op, CWSI_START);
    assert_int_equal(request.packet.id, 7);
    size_t size = request.packet.size;
    uint8_t *block = block_of(&request);
    const struct cwsi_command *command = (const struct cwsi_command *)block;
    assert_int_equal(command->argc, argv->count);
    assert_int_equal(command->envc, environment->count);
    const uint64_t *pointers = command->pointers;
    for (size_t i = 0; i < argv->count; i++)
        assert_string_equal(string_at(block, size, *pointers++), argv->items[i]);
    assert_int_equal(*pointers++, 0);
    for (size_t i = 0; i < environment->count; i++)
        assert_string_equal(string_at(block, size, *pointers++), environment->items[i]);
    assert_int_equal(*pointers++, 0);
    assert_true(command->working_dir >= (uint64_t)((const uint8_t *)pointers - block));
    assert_string_equal(string_at(block, size, command->working_dir), working_dir);
    test_free(block);
    cwsd_request_done(&request);
}

static void test_commands(void **state)
{
    (void)state;
    const struct cwsd_string_list nothing = {NULL, 0};
    check_command(&LIST(T("true")), &nothing, "/");
    check_command(&LIST(T("sh"), T(""), T("a b\n\xff")), &LIST(T("A=1"), T("EMPTY=")), "/work");
    check_command(&LIST(T("")), &LIST(T("=")), ""); /* what makes sense is not asked here */
    enum { COUNT = 5000 };
    char *many[COUNT + 1] = {NULL};
    for (size_t i = 0; i < COUNT; i++)
        many[i] = T("word");
    struct cwsd_string_list list = {many, COUNT};
    check_command(&list, &list, "/");
}

static void test_a_command_of_no_words(void **state)
{
    (void)state;
    struct cwsd_request request;
    struct cws_error err = {CWS_OK, ""};
    const struct cwsd_string_list nothing = {NULL, 0};
    cwsd_request_init(&request, CWSI_START, 1);
    assert_int_equal(
        cwsd_request_set_command(&request, &nothing, &LIST(T("A=1"), T("B=2")), "/", &err),
        CWS_INVALID);
    assert_string_equal(err.text, "the command has no words");
    assert_int_equal(request.fd_count, 0);
    cwsd_request_done(&request);
}

/* The environment of the sandbox and the command's own are each within their limit, but not
 * together. */
static void test_more_than_the_kernel_takes(void **state)
{
    (void)state;
    struct cwsd_request request;
    struct cws_error err = {CWS_OK, ""};
    enum { MOST = (2 * 1024 - 16) * 1024 / (2 + 8) }; /* "a" with NUL and pointer each */
    struct cwsd_string_list environment = {test_calloc(MOST, sizeof(char *)), MOST - 1};
    for (size_t i = 0; i < MOST; i++)
        environment.items[i] = T("a");
    cwsd_request_init(&request, CWSI_START, 1);
    assert_int_equal(cwsd_request_set_command(&request, &LIST(T("b")), &environment, "/", &err),
                     CWS_OK);
    cwsd_request_done(&request);
    environment.count++;
    cwsd_request_init(&request, CWSI_START, 1);
    assert_int_equal(cwsd_request_set_command(&request, &LIST(T("b")), &environment, "/", &err),
                     CWS_INVALID);
    assert_non_null(strstr(err.text, "has 2080770 bytes"));
    assert_non_null(strstr(err.text, "at most 2080768"));
    assert_int_equal(request.fd_count, 0);
    cwsd_request_done(&request);
    test_free(environment.items);
}

static void test_no_command_at_all(void **state)
{
    (void)state;
    struct cwsd_request request;
    struct cws_error err = {CWS_OK, ""};
    cwsd_request_init(&request, CWSI_START, CWSI_MAIN);
    assert_int_equal(cwsd_request_set_idle(&request, "/srv", &err), CWS_OK);
    assert_int_equal(request.packet.flags, CWSI_IDLE);
    uint8_t *block = block_of(&request);
    const struct cwsi_command *command = (const struct cwsi_command *)block;
    assert_int_equal(command->argc, 0);
    assert_int_equal(command->envc, 0);
    assert_int_equal(command->pointers[0], 0);
    assert_int_equal(command->pointers[1], 0);
    assert_string_equal(string_at(block, request.packet.size, command->working_dir), "/srv");
    test_free(block);
    cwsd_request_done(&request);
}

static void test_a_command_without_memory(void **state)
{
    (void)state;
    struct cwsd_request request;
    struct cws_error err = {CWS_OK, ""};
    size_t n = 1;
    for (;; n++) {
        cwsd_request_init(&request, CWSI_START, 1);
        cws_alloc_fail_at(n);
        enum cws_status status = cwsd_request_set_command(&request, &LIST(T("true")),
                                                          &LIST(T("A=1"), T("B=2")), "/", &err);
        bool reached = failing_was_reached(n);
        assert_int_equal(status, reached ? CWS_NO_MEMORY : CWS_OK);
        cwsd_request_done(&request);
        if (!reached)
            break;
        assert_int_equal(request.fd_count, 0);
        assert_non_null(strstr(err.text, "memory"));
    }
    assert_int_equal(n, 2);
}

/* What fits goes with the packet; one byte more, and it is a file. */
static void test_a_small_block_needs_no_file(void **state)
{
    (void)state;
    struct cws_error err = {CWS_OK, ""};
    const struct cwsd_string_list nothing = {NULL, 0};
    char word[CWSI_MAX_INLINE];
    const size_t rest = sizeof(struct cwsi_command) + 3 * sizeof(uint64_t) + sizeof("/");
    for (size_t size = CWSI_MAX_INLINE - 1; size <= CWSI_MAX_INLINE + 1; size++) {
        struct cwsd_request request;
        memset(word, 'x', sizeof(word));
        word[size - rest - 1] = '\0';
        cwsd_request_init(&request, CWSI_START, 1);
        assert_int_equal(cwsd_request_set_command(&request, &LIST(word), &nothing, "/", &err),
                         CWS_OK);
        assert_int_equal(request.packet.size, size);
        assert_int_equal(request.fd_count, size > CWSI_MAX_INLINE);
        assert_int_equal(request.block != NULL, size <= CWSI_MAX_INLINE);
        cwsd_request_done(&request);
        assert_null(request.block);
    }
}

static void test_no_descriptor_is_left(void **state)
{
    (void)state;
    const struct cwsd_string_list nothing = {NULL, 0};
    struct cwsd_request request;
    struct cws_error err = {CWS_OK, ""};
    struct rlimit limit, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    cwsd_request_init(&request, CWSI_START, 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    char word[CWSI_MAX_INLINE + 1];
    memset(word, 'x', sizeof(word) - 1);
    word[sizeof(word) - 1] = '\0';
    enum cws_status status = cwsd_request_set_command(&request, &LIST(word), &nothing, "/", &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(status, CWS_SYSTEM);
    assert_non_null(strstr(err.text, "memfd_create: "));
    cwsd_request_done(&request);
}

static void test_scripts_one_after_the_other(void **state)
{
    (void)state;
    struct cwsd_request request;
    struct cws_error err = {CWS_OK, ""};
    struct cwsd_script scripts[3];
    const struct cwsd_script *all[] = {&scripts[0], &scripts[1], &scripts[2]};
    for (size_t i = 0; i < 3; i++)
        cwsd_script_init(&scripts[i]);
    cwsd_script_mkdir(&scripts[0], "/a", 0700); /* the one in the middle has no step */
    cwsd_script_mkdir(&scripts[2], "/bc", 0755);
    cwsd_request_init(&request, CWSI_SETUP, CWSI_MAIN);
    assert_int_equal(cwsd_request_set_scripts(&request, all, 3, &err), CWS_OK);
    const struct cws_buf *first = &scripts[0].steps, *last = &scripts[2].steps;
    assert_int_equal(request.packet.size, first->len + last->len);
    uint8_t *block = block_of(&request);
    assert_memory_equal(block, cws_buf_bytes(first), first->len);
    assert_memory_equal(block + first->len, cws_buf_bytes(last), last->len);
    test_free(block);
    cwsd_request_done(&request);

    cwsd_request_init(&request, CWSI_SETUP, CWSI_MAIN); /* nothing to do is fine */
    assert_int_equal(cwsd_request_set_scripts(&request, all, 0, &err), CWS_OK);
    assert_int_equal(request.packet.size, 0);
    assert_int_equal(request.fd_count, 1);
    cwsd_request_done(&request);
    for (size_t i = 0; i < 3; i++)
        cwsd_script_done(&scripts[i]);
}

static void test_scripts_that_failed(void **state)
{
    (void)state;
    struct cwsd_request request;
    struct cws_error err = {CWS_OK, ""};
    struct cwsd_script fine, failed;
    const struct cwsd_script *both[] = {&fine, &failed};
    cwsd_script_init(&fine);
    cwsd_script_init(&failed);
    cwsd_script_mkdir(&fine, "/a", 0700);
    cws_alloc_fail_at(1);
    cwsd_script_mkdir(&failed, "/b", 0700);
    cwsd_request_init(&request, CWSI_SETUP, CWSI_MAIN);
    assert_int_equal(cwsd_request_set_scripts(&request, both, 2, &err), CWS_NO_MEMORY);
    assert_string_equal(err.text, "the sandbox's files: out of memory");
    int fd = request.fds[0];
    assert_int_equal(request.fd_count, 1);
    cwsd_request_done(&request);
    assert_false(is_open(fd));
    cwsd_script_done(&fine);
    cwsd_script_done(&failed);
}

static void test_descriptors_are_taken_over(void **state)
{
    (void)state;
    struct cwsd_request request;
    struct cws_error err = {CWS_OK, ""};
    struct cws_list queue;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    cws_list_init(&queue);
    cwsd_request_init(&request, CWSI_START, 3);
    assert_int_equal(
        cwsd_request_set_command(&request, &LIST(T("cat")), &LIST(T("A=1")), "/", &err), CWS_OK);
    cwsd_request_add_fd(&request, CWSI_STDIN, fds[0]);
    cwsd_request_add_fd(&request, CWSI_STDERR, fds[1]); /* stdout is not given */
    assert_int_equal(request.fd_count, 2);
    assert_int_equal(request.packet.flags, CWSI_STDIN | CWSI_STDERR);
    assert_int_equal(request.fds[0], fds[0]);
    assert_int_equal(request.fds[1], fds[1]);
    cws_list_push_back(&queue, &request.node);
    cwsd_request_done(&request);
    assert_true(cws_list_is_empty(&queue));
    assert_false(is_open(fds[0]) || is_open(fds[1]));
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cwsd_request_done(&request); /* once more: closes nobody else's descriptor */
    assert_true(is_open(next));
    close(next);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(test_commands),
    UNIT_TEST(test_a_command_of_no_words),
    UNIT_TEST(test_more_than_the_kernel_takes),
    UNIT_TEST(test_no_command_at_all),
    UNIT_TEST(test_a_command_without_memory),
    UNIT_TEST(test_a_small_block_needs_no_file),
    UNIT_TEST(test_no_descriptor_is_left),
    UNIT_TEST(test_scripts_one_after_the_other),
    UNIT_TEST(test_scripts_that_failed),
    UNIT_TEST(test_descriptors_are_taken_over),
};

UNIT_MAIN(tests)
