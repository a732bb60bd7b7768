/*
 * StreamReader: an output of an operation, item by item. Called with the GIL held.
 *
 * A reader does not know what the operation is; its py_stream_kind does. Nor does it know what an
 * item is; its py_item does. So anything that has output, such as a command or a log, embeds one
 * py_stream for each of its outputs. Another kind of item is one more row beside py_item_line.
 */
#pragma once

#include "py/operation.h"
#include "sandbox/output.h"

/* What kind of item a reader hands out. */
struct py_item {
    enum cws_output_item cut; /* where an item ends */
    /* Makes the object: a new reference. NULL with an exception set; the item is then put back, and
     * comes next again. */
    PyObject *(*make)(const struct cws_output_line *taken);
};

extern const struct py_item py_item_line;  /* str, up to and including LF */
extern const struct py_item py_item_text;  /* str, what has arrived; never splits a character */
extern const struct py_item py_item_bytes; /* bytes, what has arrived */

struct py_stream;

/* What readers need from the operation. */
struct py_stream_kind {
    const struct py_item *item; /* what the stream's own reader hands out */
    py_failure_fn *failure;
    /* A new exception which says that `len` bytes are missing. NULL with another exception set. For
     * an output of which nothing is dropped: NULL. */
    PyObject *(*gap_error)(const struct py_stream *stream, size_t len);
    /* Closes the readers' side. */
    void (*close)(const struct py_stream *stream);
};

/* The state of one output that outlives its readers. Embedded in the operation's object. */
struct py_stream {
    const struct py_stream_kind *kind;
    const char *name;        /* "stdout"; for repr() */
    struct py_operation *op; /* the object that embeds this; `output` lives as long as it */
    struct cws_output *output;
    struct py_reader *reader; /* borrowed: the stream's own reader, if there is one */
    unsigned readers;         /* how many readers there are, of any item */
    bool has_failed;          /* a reader has raised the operation's failure */
    size_t gap;               /* bytes missing here that no reader has reported yet */
};

extern PyType_Spec py_reader_spec;

void py_stream_init(struct py_stream *stream, const struct py_stream_kind *kind, const char *name,
                    struct py_operation *op, struct cws_output *output);

/* A new reference to the stream's own reader, made if there is none. NULL with an exception set.
 * The reader holds the operation; the operation does not hold the reader, so there is no cycle. */
PyObject *py_reader_of(struct py_stream *stream);
