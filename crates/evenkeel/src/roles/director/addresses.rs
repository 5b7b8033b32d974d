//! The addresses of this machine, for virtual servers whose checks pause while theirs are
//! elsewhere (`ha_suspend`). Followed only while somebody asks.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use edge::netlink::Socket;
use edge::netlink::link::{GROUPS, Interfaces};

/// Follows them.
pub(super) struct AddressWatch {
    events: Socket,
    requests: Socket,
    interfaces: Interfaces,
}

impl AddressWatch {
    /// Begins to.
    pub(super) fn new() -> io::Result<AddressWatch> {
        let (events, mut requests) = (Socket::open()?, Socket::open()?);
        events.subscribe(&GROUPS)?;
        let interfaces = Interfaces::load(&mut requests)?;
        Ok(AddressWatch { events, requests, interfaces })
    }

    /// Takes in what the kernel has to say; true when an address came or went.
    pub(super) fn handle_ready(&mut self) -> io::Result<bool> {
        let changes = match self.events.receive() {
            Ok(events) => events.iter().filter_map(|event| self.interfaces.apply(event)).collect(),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                self.interfaces.reload(&mut self.requests)?
            }
            Err(error) => return Err(error),
        };
        Ok(!changes.is_empty())
    }

    /// All of them, whichever interface has them.
    pub(super) fn addresses(&self) -> BTreeSet<IpAddr> {
        let of = |index: u32| {
            let ipv4 = self.interfaces.ipv4(index).map(|(address, _)| IpAddr::from(address));
            ipv4.chain(self.interfaces.ipv6(index).map(|(address, _)| IpAddr::from(address)))
        };
        self.interfaces.links().flat_map(|link| of(link.index)).collect()
    }
}

impl AsFd for AddressWatch {
    /// Readable when [`handle_ready`](Self::handle_ready) has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}
