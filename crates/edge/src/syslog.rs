//! Datagram sockets to a syslog daemon: UDP or a Unix path such as `/dev/log`.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, SockAddr, Socket, Type};

/// A non-blocking datagram socket that is, or will be, connected to a log receiver.
#[derive(Debug)]
pub struct Datagram(Socket);

impl Datagram {
    /// A socket connected to a UDP receiver.
    pub fn udp(to: SocketAddr) -> io::Result<Datagram> {
        let socket = Socket::new(Domain::for_address(to), Type::DGRAM, None)?;
        let any: SocketAddr = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        socket.bind(&any.into())?;
        socket.connect(&to.into())?;
        socket.set_nonblocking(true)?;
        Ok(Datagram(socket))
    }

    /// A Unix socket, not connected yet.
    pub fn unix() -> io::Result<Datagram> {
        let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        Ok(Datagram(socket))
    }

    /// Connects, or connects again, to the receiver at this path.
    pub fn connect_path(&self, path: &str) -> io::Result<()> {
        self.0.connect(&SockAddr::unix(path)?)
    }

    /// Sends one message; `WouldBlock` when the receiver's queue is full.
    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        self.0.send(message).map(|_| ())
    }
}

/// Gives the calling thread a root and working directory of its own: a later chroot of the
/// process leaves it where it is.
pub fn keep_root() -> io::Result<()> {
    // SAFETY: unshare takes an integer; CLONE_FS concerns this thread's root, working directory
    // and umask only.
    if unsafe { libc::unshare(libc::CLONE_FS) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_restarted_receiver_is_found_again() {
        let path = std::env::temp_dir().join(format!("evenkeel-syslog-{}", std::process::id()));
        let text = path.to_str().unwrap();
        let receiver = UnixDatagram::bind(&path).unwrap();
        let sender = Datagram::unix().unwrap();
        sender.connect_path(text).unwrap();
        sender.send(b"one").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(receiver.recv(&mut buffer).unwrap(), 3);
        drop(receiver);
        std::fs::remove_file(&path).unwrap();
        let receiver = UnixDatagram::bind(&path).unwrap();
        assert!(sender.send(b"lost").is_err());
        sender.connect_path(text).unwrap();
        sender.send(b"found").unwrap();
        assert_eq!(receiver.recv(&mut buffer).unwrap(), 5);
        std::fs::remove_file(&path).unwrap();
    }
}
