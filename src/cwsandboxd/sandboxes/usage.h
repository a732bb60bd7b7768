/*
 * What a sandbox uses: processor time and memory of its processes. They are measured when somebody
 * asks, and at most once in CWSD_USAGE_LIFE_NS. Loop thread only.
 */
#pragma once

#include "base/base.h"
#include "base/list.h"
#include "cwsandbox-init/protocol.h"
#include "io/timer.h"

#define CWSD_USAGE_LIFE_NS CWS_NS_PER_S

/* How long an answer waits for the sandboxes in it. Usually that takes a millisecond. */
#define CWSD_USAGE_PATIENCE_NS (100 * CWS_NS_PER_MS)

/* Of one sandbox, which is one box or several. */
struct cwsd_usage {
    /* Asks the boxes. Returns how many will answer, by cwsd_usage_note or cwsd_usage_miss. */
    unsigned (*ask)(struct cwsd_usage *usage);
    uint64_t measured_ns;  /* or when the sandbox began to run */
    uint64_t ticks;        /* of processor time until then */
    uint64_t asked_ns;     /* 0: no report is due */
    unsigned due;          /* how many boxes have not answered */
    struct cwsi_usage sum; /* of what the others have answered */
    bool known;            /* it has been measured */
    int64_t cpu_millicores;
    int64_t memory_mb;
    struct cws_list readers; /* of cwsd_usage_reader.node */
};

/* What waits for reports of several sandboxes. */
struct cwsd_usage_look {
    size_t due; /* how many have not come yet */
    /* The last one has come, or its sandbox ends. May free the look. */
    void (*complete)(struct cwsd_usage_look *look);
};

/* A look at one of them. */
struct cwsd_usage_reader {
    struct cws_list node;
    struct cwsd_usage_look *look;
    struct cwsd_usage *usage;
};

/* The sandbox begins to run. */
void cwsd_usage_init(struct cwsd_usage *usage, unsigned (*ask)(struct cwsd_usage *usage),
                     uint64_t now_ns);

/* True: what is known is too old, so the reader was added to the look; cwsd_usage_ask must follow.
 * False: there is nothing to wait for. */
bool cwsd_usage_join(struct cwsd_usage *usage, uint64_t now_ns, struct cwsd_usage_look *look,
                     struct cwsd_usage_reader *reader);
/* Asks the reader's sandbox, unless it has been asked already. If it will not answer, the look does
 * not wait for it. Waking an init takes some 30 us. */
void cwsd_usage_ask(struct cwsd_usage_reader *reader, uint64_t now_ns);
/* The look does not wait for this one any more. Only for a reader that was added; harmless if
 * repeated. */
void cwsd_usage_forget(struct cwsd_usage_reader *reader);

/* A box's report. When the last one has come, their sum counts. Processor time is the average since
 * the one before, or the sandbox's beginning, but over a second at least: the kernel counts in
 * ticks. */
void cwsd_usage_note(struct cwsd_usage *usage, const struct cwsi_usage *report, uint64_t now_ns);
/* A box that was asked has ended, and will not answer. Harmless if none is due. */
void cwsd_usage_miss(struct cwsd_usage *usage, uint64_t now_ns);
/* The sandbox ends: nobody need wait. */
void cwsd_usage_end(struct cwsd_usage *usage);

/* Whether it is known and no older than an answer may wait for a newer one. */
bool cwsd_usage_is_fresh(const struct cwsd_usage *usage, uint64_t now_ns);
