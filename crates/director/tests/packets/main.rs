//! Packet in, packet out: the forwarding program under BPF_PROG_TEST_RUN.

mod answers;
mod bed;
mod bounds;
mod errors;
mod expiry;
mod forwarding;
mod fragments;
mod frame;
mod icmp;
mod lifetime;
mod scheduling;
mod thresholds;
