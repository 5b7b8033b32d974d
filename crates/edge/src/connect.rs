//! TCP connections that never block: start one, learn how it ended, read and write what goes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with, sockopt};

/// Begins to connect. When the descriptor becomes writable, [`outcome`] tells the end.
/// `bind` is the source address; its port may be 0.
pub fn start(target: SocketAddr, bind: Option<SocketAddr>) -> io::Result<TcpStream> {
    let family = match target {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    if let Some(source) = bind {
        // A fixed source port must not be kept by the last connection's TIME_WAIT.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, &source)?;
    }
    match rustix::net::connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error.into()),
    }
}

/// How a connect ended, once the descriptor is writable.
pub fn outcome(stream: impl AsFd) -> io::Result<()> {
    match sockopt::socket_error(stream)? {
        Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What a read or a write on a non-blocking stream came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// This many bytes.
    Bytes(usize),
    /// Nothing for the moment.
    Blocked,
    /// The other side has closed.
    End,
}

/// Reads what is there into `buffer`.
pub fn read(mut stream: &TcpStream, buffer: &mut [u8]) -> io::Result<Moved> {
    moved(|| stream.read(buffer))
}

/// Writes as much of `bytes` (not empty) as the socket takes. Never raises SIGPIPE.
pub fn write(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<Moved> {
    moved(|| stream.write(bytes))
}

fn moved(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<Moved> {
    loop {
        match call() {
            Ok(0) => return Ok(Moved::End),
            Ok(count) => return Ok(Moved::Bytes(count)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Moved::Blocked),
            Err(error) => return Err(error),
        }
    }
}

/// The lack is this machine's (descriptors, memory, source ports), not the other side's fault.
pub fn is_local_shortage(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRINUSE]
        .iter()
        .any(|shortage| error.raw_os_error() == Some(shortage.raw_os_error()))
}

/// Why a connection failed, in words for a log line: `connection refused`.
pub fn cause(error: &io::Error) -> String {
    let known = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::CONNREFUSED) => "connection refused",
        Some(Errno::CONNRESET) | Some(Errno::PIPE) => "connection reset",
        Some(Errno::TIMEDOUT) => "connection timed out",
        Some(Errno::HOSTUNREACH) => "no route to host",
        Some(Errno::NETUNREACH) => "network is unreachable",
        Some(Errno::ADDRNOTAVAIL) => "source address not available",
        Some(Errno::MFILE) | Some(Errno::NFILE) => "no file descriptors left on the director",
        _ => return error.to_string(),
    };
    known.to_string()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use model::Time;

    use super::*;
    use crate::poll::{Interest, Poll};

    fn finish(stream: &TcpStream) -> io::Result<()> {
        let mut poll = Poll::new().unwrap();
        poll.add(stream, 0, Interest::Write).unwrap();
        poll.wait(&mut Vec::new(), Time::NEVER).unwrap();
        outcome(stream)
    }

    #[test]
    fn a_connection_opens_carries_bytes_and_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let source = "127.0.0.9:0".parse().unwrap();
        let stream = start(listener.local_addr().unwrap(), Some(source)).unwrap();
        finish(&stream).unwrap();
        let (mut peer, from) = listener.accept().unwrap();
        assert_eq!(from.ip(), source.ip());
        assert_eq!(read(&stream, &mut [0; 8]).unwrap(), Moved::Blocked);
        assert_eq!(write(&stream, b"hello").unwrap(), Moved::Bytes(5));
        peer.read_exact(&mut [0; 5]).unwrap();
        drop(peer);
        let mut poll = Poll::new().unwrap();
        poll.add(&stream, 0, Interest::Read).unwrap();
        poll.wait(&mut Vec::new(), Time::NEVER).unwrap();
        assert_eq!(read(&stream, &mut [0; 8]).unwrap(), Moved::End);
    }

    #[test]
    fn a_closed_port_refuses_in_words() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        drop(listener);
        let error = start(target, None).and_then(|stream| finish(&stream)).unwrap_err();
        assert_eq!(cause(&error), "connection refused");
        assert!(!is_local_shortage(&error));
    }
}
