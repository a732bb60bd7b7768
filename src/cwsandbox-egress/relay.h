/*
 * Two connections whose bytes are passed on to each other, each at the pace of the other. The end
 * of what one sends is passed on, too, while the other may go on.
 */
#pragma once

#include <uv.h>

#include "base/base.h"

/* The most that is taken from one side before the other has taken it. */
#define CWSE_PIECE ((size_t)64 * 1024)

struct cwse_side {
    uv_tcp_t tcp;
    struct cwse_relay *relay;
    struct cwse_side *other;
    uv_write_t write;
    uv_shutdown_t shutdown;
    uint8_t *kept; /* what this side has not taken yet */
    bool told;     /* that the other sends no more */
};

struct cwse_relay {
    struct cwse_side inner; /* the sandbox's */
    struct cwse_side outer; /* the server's */
    /* The last event: both sides have ended in good order, or one is broken. The owner closes both
     * handles, and frees nothing before they are closed. */
    void (*ended)(struct cwse_relay *relay, bool broken);
};

/* Both sides are connected. Passes on the first bytes of the inner side, which somebody else has
 * read already. `ended` may be called from inside. */
void cwse_relay_start(struct cwse_relay *relay, const uint8_t *first, size_t len,
                      void (*ended)(struct cwse_relay *relay, bool broken));

/* Once both handles are closed. */
void cwse_relay_done(struct cwse_relay *relay);
