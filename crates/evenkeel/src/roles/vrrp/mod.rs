//! The vrrp role's driver: one thread that does nothing but VRRP, and no file or log I/O.
//!
//! - [`driver`]: waits, and gives what happens to `proto::vrrp::Router`;
//! - [`kernel`]: what changes in the kernel: addresses, gates;
//! - [`stations`]: the sockets: adverts, gratuitous ARP;
//! - [`memory`]: the states that outlive this process;
//! - [`announcements`]: gratuitous ARP and neighbour advertisements, paced;
//! - [`bfd`]: the sockets of BFD sessions;
//! - [`supervisor`]: the conversation with the supervisor and the helper, which never blocks;
//! - [`liaison`]: the second thread, which reads, parses and writes for it;
//! - [`withdraw`]: what the supervisor does when the role cannot be kept alive.

mod announcements;
mod bfd;
mod driver;
mod kernel;
mod liaison;
mod memory;
mod stations;
mod supervisor;
mod withdraw;

use std::io;

use edge::ipc::Channel;

pub(crate) use withdraw::{sweep, withdraw};

/// Priority under SCHED_FIFO: above ordinary work, below the kernel's own interrupt threads.
const REALTIME_PRIORITY: u8 = 49;

/// Set in the environment, this switches real-time priority and locked memory off, for
/// measurements of what they are worth.
const NO_REALTIME: &str = "EVENKEEL_NO_REALTIME";

/// Runs the role until its supervisor says stop or goes away.
pub(crate) fn run(channel: Channel) -> io::Result<()> {
    driver::Driver::new(channel, be_on_time())?.run()
}

/// Has memory locked and this thread before all ordinary work. Where that is not permitted, it
/// goes on without, as punctual as the machine lets it be; the answer is its real-time
/// priority, if it has one.
fn be_on_time() -> Option<u8> {
    edge::realtime::warm_memory();
    edge::realtime::sharpen_timers();
    if std::env::var_os(NO_REALTIME).is_some() {
        return None;
    }
    let _ = edge::realtime::lock_memory();
    edge::realtime::raise_priority(REALTIME_PRIORITY).ok().map(|()| REALTIME_PRIORITY)
}
