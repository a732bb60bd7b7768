#include "sandboxes/usage.h"

#include <unistd.h>

#define BYTES_PER_MB 1e6

void cwsd_usage_init(struct cwsd_usage *usage, unsigned (*ask)(struct cwsd_usage *usage),
                     uint64_t now_ns)
{
    *usage = (struct cwsd_usage){.ask = ask, .measured_ns = now_ns};
    cws_list_init(&usage->readers);
}

bool cwsd_usage_is_fresh(const struct cwsd_usage *usage, uint64_t now_ns)
{
    return usage->known &&
           now_ns - usage->measured_ns <= CWSD_USAGE_LIFE_NS + CWSD_USAGE_PATIENCE_NS;
}

bool cwsd_usage_join(struct cwsd_usage *usage, uint64_t now_ns, struct cwsd_usage_look *look,
                     struct cwsd_usage_reader *reader)
{
    if (usage->known && now_ns - usage->measured_ns < CWSD_USAGE_LIFE_NS)
        return false;
    /* One that has not answered in time holds nobody up again. */
    if (usage->asked_ns && now_ns - usage->asked_ns > CWSD_USAGE_PATIENCE_NS)
        return false;
    *reader = (struct cwsd_usage_reader){.look = look, .usage = usage};
    cws_list_push_back(&usage->readers, &reader->node);
    look->due++;
    return true;
}

void cwsd_usage_ask(struct cwsd_usage_reader *reader, uint64_t now_ns)
{
    struct cwsd_usage *usage = reader->usage;
    if (cws_list_is_empty(&reader->node) || usage->asked_ns)
        return; /* it has answered, it is gone, or somebody else has asked */
    usage->due = usage->ask(usage);
    if (usage->due)
        usage->asked_ns = now_ns;
    else
        cwsd_usage_forget(reader);
}

void cwsd_usage_forget(struct cwsd_usage_reader *reader)
{
    if (!cws_list_is_empty(&reader->node))
        reader->look->due--;
    cws_list_remove(&reader->node);
}

void cwsd_usage_end(struct cwsd_usage *usage)
{
    struct cws_list *node;
    usage->due = 0;
    while ((node = cws_list_pop_front(&usage->readers)) != NULL) {
        struct cwsd_usage_look *look = cws_list_entry(node, struct cwsd_usage_reader, node)->look;
        if (--look->due == 0)
            look->complete(look);
    }
}

/* `value` is outside input, and may be anything. */
static int64_t limited(double value, double most)
{
    return (int64_t)(value < most ? value + 0.5 : most);
}

static double host_millicores(void)
{
    static double cached; /* asking takes the opening of a file */
    if (cached == 0)
        cached = 1000 * (double)sysconf(_SC_NPROCESSORS_ONLN);
    return cached;
}

/* All that were asked have answered, or ended. */
static void take_sum(struct cwsd_usage *usage, uint64_t now_ns)
{
    const struct cwsi_usage *report = &usage->sum;
    uint64_t elapsed_ns = now_ns - usage->measured_ns;
    /* The processes are looked at one after the other. One that ends meanwhile may count twice, or
     * not at all until the next time. */
    uint64_t ticks = report->ticks > usage->ticks ? report->ticks - usage->ticks : 0;
    double seconds = (double)(elapsed_ns > CWS_NS_PER_S ? elapsed_ns : CWS_NS_PER_S) / 1e9;
    double millicores = (double)ticks / (double)sysconf(_SC_CLK_TCK) * 1000 / seconds;
    double mb = (double)report->pages * (double)sysconf(_SC_PAGESIZE) / BYTES_PER_MB;
    usage->cpu_millicores = limited(millicores, host_millicores());
    usage->memory_mb = limited(mb, (double)INT32_MAX);
    usage->ticks = report->ticks;
    usage->sum = (struct cwsi_usage){0};
    usage->measured_ns = now_ns;
    usage->asked_ns = 0;
    usage->known = true;
    cwsd_usage_end(usage);
}

/* Of outside input, which may be anything. */
static uint64_t add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void cwsd_usage_note(struct cwsd_usage *usage, const struct cwsi_usage *report, uint64_t now_ns)
{
    if (usage->due == 0)
        return; /* the sandbox ends */
    usage->sum.ticks = add(usage->sum.ticks, report->ticks);
    usage->sum.pages = add(usage->sum.pages, report->pages);
    if (--usage->due == 0)
        take_sum(usage, now_ns);
}

void cwsd_usage_miss(struct cwsd_usage *usage, uint64_t now_ns)
{
    const struct cwsi_usage nothing = {0};
    cwsd_usage_note(usage, &nothing, now_ns);
}
