#include "io/mailbox.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"

struct cws_mailbox {
    int fds[CWS_MAILBOX_FDS];
    atomic_int in_use; /* index into `fds` */
    struct cws_stack letters;
};

static void close_all(struct cws_mailbox *mailbox)
{
    for (int i = 0; i < CWS_MAILBOX_FDS; i++)
        if (mailbox->fds[i] >= 0)
            close(mailbox->fds[i]);
}

enum cws_status cws_mailbox_new(struct cws_mailbox **out_mailbox, struct cws_error *err)
{
    struct cws_mailbox *mailbox = cws_malloc(sizeof(*mailbox));
    if (!mailbox)
        return cws_error_set(err, CWS_NO_MEMORY, "out of memory for a mailbox");
    int errnum = 0;
    for (int i = 0; i < CWS_MAILBOX_FDS; i++) {
        mailbox->fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (mailbox->fds[i] < 0)
            errnum = errno;
    }
    if (errnum) {
        close_all(mailbox);
        cws_free(mailbox);
        return cws_error_set_errno(err, CWS_SYSTEM, errnum, "eventfd");
    }
    atomic_init(&mailbox->in_use, 0);
    cws_stack_init(&mailbox->letters);
    *out_mailbox = mailbox;
    return CWS_OK;
}

void cws_mailbox_free(struct cws_mailbox *mailbox)
{
    if (!mailbox)
        return;
    close_all(mailbox);
    cws_free(mailbox);
}

int cws_mailbox_fd(const struct cws_mailbox *mailbox, int which)
{
    return mailbox->fds[which];
}

static void letter_notify(struct cws_observer *observer)
{
    struct cws_letter *letter = cws_container_of(observer, struct cws_letter, observer);
    cws_mailbox_put(letter->mailbox, letter);
}

void cws_letter_init(struct cws_letter *letter, struct cws_mailbox *mailbox)
{
    cws_list_init(&letter->observer.node);
    letter->observer.notify = letter_notify;
    letter->mailbox = mailbox;
    letter->node.next = NULL;
}

void cws_mailbox_wake(struct cws_mailbox *mailbox)
{
    uint64_t one = 1;
    int fd = mailbox->fds[atomic_load(&mailbox->in_use)];
    while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

/* A put whose letter comes too late for a take sees the eventfd that is in use after that take. */
void cws_mailbox_put(struct cws_mailbox *mailbox, struct cws_letter *letter)
{
    /* Only the put that finds the box empty wakes: whoever put before it has done so. The letter
     * may be drained and gone from here on; the caller keeps the mailbox. */
    if (cws_stack_push(&mailbox->letters, &letter->node))
        cws_mailbox_wake(mailbox);
}

struct cws_letter *cws_mailbox_take(struct cws_mailbox *mailbox, int next_fd)
{
    atomic_store(&mailbox->in_use, next_fd);
    struct cws_stack_node *oldest = cws_stack_take(&mailbox->letters);
    return oldest ? cws_container_of(oldest, struct cws_letter, node) : NULL;
}

static bool is_needed(struct cws_mailbox *mailbox, int which)
{
    return !cws_stack_is_empty(&mailbox->letters) && atomic_load(&mailbox->in_use) == which;
}

void cws_mailbox_quiet(struct cws_mailbox *mailbox, int which)
{
    uint64_t count;
    if (is_needed(mailbox, which))
        return;
    while (read(mailbox->fds[which], &count, sizeof(count)) < 0 && errno == EINTR)
        ;
    /* A put in between may have had its wake-up read. */
    if (is_needed(mailbox, which))
        cws_mailbox_wake(mailbox);
}
