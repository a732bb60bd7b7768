/* A number among the kernel's settings below /proc/sys. Any thread. */
#pragma once

/* The number that the file begins with; -1 if the kernel has no such setting, or it is not a number
 * of at least 0. */
long cwsd_setting_read(const char *path);
