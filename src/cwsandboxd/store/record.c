#include "store/record.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "values/text.h"
#include "values/wire.h"

void cwsd_record_init(struct cwsd_record *record, struct timespec now)
{
    uint64_t random;
    memset(record, 0, sizeof(*record));
    cws_list_init(&record->in_all);
    cws_list_init(&record->in_finished);
    cws_list_init(&record->in_unsaved);
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        abort(); /* the kernel guarantees reads of this size; ids must not be guessable or equal */
    snprintf(record->id, sizeof(record->id), "sb-%016llx", (unsigned long long)random);
    record->state = CWSD_STATE(CREATING);
    record->created = now;
}

void cwsd_record_done(struct cwsd_record *record)
{
    cws_free(record->request_id);
    cws_free(record->display_name);
    cws_free(record->source_template_id);
    cws_free(record->rows);
    cwsd_wire_free(record->spec);
}

bool cwsd_record_is_finished(const struct cwsd_record *record)
{
    return record->state == CWSD_STATE(COMPLETED) || record->state == CWSD_STATE(FAILED) ||
           record->state == CWSD_STATE(TERMINATED);
}

void cwsd_record_running(struct cwsd_record *record, struct timespec now)
{
    record->started = now;
    if (record->state == CWSD_STATE(CREATING)) /* a stop may have come first */
        record->state = CWSD_STATE(RUNNING);
}

void cwsd_record_stopping(struct cwsd_record *record, enum cwsd_cause cause)
{
    if (cwsd_record_is_finished(record))
        return;
    record->state = CWSD_STATE(TERMINATING);
    if (record->cause == CWSD_CAUSE_NONE)
        record->cause = cause;
}

void cwsd_record_exited(struct cwsd_record *record, int exit_code)
{
    record->has_exit_code = true;
    record->exit_code = exit_code;
    record->state = CWSD_STATE(TERMINATING);
}

static void describe_exit(struct cwsd_record *record)
{
    if (record->exit_code > 128 && record->exit_code < 128 + 65)
        snprintf(record->reason, sizeof(record->reason), "the main command ended by signal %d",
                 (int)record->exit_code - 128);
    else
        snprintf(record->reason, sizeof(record->reason), "the main command ended with exit code %d",
                 (int)record->exit_code);
}

void cwsd_record_gone(struct cwsd_record *record, const char *broken, struct timespec now)
{
    bool exited_well = record->has_exit_code && record->exit_code == 0;
    record->ended = now;
    switch (record->cause) {
    case CWSD_CAUSE_NONE:
        record->state = exited_well ? CWSD_STATE(COMPLETED) : CWSD_STATE(FAILED);
        if (record->has_exit_code)
            describe_exit(record);
        else
            snprintf(record->reason, sizeof(record->reason), "%s",
                     broken ? broken : "the sandbox was lost");
        break;
    case CWSD_CAUSE_DELETE:
        record->state = exited_well ? CWSD_STATE(COMPLETED) : CWSD_STATE(TERMINATED);
        snprintf(record->reason, sizeof(record->reason), "deleted");
        break;
    case CWSD_CAUSE_LIFETIME:
        record->state = CWSD_STATE(TERMINATED);
        snprintf(record->reason, sizeof(record->reason), "its maximum lifetime has passed");
        break;
    case CWSD_CAUSE_SHUTDOWN:
        record->state = CWSD_STATE(TERMINATED);
        snprintf(record->reason, sizeof(record->reason), "the daemon was stopped");
        break;
    }
    cwsd_text_clean(record->reason);
}

void cwsd_record_orphaned(struct cwsd_record *record, struct timespec now)
{
    char why[sizeof(record->reason)];
    snprintf(why, sizeof(why), "%s", record->reason);
    for (size_t i = 0; i < record->spec->n_containers; i++)
        if (!cwsd_row_is_finished(&record->rows[i]))
            cwsd_row_gone(&record->rows[i]);
    cwsd_record_gone(record, why[0] ? why : "the daemon that ran it ended unexpectedly", now);
}
