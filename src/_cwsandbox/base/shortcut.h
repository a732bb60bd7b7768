/*
 * Shortcuts that rely on more than interfaces promise: docs/shortcuts.md says on what, and what
 * happens where that fails. The environment variable CWSANDBOX_NO_SHORTCUTS turns them off, so that
 * a fault can be traced to one of them or away from all: names with commas between them, or "all".
 * It is read once. Any thread.
 */
#pragma once

#include <stdbool.h>

enum cws_shortcut {
    CWS_SHORTCUT_GUEST, /* "guest": a thread that waits runs the loop (io/guest.h) */
    CWS_SHORTCUT_TEXT,  /* "text": large text is written into a str that was made shorter */
    CWS_SHORTCUT_PAGES, /* "pages": large output changes its owner, page by page (base/pages.h) */
    CWS_SHORTCUT_COUNT,
};

/* Whether it may be taken. */
bool cws_shortcut_is_on(enum cws_shortcut which);

/* What the variable's value turns off: bit i for shortcut i. Names that are none are ignored. NULL:
 * nothing. */
unsigned cws_shortcut_parse(const char *value);
