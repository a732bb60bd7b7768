/*
 * How the daemon starts cwsandbox-egress, of which each sandbox with a way to other networks has
 * one.
 *
 *   cwsandbox-egress PARENT USER granted|all [NAME ...]
 *
 * PARENT is the daemon's process id, USER the sandbox's user on the host (0: whoever starts the
 * program). NAME is a host name in lower case, or "*." and one: connections to these are passed on.
 * Questions are answered for these alone, or for all names, where other rules than names let the
 * sandbox connect by itself. The descriptors are sockets inside
 * the sandbox's network, bound already: CWSE_TLS takes the sandbox's connections to port 443, and
 * CWSE_DNS, of UDP, its questions for names. The program ends with the daemon.
 */
#pragma once

#define CWSE_TLS 0
#define CWSE_DNS 1
