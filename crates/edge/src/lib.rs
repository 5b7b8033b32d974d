//! System calls and nothing else: sockets, netlink, BPF, processes, timers, signals, syslog.
//! Drivers call these; nothing here decides anything.

pub mod announce;
mod batch;
pub mod bpf;
pub mod bpf_programs;
pub mod clock;
pub mod connect;
mod control;
pub mod ethtool;
pub mod frames;
pub mod gate;
pub mod ipc;
pub mod listen;
pub mod mapped;
pub mod names;
pub mod neighbour_probe;
pub mod netlink;
pub mod netns;
pub mod nft;
pub mod nft_rules;
pub mod poll;
pub mod privileges;
pub mod process;
pub mod process_events;
pub mod raw;
pub mod realtime;
pub mod signal;
mod sockopt;
pub mod spawn;
pub mod sysctl;
pub mod syslog;
pub mod timer;
pub mod ttl_socket;
pub mod tun;
pub mod wake;
pub mod watch;
pub mod xdp_pass;
