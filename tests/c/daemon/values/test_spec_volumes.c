/* Which volumes and mounts a spec may have, and what is made of them. */
#include "support/daemon_help.h"

#include "base/alloc.h"
#include "values/bounds.h"
#include "values/spec_volumes.h"

#define MOUNTS "spec.containers[0].volume_mounts"

/* A spec with two volumes, a file, and two mounts of the first volume, to spoil. */
struct parts {
    cwsd_pb_spec spec;
    cwsd_pb_container container, *containers[1];
    cwsd_pb_volume volume[2], *volumes[CWSD_MAX_VOLUMES + 1];
    cwsd_pb_scratch scratch[2];
    cwsd_pb_mount mount[2], *mounts[CWSD_MAX_MOUNTS + 1];
    cwsd_pb_file file, *files[1];
    struct cwsd_fault fault;
};

static void prepare(struct parts *parts)
{
    static const char *const names[] = {"data", "scratch-2"};
    static const char *const paths[] = {"/data", "/data/inner"};
    memset(parts, 0, sizeof(*parts));
    plain_spec(&parts->spec, &parts->container, parts->containers);
    for (size_t i = 0; i < 2; i++) {
        coreweave__sandbox__v1__sandbox_volume__init(&parts->volume[i]);
        coreweave__sandbox__v1__scratch_volume__init(&parts->scratch[i]);
        coreweave__sandbox__v1__volume_mount__init(&parts->mount[i]);
        parts->volume[i].name = (char *)names[i];
        parts->volume[i].source_case = COREWEAVE__SANDBOX__V1__SANDBOX_VOLUME__SOURCE_SCRATCH;
        parts->volume[i].scratch = &parts->scratch[i];
        parts->volumes[i] = &parts->volume[i];
        parts->mount[i].volume = (char *)"data";
        parts->mount[i].mount_path = (char *)paths[i];
        parts->mounts[i] = &parts->mount[i];
    }
    coreweave__sandbox__v1__file_mount__init(&parts->file);
    parts->file.path = (char *)"/data/file";
    parts->files[0] = &parts->file;
    parts->container.files = parts->files;
    parts->container.n_files = 1;
    parts->spec.volumes = parts->volumes;
    parts->spec.n_volumes = 2;
    parts->container.volume_mounts = parts->mounts;
    parts->container.n_volume_mounts = 2;
}

static bool check(struct parts *parts)
{
    parts->fault = (struct cwsd_fault){.code = CWS_GRPC_OK};
    return cwsd_spec_check_volumes(&parts->spec, &parts->fault);
}

static void expect_fault(struct parts *parts, const char *field, const char *text)
{
    assert_false(check(parts));
    assert_invalid(&parts->fault, field);
    if (!strstr(parts->fault.message, text))
        fail_msg("\"%s\" does not say \"%s\"", parts->fault.message, text);
}

static void what_is_sound_is_accepted(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    parts.scratch[0].size = (char *)"1.5Mi";
    parts.scratch[0].medium = COREWEAVE__SANDBOX__V1__STORAGE_MEDIUM__STORAGE_MEDIUM_DISK;
    parts.mount[1].sub_path = (char *)"some/..where/...";
    assert_true(check(&parts));
    assert_int_equal(cwsd_spec_volume_bytes(&parts.volume[0]), 3 << 19);
    assert_int_equal(cwsd_spec_volume_bytes(&parts.volume[1]), 0);
    assert_ptr_equal(cwsd_spec_find_volume(&parts.spec, "scratch-2"), &parts.volume[1]);
    assert_null(cwsd_spec_find_volume(&parts.spec, "none"));
    parts.container.n_volume_mounts = 0; /* declared only */
    assert_true(check(&parts));
}

static void no_source_means_a_scratch_volume(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    parts.volume[1].source_case = COREWEAVE__SANDBOX__V1__SANDBOX_VOLUME__SOURCE__NOT_SET;
    cwsd_pb_spec *spec = copy_of(&parts.spec);
    for (int twice = 0; twice < 2; twice++) {
        assert_true(cwsd_spec_check_volumes(spec, &parts.fault));
        assert_true(cwsd_spec_is_scratch(spec->volumes[1]));
        assert_int_equal(cwsd_spec_volume_bytes(spec->volumes[1]), 0);
    }
    cwsd_wire_free(spec);
}

static void names(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "A", "a_b", "-a", "a-", "a/b", "..", "\xc3\xa4"};
    struct parts parts;
    char longest[65];
    prepare(&parts);
    parts.container.n_volume_mounts = 0;
    for (size_t i = 0; i < CWS_ARRAY_LEN(bad); i++) {
        parts.volume[1].name = (char *)bad[i];
        expect_fault(&parts, "spec.volumes", "63");
    }
    memset(longest, 'a', 64);
    longest[64] = '\0';
    parts.volume[1].name = longest;
    expect_fault(&parts, "spec.volumes", "63");
    longest[63] = '\0';
    assert_true(check(&parts));
    parts.volume[1].name = (char *)"data";
    expect_fault(&parts, "spec.volumes", "two volumes are called \"data\"");
}

static void sizes(void **state)
{
    (void)state;
    static const char *const bad[] = {"0", "big", "-1Gi", "0Mi", "99Ei"};
    struct parts parts;
    prepare(&parts);
    for (size_t i = 0; i < CWS_ARRAY_LEN(bad); i++) {
        parts.scratch[0].size = (char *)bad[i];
        expect_fault(&parts, "spec.volumes", bad[i]);
    }
    parts.scratch[0].size = (char *)"1";
    assert_true(check(&parts));
    parts.scratch[1].medium = 7;
    expect_fault(&parts, "spec.volumes", "7");
}

static void too_many(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    parts.spec.n_volumes = CWSD_MAX_VOLUMES + 1;
    expect_fault(&parts, "spec.volumes", "33 volumes");
    parts.spec.n_volumes = 2;
    parts.container.n_volume_mounts = CWSD_MAX_MOUNTS + 1;
    expect_fault(&parts, MOUNTS, "101 mounts");
}

static void mounts_are_of_volumes(void **state)
{
    (void)state;
    struct parts parts;
    prepare(&parts);
    parts.mount[1].volume = (char *)"other";
    expect_fault(&parts, MOUNTS, "no volume \"other\"");
    parts.mount[1].volume = (char *)"";
    expect_fault(&parts, MOUNTS, "no volume \"\"");
}

static void where_nothing_can_be_mounted(void **state)
{
    (void)state;
    static const struct {
        const char *path, *says;
    } rows[] = {
        {"/", "the root"},
        {"//.", "the root"},
        {"/proc", "/proc"},
        {"/proc/self", "/proc"},
        {"//./proc/", "/proc"},
        {"/dev", "/dev"},
        {"/dev/shm", "/dev"},
        {"/sys/fs/cgroup", "/sys"},
        {"/.cwsandbox/volumes", "/.cwsandbox"},
        {"", "absolute"},
        {"data", "absolute"},
        {"/data/../proc", ".."},
        {"/data/", "both \"data\" and \"data\""},
        {"/data/file", "the file \"/data/file\""},
        {"/data/file/below", "the file \"/data/file\""},
    };
    struct parts parts;
    prepare(&parts);
    for (size_t i = 0; i < CWS_ARRAY_LEN(rows); i++) {
        parts.mount[1].mount_path = (char *)rows[i].path;
        expect_fault(&parts, MOUNTS, rows[i].says);
    }
    parts.mount[1].mount_path = (char *)"/process";
    assert_true(check(&parts));
}

static void sub_paths_stay_inside(void **state)
{
    (void)state;
    static const char *const bad[] = {"/a", "..",    "../a", "a/../b", "a/..",
                                      ".",  "a/./b", "a//b", "a/"};
    struct parts parts;
    prepare(&parts);
    for (size_t i = 0; i < CWS_ARRAY_LEN(bad); i++) {
        parts.mount[0].sub_path = (char *)bad[i];
        expect_fault(&parts, MOUNTS, "relative");
    }
    char *part = test_calloc(1, 260);
    memset(part, 'a', 256);
    parts.mount[0].sub_path = part;
    expect_fault(&parts, MOUNTS, "too long");
    part[255] = '\0';
    assert_true(check(&parts));
    test_free(part);
}

/* Volumes of these sizes in 1 MiB, and what becomes of the sizes; NULL: it has none of its own. */
static void expect_sizes(size_t count, const char *const *asked, const char *const *given)
{
    cwsd_pb_spec spec;
    cwsd_pb_volume volumes[4], *rows[4];
    cwsd_pb_scratch scratches[4];
    coreweave__sandbox__v1__sandbox_spec__init(&spec);
    for (size_t i = 0; i < count; i++) {
        coreweave__sandbox__v1__sandbox_volume__init(&volumes[i]);
        coreweave__sandbox__v1__scratch_volume__init(&scratches[i]);
        volumes[i].source_case = COREWEAVE__SANDBOX__V1__SANDBOX_VOLUME__SOURCE_SCRATCH;
        volumes[i].scratch = &scratches[i];
        if (asked[i])
            scratches[i].size = cws_strdup(asked[i]);
        rows[i] = &volumes[i];
    }
    spec.volumes = rows;
    spec.n_volumes = count;
    assert_int_equal(cwsd_spec_fit_volumes(&spec, 1 << 20), CWS_OK);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(scratches[i].size, given[i] ? given[i] : "");
        if (asked[i])
            cws_free(scratches[i].size);
    }
}

#define TEXTS(...) ((const char *const[]){__VA_ARGS__})

static void what_fits_stays(void **state)
{
    (void)state;
    expect_sizes(1, TEXTS("1Mi"), TEXTS("1Mi"));
    expect_sizes(2, TEXTS("0.5Mi", "524288"), TEXTS("0.5Mi", "524288"));
    expect_sizes(3, TEXTS("1", NULL, "100Ki"), TEXTS("1", NULL, "100Ki"));
}

static void what_does_not_fit_is_shared(void **state)
{
    (void)state;
    expect_sizes(1, TEXTS("10Gi"), TEXTS("1024Ki"));
    expect_sizes(1, TEXTS("1048577"), TEXTS("1024Ki"));
    expect_sizes(1, TEXTS("8E"), TEXTS("1024Ki"));
    expect_sizes(2, TEXTS("10Gi", "20Gi"), TEXTS("512Ki", "512Ki"));
    expect_sizes(2, TEXTS("1Ki", "1Gi"), TEXTS("1Ki", "1020Ki"));
    expect_sizes(4, TEXTS("100Ki", "200Ki", "1Gi", "800Ki"),
                 TEXTS("100Ki", "200Ki", "360Ki", "360Ki"));
    expect_sizes(3, TEXTS("300Ki", "400Ki", "800Ki"), TEXTS("300Ki", "360Ki", "360Ki"));
    expect_sizes(2, TEXTS("1Mi", NULL), TEXTS("512Ki", NULL));
    expect_sizes(3, TEXTS("1Gi", NULL, "24Ki"), TEXTS("500Ki", NULL, "24Ki"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CWSD_TEST(what_is_sound_is_accepted),
        CWSD_TEST(no_source_means_a_scratch_volume),
        CWSD_TEST(names),
        CWSD_TEST(sizes),
        CWSD_TEST(too_many),
        CWSD_TEST(mounts_are_of_volumes),
        CWSD_TEST(where_nothing_can_be_mounted),
        CWSD_TEST(sub_paths_stay_inside),
        CWSD_TEST(what_fits_stays),
        CWSD_TEST(what_does_not_fit_is_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
