//! UDP sockets with one peer, which tell when it refuses.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use model::check::Source;
use rustix::net::{SocketType, ipproto};

use super::source;

/// A UDP socket connected to its target. Non-blocking. What comes from elsewhere is not heard.
pub struct Datagrams {
    socket: UdpSocket,
}

impl Datagrams {
    /// A socket for this target, from there.
    pub fn open(target: SocketAddr, from: &Source) -> io::Result<Datagrams> {
        let socket = source::open(target, SocketType::DGRAM, ipproto::UDP, from)?;
        source::report_errors(&socket, target)?;
        source::bind(&socket, from)?;
        source::connect(&socket, target, from)?;
        Ok(Datagrams { socket: UdpSocket::from(socket) })
    }

    /// Sends one datagram, or tells of an error that came in meanwhile.
    pub fn send(&self, payload: &[u8]) -> io::Result<()> {
        self.socket.send(payload).map(drop)
    }

    /// The length of the next datagram, now in `buffer`, if there is one; what does not fit is cut
    /// off. Errors are those that ICMP told of.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.socket.recv(buffer) {
                Ok(length) => return Ok(Some(length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use model::Time;

    use super::*;
    use crate::connect::refusal;
    use crate::poll::{Interest, Poll};

    fn wait(datagrams: &Datagrams) {
        let mut poll = Poll::new().unwrap();
        poll.add(datagrams, 0, Interest::Read).unwrap();
        poll.wait(&mut Vec::new(), Time::NEVER).unwrap();
    }

    #[test]
    fn a_peer_answers_and_strangers_are_not_heard() {
        for host in ["127.0.0.1", "[::1]"] {
            let Ok(peer) = UdpSocket::bind(format!("{host}:0")) else { continue };
            let stranger = UdpSocket::bind(format!("{host}:0")).unwrap();
            let open = Datagrams::open(peer.local_addr().unwrap(), &Source::default()).unwrap();
            open.send(b"hello").unwrap();
            let (_, from) = peer.recv_from(&mut [0; 8]).unwrap();
            stranger.send_to(b"stranger", from).unwrap();
            peer.send_to(b"", from).unwrap();
            peer.send_to(b"answer", from).unwrap();
            wait(&open);
            let mut buffer = [0; 4];
            assert_eq!(open.receive(&mut buffer).unwrap(), Some(0));
            assert_eq!(open.receive(&mut buffer).unwrap(), Some(4));
            assert_eq!(open.receive(&mut buffer).unwrap(), None);
        }
    }

    #[test]
    fn a_port_that_nobody_hears_is_told_of() {
        for host in ["127.0.0.1", "[::1]"] {
            let Ok(peer) = UdpSocket::bind(format!("{host}:0")) else { continue };
            let target = peer.local_addr().unwrap();
            drop(peer);
            let open = Datagrams::open(target, &Source::default()).unwrap();
            open.send(b"hello").unwrap();
            wait(&open);
            let error = open.receive(&mut [0; 8]).unwrap_err();
            assert_eq!(refusal(&error), "port unreachable");
        }
    }
}
