//! Packet in, packet out: the forwarding program under BPF_PROG_TEST_RUN.

mod answers;
mod audit;
mod bed;
mod bounds;
mod cells;
mod drill;
mod errors;
mod expiry;
mod explain;
mod forwarding;
mod fragments;
mod frame;
mod icmp;
mod lifetime;
mod marks;
mod room;
mod scheduling;
mod sctp;
mod switches;
mod thresholds;
mod tunnels;
