//! The vrrp role's driver: one thread that does nothing but VRRP, and no file or log I/O.
//!
//! - [`driver`]: waits, and gives what happens to `proto::vrrp::Router`;
//! - [`kernel`]: what changes in the kernel: addresses, gates;
//! - [`stations`]: the sockets: adverts, gratuitous ARP;
//! - [`memory`]: the states that outlive this process;
//! - [`supervisor`]: the conversation with the supervisor, which never blocks;
//! - [`withdraw`]: what the supervisor does when the role cannot be kept alive.

mod driver;
mod kernel;
mod memory;
mod stations;
mod supervisor;
mod withdraw;

use std::io;

use edge::ipc::Channel;

pub(crate) use withdraw::withdraw;

/// Priority under SCHED_FIFO: above ordinary work, below the kernel's own interrupt threads.
const REALTIME_PRIORITY: u8 = 49;

/// Runs the role until its supervisor says stop or goes away.
pub(crate) fn run(channel: Channel) -> io::Result<()> {
    // Where they are not permitted, it goes on without, as punctual as the machine lets it be.
    let _ = edge::realtime::lock_memory();
    let _ = edge::realtime::raise_priority(REALTIME_PRIORITY);
    driver::Driver::new(channel)?.run()
}
