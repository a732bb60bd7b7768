#include "sandboxes/health.h"

#include <stdio.h>

static void set_timer(struct cwsd_health *health, uint64_t delay_ns);

static void forget_exec(struct cwsd_health *health)
{
    if (health->exec)
        cwsd_exec_free(health->exec);
    health->exec = NULL;
}

void cwsd_health_end(struct cwsd_health *health)
{
    if (!health->box)
        return;
    cws_timer_cancel(health->loop, &health->timer);
    forget_exec(health);
    health->box = NULL;
}

static void note_failure(struct cwsd_health *health, const char *why)
{
    char text[160];
    uint64_t age_ns = cws_clock_now_ns() - health->begun_ns;
    /* The first one comes at once, which is early. */
    if (age_ns >= health->plan->start_period_ns && age_ns >= health->plan->interval_ns)
        health->failures++;
    if (health->failures < health->plan->retries) {
        set_timer(health, health->plan->interval_ns);
        return;
    }
    snprintf(text, sizeof(text), "its health check has failed %u times; at last it %s",
             health->failures, why);
    cwsd_health_end(health);
    health->failed(health, text);
}

static void on_exited(void *ctx, int exit_code)
{
    struct cwsd_health *health = ctx;
    char why[40];
    forget_exec(health);
    cws_timer_cancel(health->loop, &health->timer);
    if (exit_code) {
        snprintf(why, sizeof(why), "ended with %d", exit_code);
        note_failure(health, why);
        return;
    }
    health->healthy = true;
    cwsd_health_end(health);
    health->passed(health);
}

static void on_failed(void *ctx, const struct cws_error *err)
{
    struct cwsd_health *health = ctx;
    (void)err;
    forget_exec(health);
    cws_timer_cancel(health->loop, &health->timer);
    note_failure(health, "could not be run");
}

static void ignore_start(void *ctx)
{
    (void)ctx;
}

static void ignore_output(void *ctx, bool is_stderr, const uint8_t *data, size_t len)
{
    (void)ctx, (void)is_stderr, (void)data, (void)len;
}

static const struct cwsd_exec_events events = {ignore_start, ignore_output, ignore_start,
                                               on_exited,    on_failed,     NULL};

static void check(struct cwsd_health *health)
{
    const struct cwsd_exec_options options = {
        .command = {health->plan->check, health->plan->check_count}};
    struct cws_error err;
    if (cwsd_exec_start(health->box, &options, &events, health, &health->exec, &err) == CWS_OK)
        set_timer(health, health->plan->timeout_ns);
    else
        note_failure(health, "could not be run");
}

static void on_timer(struct cws_timer *timer)
{
    struct cwsd_health *health = cws_container_of(timer, struct cwsd_health, timer);
    if (!health->exec) {
        check(health);
        return;
    }
    forget_exec(health);
    note_failure(health, "took too long");
}

static void set_timer(struct cwsd_health *health, uint64_t delay_ns)
{
    if (cws_timer_set(health->loop, &health->timer, cws_clock_now_ns() + delay_ns) == CWS_OK)
        return;
    cwsd_health_end(health);
    health->failed(health, "there is no memory to check its health");
}

void cwsd_health_begin(struct cwsd_health *health, struct cwsd_box *box)
{
    health->box = box;
    health->begun_ns = cws_clock_now_ns();
    cws_timer_init(&health->timer, on_timer);
    set_timer(health, 0);
}
