#include "archive/member.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As it lies in the archive. Numbers are octal digits and end with a NUL. */
struct header {
    char name[CWS_MEMBER_NAME_MAX];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12];
    char mtime[12];
    char checksum[8];
    char kind;
    char link[100];
    char magic[8];
    char unused[CWS_MEMBER_BLOCK - 265];
};

static_assert(sizeof(struct header) == CWS_MEMBER_BLOCK, "a header is one block");

static const int64_t mtime_max = 077777777777; /* eleven digits */

/* All digits of a field, with zeros in front. What is behind them stays. */
static void put_octal(char *field, size_t digits, uint64_t value)
{
    while (digits > 0) {
        field[--digits] = (char)('0' + (value & 7));
        value >>= 3;
    }
}

static void put_header(uint8_t *block, const struct stat *found, const char *name, size_t name_len)
{
    struct header header = {
        .uid = "0000000",
        .gid = "0000000",
        .checksum = "       ", /* all spaces while the sum is taken */
        .kind = '0',
        .magic = "ustar  ",
    };
    memcpy(header.name, name, name_len);
    put_octal(header.mode, 7, found->st_mode & 07777);
    put_octal(header.size, 11, (uint64_t)found->st_size);
    put_octal(header.mtime, 11, (uint64_t)found->st_mtim.tv_sec);
    header.checksum[7] = ' ';
    memcpy(block, &header, sizeof(header));

    uint32_t sum = 0;
    for (size_t i = 0; i < sizeof(header); i++)
        sum += block[i];
    char *checksum = (char *)block + offsetof(struct header, checksum);
    put_octal(checksum, 6, sum);
    checksum[6] = '\0';
}

bool cws_member_read(struct cws_member *member, const char *place, const char *name,
                     size_t name_len)
{
    if (name_len > CWS_MEMBER_NAME_MAX)
        return false;
    /* Not waited for, in case that it has become a FIFO. */
    int opened = open(place, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (opened < 0)
        return false;
    struct stat found;
    bool is_read = fstat(opened, &found) == 0 && S_ISREG(found.st_mode) &&
                   found.st_size <= CWS_MEMBER_FILE_MAX && found.st_mtim.tv_sec >= 0 &&
                   found.st_mtim.tv_sec <= mtime_max;
    if (is_read) {
        /* One byte more than there should be shows whether it has grown. */
        size_t size = (size_t)found.st_size;
        ssize_t got = read(opened, member->data + CWS_MEMBER_BLOCK, size + 1);
        is_read = got == found.st_size;
        if (is_read) {
            size_t padding = -size % CWS_MEMBER_BLOCK;
            put_header(member->data, &found, name, name_len);
            memset(member->data + CWS_MEMBER_BLOCK + size, 0, padding);
            member->file_size = size;
            member->len = CWS_MEMBER_BLOCK + size + padding;
        }
    }
    close(opened);
    return is_read;
}
