/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The data plane's counters, by the names under which they are reported. The loader reads this
 * very file: one line per counter, in the order of the array. */
COUNTER(passed_not_ours)         /* no connection, no service: the kernel's business */
COUNTER(passed_other_mac)        /* addressed to another machine's MAC address */
COUNTER(passed_gate_closed)      /* this director is not master of the address */
COUNTER(passed_fragment)         /* a later fragment whose first one did not come by before */
COUNTER(passed_no_connection)    /* TCP to a service, neither SYN nor known: the kernel resets it */
COUNTER(passed_to_resolve)       /* the next hop is unknown: the kernel resolves and forwards */
COUNTER(passed_to_fragment)      /* too big for the way to the server: the kernel splits it */
COUNTER(passed_to_answer)        /* an answer too big or out of hops: the kernel tells the server */
COUNTER(passed_to_self)          /* the server is this machine */
COUNTER(forwarded_to_server)
COUNTER(forwarded_to_client)
COUNTER(forwarded_stateless)     /* by hash: the table had no room for the connection */
COUNTER(forwarded_by_kernel)     /* replies rewritten on their way out of the kernel */
COUNTER(errors_to_server)        /* ICMP errors about answers */
COUNTER(errors_to_client)        /* ICMP errors about requests */
COUNTER(answered_too_big)        /* the client was told which size fits */
COUNTER(answered_ttl)            /* the client was told that a packet had no hop left */
COUNTER(answered_unreachable)    /* the client was told that no server takes its connection */
COUNTER(answered_reset)          /* an RST: the server of a connection left */
COUNTER(dropped_no_destination)  /* no server takes it, and nobody is told: too many were */
COUNTER(dropped_server_removed)  /* its server left the tables */
COUNTER(dropped_no_neighbour)    /* direct routing or a tunnel, and the server's MAC is unknown */
COUNTER(dropped_no_route)
COUNTER(dropped_ttl)             /* no hop left, and nobody is told */
COUNTER(dropped_too_big)         /* direct routing or a tunnel, and not to be answered */
COUNTER(dropped_no_headroom)     /* no room in the frame for the header of a tunnel */
COUNTER(dropped_merged)          /* tc: GRE with checksums, and segments that were merged */
COUNTER(dropped_unanswered)      /* too big or out of hops, from an address that is nobody's */
COUNTER(dropped_table_full)      /* no room for a connection, and NAT needs its entry */
COUNTER(dropped_port_clash)      /* the same client port already talks to that server */
COUNTER(dropped_sctp_fragment)   /* of an SCTP packet whose port, and with it checksum, changes */
COUNTER(dropped_loopback)        /* to 127.0.0.0/8, from outside */
COUNTER(dropped_race)            /* two processors created or removed one connection at once */
COUNTER(schedule_retries)        /* two processors scheduled at once */
COUNTER(replaced_half_open)      /* one that awaited its client's ACK made room for another */
