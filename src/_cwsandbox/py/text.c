#include "py/text.h"

#include <string.h>

#include "base/pages.h"
#include "base/shortcut.h"

enum {
    /* From this size on a str's memory comes fresh from the system. Getting it page by page would
       be most of the text's cost. */
    LARGE = 4 * 1024 * 1024,
    STEP = 64 * 1024, /* stays in the cache between being checked and being copied */
    AHEAD = 2 * 1024 * 1024,
};

static PyObject *decode(const uint8_t *data, size_t len)
{
    return PyUnicode_DecodeUTF8((const char *)data, (Py_ssize_t)len, "replace");
}

static bool is_ascii(const uint8_t *data, size_t len)
{
    uint64_t words[4], high = 0;
    for (; len >= sizeof(words); data += sizeof(words), len -= sizeof(words)) {
        memcpy(words, data, sizeof(words));
        high |= words[0] | words[1] | words[2] | words[3];
    }
    for (; len > 0; data++, len--)
        high |= *data;
    return (high & 0x8080808080808080u) == 0;
}

/* ---- large ASCII text, which nearly all large text is --------------------------------------- */

/* A str of ASCII characters to be written to *out_at, nobody else's yet; NULL when out of memory or
 * if this Python has a str's characters elsewhere. */
static PyObject *new_ascii(size_t len, uint8_t **out_at)
{
    PyObject *text = PyUnicode_DecodeUTF8("??", 2, NULL);
    if (!text || PyUnicode_Resize(&text, (Py_ssize_t)len) < 0) {
        Py_XDECREF(text);
        return NULL;
    }
    Py_ssize_t size = 0;
    *out_at = (uint8_t *)(uintptr_t)PyUnicode_AsUTF8AndSize(text, &size);
    if (*out_at && (size_t)size == len)
        return text;
    Py_DECREF(text);
    return NULL;
}

/* Copies the piece; false when it is not ASCII. *ready: up to there the memory was prepared. */
static bool fill(uint8_t *to, uint8_t *end, const uint8_t *from, size_t len, uint8_t **ready)
{
    while (len > 0) {
        size_t n = len < STEP ? len : STEP;
        if (!is_ascii(from, n))
            return false;
        while (to + n > *ready) {
            /* Up to where a huge page would end. */
            size_t ahead = AHEAD - (uintptr_t)*ready % AHEAD;
            if (ahead > (size_t)(end - *ready))
                ahead = (size_t)(end - *ready);
            cws_pages_prepare(*ready, ahead);
            *ready += ahead;
        }
        memcpy(to, from, n);
        to += n;
        from += n;
        len -= n;
    }
    return true;
}

/* The str holds exactly what was written. */
static bool took(PyObject *text, const uint8_t *at, size_t len)
{
    return PyUnicode_GetLength(text) == (Py_ssize_t)len && PyUnicode_ReadChar(text, 0) == at[0] &&
           PyUnicode_ReadChar(text, (Py_ssize_t)len - 1) == at[len - 1];
}

/* NULL without an exception: it is for the general decoder. */
static PyObject *large_ascii(struct cws_output_line piece, size_t len)
{
    uint8_t *at = NULL;
    PyObject *text = new_ascii(len, &at);
    if (!text) {
        PyErr_Clear();
        return NULL;
    }
    uint8_t *ready = at, *to = at, *end = at + len;
    bool ok;
    do {
        ok = fill(to, end, piece.data, piece.len, &ready);
        to += piece.len;
    } while (ok && cws_output_next_piece(&piece));
    if (ok && took(text, at, len))
        return text;
    Py_DECREF(text);
    return NULL;
}

/* ---- any text ------------------------------------------------------------------------------- */

static PyObject *decode_spread(struct cws_output_line piece, size_t len)
{
    uint8_t *whole = PyMem_Malloc(len);
    if (!whole)
        return PyErr_NoMemory();
    uint8_t *to = whole;
    do {
        memcpy(to, piece.data, piece.len);
        to += piece.len;
    } while (cws_output_next_piece(&piece));
    PyObject *text = decode(whole, len);
    PyMem_Free(whole);
    return text;
}

PyObject *py_text_of_line(const struct cws_output_line *line)
{
    size_t len = line->len + line->rest;
    bool try_ascii = len >= LARGE && cws_shortcut_is_on(CWS_SHORTCUT_TEXT);
    PyObject *text = try_ascii ? large_ascii(*line, len) : NULL;
    if (text)
        return text;
    return line->rest == 0 ? decode(line->data, line->len) : decode_spread(*line, len);
}

PyObject *py_bytes_of_line(const struct cws_output_line *line)
{
    PyObject *made = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(line->len + line->rest));
    if (!made)
        return NULL;
    char *to = PyBytes_AsString(made);
    struct cws_output_line piece = *line;
    do {
        memcpy(to, piece.data, piece.len);
        to += piece.len;
    } while (cws_output_next_piece(&piece));
    return made;
}

PyObject *py_text_decode(PyObject *module, PyObject *data)
{
    (void)module;
    char *bytes;
    Py_ssize_t len;
    if (PyBytes_AsStringAndSize(data, &bytes, &len) < 0)
        return NULL;
    struct cws_output_line all = {.data = (const uint8_t *)bytes, .len = (size_t)len};
    return py_text_of_line(&all);
}
