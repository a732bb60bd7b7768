/*
 * Shortcuts that rely on more than documented interfaces promise. docs/shortcuts.md says on what,
 * and what happens where that fails. The environment variable CWSANDBOX_NO_SHORTCUTS turns them
 * off, to find out whether one of them causes a fault. Its value is names separated by commas, or
 * "all". It is read once. Any thread.
 */
#pragma once

#include <stdbool.h>

enum cws_shortcut {
    CWS_SHORTCUT_GUEST, /* "guest": a waiting thread runs the loop (io/guest.h) */
    CWS_SHORTCUT_TEXT,  /* "text": large text is written directly into a str, which is then
                         * resized */
    CWS_SHORTCUT_PAGES, /* "pages": the pages of large output are moved, not copied
                         * (base/pages.h) */
    CWS_SHORTCUT_COUNT,
};

/* Whether the shortcut may be taken. */
bool cws_shortcut_is_on(enum cws_shortcut which);

/* What this value of the variable turns off: bit i for shortcut i. Unknown names are ignored. NULL
 * turns nothing off. */
unsigned cws_shortcut_parse(const char *value);
