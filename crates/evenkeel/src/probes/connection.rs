//! The one connection of a probe.

use std::io;
use std::net::{SocketAddr, TcpStream};

use edge::connect::{self, Moved};
use edge::poll::{Event, Interest, Poll};

/// Read at a time; what is left is reported by the next event.
const READ_CHUNK: usize = 16 << 10;

pub(super) struct Connection {
    /// Tells this connection's events from those of its place's earlier ones.
    pub(super) number: u32,
    token: u64,
    stream: TcpStream,
    connected: bool,
    unsent: Vec<u8>,
}

pub(super) enum Happened<'a> {
    Connected(Result<(), String>),
    Bytes(&'a [u8]),
    Ended(Result<(), String>),
}

impl Connection {
    pub(super) fn open(
        poll: &Poll,
        place: u32,
        number: u32,
        target: SocketAddr,
        bind: Option<SocketAddr>,
    ) -> io::Result<Connection> {
        let stream = connect::start(target, bind)?;
        let token = u64::from(number) << 32 | u64::from(place);
        poll.add(&stream, token, Interest::Write)?;
        Ok(Connection { number, token, stream, connected: false, unsent: Vec::new() })
    }

    /// Sends when the socket takes it: at the next event.
    pub(super) fn queue(&mut self, poll: &Poll, bytes: Vec<u8>) {
        self.unsent.extend_from_slice(&bytes);
        self.watch(poll);
    }

    pub(super) fn handle_event(
        &mut self,
        poll: &Poll,
        event: Event,
        mut tell: impl FnMut(Happened<'_>),
    ) {
        if !self.connected {
            self.connected = true;
            self.watch(poll);
            let outcome = connect::outcome(&self.stream);
            return tell(Happened::Connected(outcome.map_err(|error| connect::cause(&error))));
        }
        if event.writable && !self.unsent.is_empty() {
            match connect::write(&self.stream, &self.unsent) {
                Ok(Moved::Bytes(count)) => {
                    self.unsent.drain(..count);
                    self.watch(poll);
                }
                Ok(Moved::Blocked | Moved::End) => {}
                Err(error) => return tell(Happened::Ended(Err(connect::cause(&error)))),
            }
        }
        if event.readable {
            let mut buffer = [0; READ_CHUNK];
            match connect::read(&self.stream, &mut buffer) {
                Ok(Moved::Bytes(count)) => tell(Happened::Bytes(&buffer[..count])),
                Ok(Moved::Blocked) => {}
                Ok(Moved::End) => tell(Happened::Ended(Ok(()))),
                Err(error) => tell(Happened::Ended(Err(connect::cause(&error)))),
            }
        }
    }

    fn watch(&self, poll: &Poll) {
        let interest = Interest::read_and(!self.unsent.is_empty());
        // Fails only for a descriptor that is not in the set, and this one is.
        let _ = poll.modify(&self.stream, self.token, interest);
    }
}
