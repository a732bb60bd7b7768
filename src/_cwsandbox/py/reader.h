/*
 * StreamReader: an output of an operation, item by item.
 *
 * A reader knows neither what the operation is nor what it hands out: a py_stream_kind says the one
 * and a py_item the other. So what has output, be it a command or a log, embeds a py_stream for
 * each of its outputs. Another item, such as bytes as they come, is one more row beside
 * py_item_line.
 */
#pragma once

#include "py/operation.h"
#include "sandbox/output.h"

/* What a reader hands out. */
struct py_item {
    enum cws_output_item cut; /* where it ends */
    /* A new reference to the object made of what was taken. NULL with an exception set: it is put
     * back, and is next again. */
    PyObject *(*make)(const struct cws_output_line *taken);
};

extern const struct py_item py_item_line; /* str, up to and with LF */
extern const struct py_item py_item_text; /* str, what is there; characters are whole */

struct py_stream;

/* What readers have to ask the operation. */
struct py_stream_kind {
    const struct py_item *item; /* of the stream's own reader */
    py_failure_fn *failure;
    /* A new exception that says that `len` bytes are missing. NULL with another exception set. */
    PyObject *(*gap_error)(const struct py_stream *stream, size_t len);
    /* Ends the readers' side. */
    void (*close)(const struct py_stream *stream);
};

/* One output as its readers have left it; embedded in the operation's object, as readers come and
 * go. */
struct py_stream {
    const struct py_stream_kind *kind;
    const char *name;        /* "stdout"; for repr() */
    struct py_operation *op; /* the object that this is embedded in; `output` lives as long */
    struct cws_output *output;
    struct py_reader *reader; /* borrowed: the stream's own in existence, if any */
    unsigned readers;         /* in existence, whatever of */
    bool has_failed;          /* the operation's failure was raised by a reader */
    size_t gap;               /* bytes that are missing here, which no reader has raised yet */
};

extern PyType_Spec py_reader_spec;

void py_stream_init(struct py_stream *stream, const struct py_stream_kind *kind, const char *name,
                    struct py_operation *op, struct cws_output *output);

/* A new reference to the stream's own reader. The reader holds the operation, which does not hold
 * it: there is no cycle. */
PyObject *py_reader_of(struct py_stream *stream);
