//! System calls and nothing else: sockets, netlink, BPF, processes, timers, signals, syslog.
//! Drivers call these; nothing here decides anything.

pub mod arp;
pub mod arp_probe;
pub mod bpf;
pub mod clock;
pub mod connect;
pub mod ipc;
pub mod listen;
pub mod netlink;
pub mod netns;
pub mod poll;
pub mod privileges;
pub mod process;
pub mod raw;
pub mod realtime;
pub mod signal;
pub mod syslog;
pub mod timer;
pub mod xdp_pass;
