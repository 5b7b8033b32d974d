/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What happens to a packet on its way, for `evenkeel explain packet`; how it ends, counters.h says.
 * Rust's side, src/xdp/explain/, reads this very file: one line per step, in the order of their
 * numbers. Behind each name: what the number is that is told with it. */
STEP(connection_known)       /* destination; state in the upper half */
STEP(connection_unknown)
STEP(connection_over)        /* destination */
STEP(answer_known)           /* destination; state in the upper half */
STEP(service_found)          /* its index */
STEP(service_unknown)
STEP(template_led)           /* destination */
STEP(template_new)           /* destination */
STEP(scheduled)              /* destination, or NOBODY */
STEP(connection_created)     /* destination */
STEP(connection_has_no_room)
STEP(way_known)              /* interface */
STEP(way_too_narrow)         /* bytes that fit */
STEP(way_unknown)            /* bpf_fib_lookup's answer */
