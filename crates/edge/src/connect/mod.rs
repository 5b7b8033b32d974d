//! Sockets with one peer that never block: TCP connections (start one, learn how it ended, read
//! and write what goes), [`Datagrams`] and [`Echo`].

mod datagram;
mod echo;
mod source;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use model::check::Source;
use rustix::io::Errno;
use rustix::net::{SocketType, ipproto, sockopt};

pub use datagram::Datagrams;
pub use echo::Echo;

/// Begins to connect, from there. When the descriptor becomes writable, [`outcome`] tells the end.
///
/// A connection from a fixed port is reset when it is closed: its TIME_WAIT would keep the port
/// from the next connection to the same target for a minute (the kernel says EADDRNOTAVAIL).
/// Others are closed in order.
pub fn start(target: SocketAddr, from: &Source) -> io::Result<TcpStream> {
    let socket = source::open(target, SocketType::STREAM, ipproto::TCP, from)?;
    source::bind(&socket, from)?;
    if from.bind.is_some_and(|address| address.port() != 0) {
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
    }
    let Err(error) = source::connect(&socket, target, from) else {
        return Ok(TcpStream::from(socket));
    };
    match Errno::from_io_error(&error) {
        Some(Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        // All ports to this target are in use. (Over IPv6 it may also mean that this machine has
        // no address from which the target can be reached.)
        Some(Errno::ADDRNOTAVAIL) if target.is_ipv4() => Err(Errno::NOBUFS.into()),
        Some(_) | None => Err(error),
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

/// The lack is this machine's (descriptors, processes, memory), not the other side's fault nor a
/// program's.
pub fn is_local_shortage(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::AGAIN]
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
        Some(Errno::HOSTDOWN) => "host is down",
        Some(Errno::ADDRNOTAVAIL) => "source address not available",
        Some(Errno::ADDRINUSE) => "source port in use",
        Some(Errno::NODEV) => "no such interface",
        Some(Errno::MFILE) | Some(Errno::NFILE) => "no file descriptors left on the director",
        _ => return error.to_string(),
    };
    known.to_string()
}

/// The same for [`Datagrams`] and [`Echo`], which nobody connects to.
pub fn refusal(error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::CONNREFUSED) => "port unreachable".to_string(),
        _ => cause(error),
    }
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
        let bound = "127.0.0.9:0".parse().unwrap();
        let stream = start(listener.local_addr().unwrap(), &bound_to(bound)).unwrap();
        finish(&stream).unwrap();
        let (mut peer, from) = listener.accept().unwrap();
        assert_eq!(from.ip(), bound.ip());
        assert_eq!(read(&stream, &mut [0; 8]).unwrap(), Moved::Blocked);
        assert_eq!(write(&stream, b"hello").unwrap(), Moved::Bytes(5));
        peer.read_exact(&mut [0; 5]).unwrap();
        drop(peer);
        let mut poll = Poll::new().unwrap();
        poll.add(&stream, 0, Interest::Read).unwrap();
        poll.wait(&mut Vec::new(), Time::NEVER).unwrap();
        assert_eq!(read(&stream, &mut [0; 8]).unwrap(), Moved::End);
    }

    fn bound_to(address: SocketAddr) -> Source {
        Source { bind: Some(address), ..Source::default() }
    }

    #[test]
    fn a_fixed_port_can_be_used_again_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let spare = TcpListener::bind("127.0.0.9:0").unwrap().local_addr().unwrap();
        for _ in 0..3 {
            let stream = start(listener.local_addr().unwrap(), &bound_to(spare)).unwrap();
            finish(&stream).unwrap();
            assert_eq!(listener.accept().unwrap().1, spare);
        }
    }

    #[test]
    fn a_source_that_is_not_there_is_told_in_words() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        let error = start(target, &bound_to("192.0.2.7:0".parse().unwrap())).unwrap_err();
        assert_eq!(cause(&error), "source address not available");
        if !crate::privileges::are_all() {
            println!("skipped: needs root");
            return;
        }
        let nowhere = Source { interface: Some("nowhere9".into()), ..Source::default() };
        assert_eq!(cause(&start(target, &nowhere).unwrap_err()), "no such interface");
        let marked = Source { interface: Some("lo".into()), mark: 7, ..Source::default() };
        finish(&start(target, &marked).unwrap()).unwrap();
    }

    #[test]
    fn a_closed_port_refuses_in_words() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        drop(listener);
        let error =
            start(target, &Source::default()).and_then(|stream| finish(&stream)).unwrap_err();
        assert_eq!(cause(&error), "connection refused");
        assert!(!is_local_shortage(&error));
    }
}
