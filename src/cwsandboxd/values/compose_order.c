/* depends_on and healthcheck: what a service waits for, and when others may stop waiting for it. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "io/timer.h"
#include "values/compose_private.h"
#include "values/text.h"

#define DEFAULT_RETRIES 3
#define DEFAULT_TIME_NS (30 * CWS_NS_PER_S)
#define MAX_RETRIES     1000
#define MIN_PACE_NS     (10 * CWS_NS_PER_MS)
#define MAX_TIME_NS     (24 * 3600 * CWS_NS_PER_S)

/* ---- depends_on ----------------------------------------------------------------------------- */

static bool add_need(const struct cwsd_compose_at *at, unsigned line, const char *service,
                     enum cwsd_need need, struct cwsd_plan_row *row)
{
    for (size_t i = 0; i < at->services->count; i++)
        if (strcmp(at->services->items[i].key, service) == 0) {
            row->needs[need] |= 1u << i;
            return true;
        }
    return cwsd_compose_refuse(at, line, "\"%s\" is no service of the file",
                               cwsd_text_short(service).text);
}

static bool read_condition(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                           enum cwsd_need *out_need)
{
    static const char *const names[CWSD_NEEDS] = {"service_started", "service_healthy",
                                                  "service_completed_successfully"};
    for (unsigned i = 0; node->kind == CWSD_YAML_TEXT && i < CWSD_NEEDS; i++)
        if (strcmp(node->text, names[i]) == 0) {
            *out_need = i;
            return true;
        }
    return cwsd_compose_refuse(at, node->line, "that is no condition for another service");
}

static bool read_need(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                      enum cwsd_need *out_need)
{
    *out_need = CWSD_NEED_STARTED;
    if (node->kind != CWSD_YAML_MAP)
        return cwsd_compose_refuse(at, node->line, "must be a map with a condition");
    for (size_t i = 0; i < node->count; i++) {
        const struct cwsd_yaml_item *item = &node->items[i];
        bool is_true =
            item->value->kind == CWSD_YAML_TEXT && strcmp(item->value->text, "true") == 0;
        if (strcmp(item->key, "condition") == 0) {
            if (!read_condition(at, item->value, out_need))
                return false;
        } else if (strcmp(item->key, "required") != 0 || !is_true) {
            return cwsd_compose_refuse_here(at, item->key_line, cwsd_text_short(item->key).text);
        }
    }
    return true;
}

bool cwsd_compose_depends_on(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                             struct cwsd_plan_row *row)
{
    if (node->kind != CWSD_YAML_LIST && node->kind != CWSD_YAML_MAP)
        return cwsd_compose_refuse(at, node->line, "must be a list or a map of services");
    for (size_t i = 0; i < node->count; i++) {
        const struct cwsd_yaml_item *item = &node->items[i];
        enum cwsd_need need = CWSD_NEED_STARTED;
        bool mapped = node->kind == CWSD_YAML_MAP;
        if (!mapped && item->value->kind != CWSD_YAML_TEXT)
            return cwsd_compose_refuse(at, item->value->line, "must be a service's name");
        if (mapped && !read_need(at, item->value, &need))
            return false;
        if (!add_need(at, item->value->line, mapped ? item->key : item->value->text, need, row))
            return false;
    }
    return true;
}

/* ---- healthcheck ---------------------------------------------------------------------------- */

/* "1m30s", "500ms". */
static bool parse_duration(const char *text, uint64_t *out_ns)
{
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = {{"us", 1000},
                 {"ms", CWS_NS_PER_MS},
                 {"s", CWS_NS_PER_S},
                 {"m", 60 * CWS_NS_PER_S},
                 {"h", 3600 * CWS_NS_PER_S}};
    *out_ns = 0;
    do {
        char *end;
        if (*text < '0' || *text > '9')
            return false;
        double number = strtod(text, &end), factor = 0;
        size_t len = strspn(end, "hmsu");
        for (size_t i = 0; i < CWS_ARRAY_LEN(units); i++)
            if (strlen(units[i].unit) == len && memcmp(end, units[i].unit, len) == 0)
                factor = (double)units[i].ns;
        if (factor == 0 || number * factor > (double)(MAX_TIME_NS - *out_ns))
            return false;
        *out_ns += (uint64_t)(number * factor);
        text = end + len;
    } while (*text);
    return true;
}

static bool read_time(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                      uint64_t *out_ns)
{
    return (node->kind == CWSD_YAML_TEXT && parse_duration(node->text, out_ns)) ||
           cwsd_compose_refuse(at, node->line,
                               "must be a time of at most a day, such as \"1m30s\"");
}

/* Each check is a process that the daemon has started. None at all between two would keep it busy.
 */
static bool read_pace(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                      const char *key, uint64_t *out_ns)
{
    return read_time(at, node, out_ns) &&
           (*out_ns >= MIN_PACE_NS ||
            cwsd_compose_refuse(at, node->line, "%s must be at least 10ms", key));
}

static bool read_retries(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                         unsigned *out_retries)
{
    char *end = NULL;
    unsigned long number = node->kind == CWSD_YAML_TEXT ? strtoul(node->text, &end, 10) : 0;
    if (!end || *end || number < 1 || number > MAX_RETRIES)
        return cwsd_compose_refuse(at, node->line, "retries must be from 1 to %d", MAX_RETRIES);
    *out_retries = (unsigned)number;
    return true;
}

static bool take_words(const struct cwsd_compose_at *at, char *const *prefix, size_t prefix_count,
                       char **words, size_t count, struct cwsd_plan_row *row)
{
    row->check = cws_calloc(prefix_count + count + 1, sizeof(*row->check));
    if (!row->check)
        return cwsd_fault_set_memory(at->fault);
    for (size_t i = 0; i < prefix_count; i++)
        if (!(row->check[row->check_count++] = cws_strdup(prefix[i])))
            return cwsd_fault_set_memory(at->fault);
    for (size_t i = 0; i < count; i++) {
        row->check[row->check_count++] = words[i];
        words[i] = NULL;
    }
    return true;
}

static bool take_shell(const struct cwsd_compose_at *at, char **words, size_t count,
                       struct cwsd_plan_row *row)
{
    char *const shell[] = {(char *)"/bin/sh", (char *)"-c"};
    return take_words(at, shell, CWS_ARRAY_LEN(shell), words, count, row);
}

static bool read_test(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                      struct cwsd_plan_row *row)
{
    char **words = NULL;
    size_t count = 0;
    bool good = true;
    if (row->check)
        return cwsd_compose_refuse(at, node->line, "there are two tests");
    if (node->kind == CWSD_YAML_TEXT) {
        char *text = cwsd_compose_text(at, node);
        good = text && take_shell(at, &text, 1, row);
        cws_free(text);
        return good;
    }
    if (!cwsd_compose_words(at, node, &words, &count))
        return false;
    const char *kind = count ? words[0] : "";
    if (strcmp(kind, "CMD") == 0 && count > 1)
        good = take_words(at, NULL, 0, words + 1, count - 1, row);
    else if (strcmp(kind, "CMD-SHELL") == 0 && count == 2)
        good = take_shell(at, words + 1, 1, row);
    else if (strcmp(kind, "NONE") != 0 || count != 1)
        good = cwsd_compose_refuse(at, node->line,
                                   "must begin with CMD and a command, with CMD-SHELL and one "
                                   "text, or be NONE");
    cwsd_compose_free_words(words, count);
    return good;
}

static bool read_health_key(const struct cwsd_compose_at *at, const struct cwsd_yaml_item *item,
                            struct cwsd_plan_row *row)
{
    uint64_t unused;
    if (strcmp(item->key, "test") == 0)
        return read_test(at, item->value, row);
    if (strcmp(item->key, "interval") == 0)
        return read_pace(at, item->value, item->key, &row->interval_ns);
    if (strcmp(item->key, "timeout") == 0)
        return read_pace(at, item->value, item->key, &row->timeout_ns);
    if (strcmp(item->key, "start_period") == 0)
        return read_time(at, item->value, &row->start_period_ns);
    if (strcmp(item->key, "retries") == 0)
        return read_retries(at, item->value, &row->retries);
    /* It says how often to look during the start period; here that is the interval. */
    if (strcmp(item->key, "start_interval") == 0)
        return read_time(at, item->value, &unused);
    return cwsd_compose_refuse_here(at, item->key_line, cwsd_text_short(item->key).text);
}

bool cwsd_compose_healthcheck(const struct cwsd_compose_at *at, const struct cwsd_yaml *node,
                              struct cwsd_plan_row *row)
{
    row->interval_ns = row->timeout_ns = DEFAULT_TIME_NS;
    row->retries = DEFAULT_RETRIES;
    if (node->kind != CWSD_YAML_MAP)
        return cwsd_compose_refuse(at, node->line, "must be a map");
    for (size_t i = 0; i < node->count; i++)
        if (!read_health_key(at, &node->items[i], row))
            return false;
    return true;
}

/* ---- all of them ---------------------------------------------------------------------------- */

bool cwsd_compose_check_order(const struct cwsd_yaml *services, const struct cwsd_plan *plan,
                              struct cwsd_fault *fault)
{
    for (size_t i = 0; i < plan->count; i++)
        for (size_t j = 0; j < plan->count; j++)
            if (plan->rows[i].needs[CWSD_NEED_HEALTHY] & 1u << j && !plan->rows[j].check)
                return cwsd_fault_set_invalid(
                    fault, CWSD_COMPOSE_FIELD,
                    "services.%s.depends_on: \"%s\" has no healthcheck that it could pass",
                    cwsd_text_short(services->items[i].key).text,
                    cwsd_text_short(services->items[j].key).text);
    int circle = cwsd_plan_find_circle(plan);
    return circle < 0 || cwsd_fault_set_invalid(fault, CWSD_COMPOSE_FIELD,
                                                "services.%s.depends_on: it waits for itself",
                                                cwsd_text_short(services->items[circle].key).text);
}
