//! One request of one client.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use model::layer4::Protocol;
use serde::Serialize;
use socket2::{Domain, Socket, Type};

use crate::server::NAME_HEADER;
use crate::topology::{Network, Request, Service};

/// Bound on establishing a connection: below the first retransmission of a SYN, so that a lost
/// one is a failure and not a delay.
const CONNECT_WITHIN: Duration = Duration::from_millis(950);
/// Bound on the answer: a proxy may try another server in between.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Longest answer read.
const ANSWER_MAX: u64 = 64 << 10;

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Failure {
    /// The connection was refused.
    Refused,
    /// No connection within a second.
    NoConnection,
    /// The connection broke.
    Broken,
    /// No answer in time.
    NoAnswer,
    /// An answer, but an error: HTTP status other than 200.
    Status(u16),
    /// An answer that names no server.
    Unintelligible,
    /// This machine could not even try.
    Local,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused => f.write_str("connection refused"),
            Failure::NoConnection => f.write_str("no connection"),
            Failure::Broken => f.write_str("connection broken"),
            Failure::NoAnswer => f.write_str("no answer"),
            Failure::Status(status) => write!(f, "HTTP status {status}"),
            Failure::Unintelligible => f.write_str("unintelligible answer"),
            Failure::Local => f.write_str("the client could not try"),
        }
    }
}

/// How many clients there are before the first address comes again.
pub(crate) const CLIENTS: u32 = 250 * 250;

/// The address of client number `number`: neighbours in the sequence differ in every octet that
/// a persistence granularity may look at.
pub(crate) fn client_address(clients: Network, number: u32) -> Ipv4Addr {
    let number = number % CLIENTS;
    // Odd steps visit every value once before any returns; each round shifts the third octet.
    let third = (number * 7 + number / 250) % 250 + 1;
    let fourth = (number * 11) % 250 + 1;
    clients.at(third << 8 | fourth)
}

/// Asks a service once and returns the name of the server that answered. Call it on a thread
/// inside the client's namespace.
pub(crate) fn ask(service: &Service, source: Ipv4Addr) -> Result<String, Failure> {
    match service.protocol {
        Protocol::Tcp => ask_tcp(service, source),
        Protocol::Udp => ask_udp(service, source),
        // Such services are left out of topologies.
        Protocol::Sctp => Err(Failure::Local),
    }
}

fn socket_from(kind: Type, source: Ipv4Addr) -> Result<Socket, Failure> {
    let open = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::IPV4, kind, None)?;
        socket.bind(&SocketAddr::V4(SocketAddrV4::new(source, 0)).into())?;
        socket.set_read_timeout(Some(ANSWER_WITHIN))?;
        socket.set_write_timeout(Some(ANSWER_WITHIN))?;
        Ok(socket)
    };
    open().map_err(|_| Failure::Local)
}

fn ask_tcp(service: &Service, source: Ipv4Addr) -> Result<String, Failure> {
    let mut socket = socket_from(Type::STREAM, source)?;
    socket.connect_timeout(&SocketAddr::V4(service.address).into(), CONNECT_WITHIN).map_err(
        |error| match error.kind() {
            io::ErrorKind::ConnectionRefused => Failure::Refused,
            io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable => Failure::NoConnection,
            _ => Failure::Broken,
        },
    )?;
    match &service.request {
        Request::Http(path) => {
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                service.address
            );
            socket.write_all(request.as_bytes()).map_err(|error| failure_of(&error))?;
        }
        Request::Greeting | Request::Datagram => {}
    }
    let mut answer = Vec::new();
    match &service.request {
        Request::Http(_) => {
            socket.take(ANSWER_MAX).read_to_end(&mut answer).map_err(|error| failure_of(&error))?;
            name_in_http(&String::from_utf8_lossy(&answer))
        }
        Request::Greeting | Request::Datagram => {
            answer.resize(512, 0);
            let count = socket.read(&mut answer).map_err(|error| failure_of(&error))?;
            let greeting = String::from_utf8_lossy(&answer[..count]).into_owned();
            match greeting.split_whitespace().nth(1) {
                Some(name) => Ok(name.to_owned()),
                None if count == 0 => Err(Failure::Broken),
                None => Err(Failure::Unintelligible),
            }
        }
    }
}

fn ask_udp(service: &Service, source: Ipv4Addr) -> Result<String, Failure> {
    let socket = socket_from(Type::DGRAM, source)?;
    socket.set_read_timeout(Some(CONNECT_WITHIN)).map_err(|_| Failure::Local)?;
    socket.connect(&SocketAddr::V4(service.address).into()).map_err(|_| Failure::NoConnection)?;
    let mut socket = socket;
    socket.write_all(b"who are you?").map_err(|error| failure_of(&error))?;
    let mut answer = [0; 512];
    let count = socket.read(&mut answer).map_err(|error| failure_of(&error))?;
    Ok(String::from_utf8_lossy(&answer[..count]).into_owned())
}

fn failure_of(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Failure::NoAnswer,
        io::ErrorKind::ConnectionRefused => Failure::Refused,
        _ => Failure::Broken,
    }
}

/// The server's name in an HTTP answer of status 200.
fn name_in_http(answer: &str) -> Result<String, Failure> {
    let (head, _) = answer.split_once("\r\n\r\n").ok_or(if answer.is_empty() {
        Failure::Broken
    } else {
        Failure::Unintelligible
    })?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    match status {
        Some(200) => {}
        Some(status) => return Err(Failure::Status(status)),
        None => return Err(Failure::Unintelligible),
    }
    lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case(NAME_HEADER))
        .map(|(_, value)| value.trim().to_owned())
        .ok_or(Failure::Unintelligible)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::topology::CLIENTS_NETWORK;

    #[test]
    fn clients_have_addresses_of_their_own_within_their_network() {
        let addresses: HashSet<Ipv4Addr> =
            (0..CLIENTS).map(|number| client_address(CLIENTS_NETWORK, number)).collect();
        assert_eq!(addresses.len(), CLIENTS as usize);
        assert!(addresses.iter().all(|&address| CLIENTS_NETWORK.contains(address)));
    }

    #[test]
    fn an_answer_is_a_name_or_a_reason() {
        let good = "HTTP/1.1 200 OK\r\nX-Lab-Server: web1\r\n\r\n";
        assert_eq!(name_in_http(good), Ok("web1".into()));
        assert_eq!(name_in_http("HTTP/1.1 503 no\r\n\r\n"), Err(Failure::Status(503)));
        assert_eq!(name_in_http(""), Err(Failure::Broken));
        assert_eq!(name_in_http("nonsense"), Err(Failure::Unintelligible));
    }
}
