#include "sandboxes/log_shelf.h"

#include "values/bounds.h"

void cwsd_log_shelf_init(struct cwsd_log_shelf *shelf, uint64_t log_bytes)
{
    cws_list_init(&shelf->places);
    shelf->bytes = 0;
    shelf->log_bytes = log_bytes;
}

void cwsd_log_shelf_remove(struct cwsd_log_shelf *shelf, struct cwsd_shelf_place *place)
{
    if (!cws_list_is_empty(&place->node))
        shelf->bytes -= place->bytes;
    cws_list_remove(&place->node);
}

void cwsd_log_shelf_drop_oldest(struct cwsd_log_shelf *shelf)
{
    if (cws_list_is_empty(&shelf->places))
        return;
    struct cwsd_shelf_place *oldest =
        cws_list_entry(shelf->places.next, struct cwsd_shelf_place, node);
    cwsd_log_shelf_remove(shelf, oldest);
    cwsd_log_forget(oldest->log);
}

void cwsd_log_shelf_add(struct cwsd_log_shelf *shelf, struct cwsd_shelf_place *place)
{
    place->bytes = cwsd_ring_size(&place->log->ring);
    if (place->bytes == 0)
        return;
    cws_list_push_back(&shelf->places, &place->node);
    shelf->bytes += place->bytes;
    while (shelf->bytes / CWSD_MAX_FINISHED_LOGS >= shelf->log_bytes)
        cwsd_log_shelf_drop_oldest(shelf);
}
