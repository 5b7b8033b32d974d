//! A packet socket: whole frames of one Ethernet type.

use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, SockAddr, SockAddrStorage, SockFilter, Socket, Type};

/// What is read of a frame.
pub(super) const FRAME_MAX: usize = 128;

pub(super) struct PacketSocket {
    socket: Socket,
    ethertype: u16,
}

impl PacketSocket {
    /// Hears frames of this type on every interface, those that the filter lets in. Non-blocking.
    pub(super) fn open(ethertype: u16, filter: &[SockFilter]) -> io::Result<PacketSocket> {
        // Without a protocol it hears nothing until it has its filter.
        let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
        socket.set_nonblocking(true)?;
        if !filter.is_empty() {
            socket.attach_filter(filter)?;
        }
        let socket = PacketSocket { socket, ethertype };
        socket.socket.bind(&socket.address(0))?;
        Ok(socket)
    }

    pub(super) fn send(&self, frame: &[u8], interface: u32) -> io::Result<()> {
        self.socket.send_to(frame, &self.address(interface)).map(drop)
    }

    /// The next frame's first bytes, how many, and the interface; `None` when there is none now.
    pub(super) fn receive(&self, bytes: &mut [u8; FRAME_MAX]) -> io::Result<Option<(usize, u32)>> {
        let mut frame = [MaybeUninit::uninit(); FRAME_MAX];
        loop {
            let (count, from) = match self.socket.recv_from(&mut frame) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            for (to, from) in bytes.iter_mut().zip(&frame[..count]) {
                // SAFETY: the kernel has initialised the first `count` bytes.
                *to = unsafe { from.assume_init() };
            }
            return Ok(Some((count, interface_of(&from))));
        }
    }

    /// Of an interface; 0 for all of them.
    fn address(&self, interface: u32) -> SockAddr {
        let mut storage = SockAddrStorage::zeroed();
        // SAFETY: a sockaddr_ll fits the storage and any bytes are a valid one.
        let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = self.ethertype.to_be();
        address.sll_ifindex = interface as i32;
        // SAFETY: the storage holds a sockaddr_ll, whose length this is.
        unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as libc::socklen_t) }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn interface_of(address: &SockAddr) -> u32 {
    // SAFETY: an address received on a packet socket is a sockaddr_ll, and the storage behind it
    // is larger than that.
    unsafe { (*address.as_ptr().cast::<libc::sockaddr_ll>()).sll_ifindex as u32 }
}
