#include "values/plan.h"

#include "base/alloc.h"

struct cwsd_plan *cwsd_plan_new(size_t count)
{
    struct cwsd_plan *plan = cws_calloc(1, sizeof(*plan));
    if (plan)
        plan->count = count;
    return plan;
}

void cwsd_plan_free(struct cwsd_plan *plan)
{
    for (size_t i = 0; plan && i < plan->count; i++) {
        for (size_t j = 0; j < plan->rows[i].check_count; j++)
            cws_free(plan->rows[i].check[j]);
        cws_free(plan->rows[i].check);
    }
    cws_free(plan);
}

int cwsd_plan_find_circle(const struct cwsd_plan *plan)
{
    uint32_t done = 0;
    /* Each round but the last settles a container. */
    for (size_t round = 0; round < plan->count; round++)
        for (size_t i = 0; i < plan->count; i++) {
            const uint32_t *needs = plan->rows[i].needs;
            uint32_t all =
                needs[CWSD_NEED_STARTED] | needs[CWSD_NEED_HEALTHY] | needs[CWSD_NEED_SUCCESS];
            if (!(all & ~done))
                done |= 1u << i;
        }
    for (size_t i = 0; i < plan->count; i++)
        if (!(done & 1u << i))
            return (int)i;
    return -1;
}
