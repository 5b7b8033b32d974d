//! Packet in, packet out: the forwarding program under BPF_PROG_TEST_RUN.

mod bed;
mod bounds;
mod expiry;
mod forwarding;
mod frame;
mod lifetime;
mod scheduling;
mod thresholds;
