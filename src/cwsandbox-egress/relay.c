#include "relay.h"

#include <stdlib.h>
#include <string.h>

static void end(struct cwse_relay *relay, bool broken)
{
    uv_read_stop((uv_stream_t *)&relay->inner.tcp);
    uv_read_stop((uv_stream_t *)&relay->outer.tcp);
    relay->ended(relay, broken);
}

static bool is_closing(const struct cwse_side *side)
{
    return uv_is_closing((const uv_handle_t *)&side->tcp);
}

static void on_told(uv_shutdown_t *request, int status)
{
    struct cwse_side *side = cws_container_of(request, struct cwse_side, shutdown);
    if (is_closing(side))
        return;
    side->told = true;
    if (status < 0 || side->other->told)
        end(side->relay, status < 0);
}

/* Tells this side that nothing more comes. */
static void tell(struct cwse_side *side)
{
    if (uv_shutdown(&side->shutdown, (uv_stream_t *)&side->tcp, on_told))
        end(side->relay, true);
}

static void read_from(struct cwse_side *side);

static void on_written(uv_write_t *request, int status)
{
    struct cwse_side *side = cws_container_of(request, struct cwse_side, write);
    free(side->kept);
    side->kept = NULL;
    if (is_closing(side))
        return;
    if (status < 0)
        end(side->relay, true);
    else
        read_from(side->other);
}

/* Keeps what the side does not take now. */
static bool keep(struct cwse_side *side, const uint8_t *data, size_t len)
{
    side->kept = malloc(len);
    if (!side->kept)
        return false;
    memcpy(side->kept, data, len);
    uv_buf_t buf = uv_buf_init((char *)side->kept, (unsigned)len);
    uv_read_stop((uv_stream_t *)&side->other->tcp);
    return uv_write(&side->write, (uv_stream_t *)&side->tcp, &buf, 1, on_written) == 0;
}

static bool pass(struct cwse_side *side, const uint8_t *data, size_t len)
{
    uv_buf_t buf = uv_buf_init((char *)data, (unsigned)len);
    int taken = uv_try_write((uv_stream_t *)&side->tcp, &buf, 1);
    if (taken < 0 && taken != UV_EAGAIN)
        return false;
    size_t done = taken < 0 ? 0 : (size_t)taken;
    return done == len || keep(side, data + done, len - done);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct cwse_side *side = stream->data;
    if (len == UV_EOF) {
        uv_read_stop(stream);
        tell(side->other);
    } else if (len < 0 || !pass(side->other, (const uint8_t *)buf->base, (size_t)len)) {
        end(side->relay, true);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out_buf)
{
    static char piece[CWSE_PIECE]; /* passed on before anything else is read */
    (void)handle;
    (void)suggested;
    *out_buf = uv_buf_init(piece, sizeof(piece));
}

static void read_from(struct cwse_side *side)
{
    if (uv_read_start((uv_stream_t *)&side->tcp, on_alloc, on_read))
        end(side->relay, true);
}

static void prepare(struct cwse_relay *relay, struct cwse_side *side, struct cwse_side *other)
{
    side->relay = relay;
    side->other = other;
    side->tcp.data = side;
    side->kept = NULL;
    side->told = false;
    uv_tcp_nodelay(&side->tcp, 1);
    uv_tcp_keepalive(&side->tcp, 1, 60);
}

void cwse_relay_start(struct cwse_relay *relay, const uint8_t *first, size_t len,
                      void (*ended)(struct cwse_relay *relay, bool broken))
{
    relay->ended = ended;
    prepare(relay, &relay->inner, &relay->outer);
    prepare(relay, &relay->outer, &relay->inner);
    if (!pass(&relay->outer, first, len)) {
        end(relay, true);
        return;
    }
    read_from(&relay->outer);
    if (!relay->outer.kept && !is_closing(&relay->inner))
        read_from(&relay->inner);
}

void cwse_relay_done(struct cwse_relay *relay)
{
    free(relay->inner.kept);
    free(relay->outer.kept);
}
