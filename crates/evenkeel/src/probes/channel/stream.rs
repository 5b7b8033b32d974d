//! A TCP connection.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use edge::connect::{self, Moved};
use model::check::Source;

use super::Happened;

pub(in crate::probes) struct Stream {
    pub(super) stream: TcpStream,
    state: State,
    unsent: Vec<u8>,
}

enum State {
    Connecting,
    Open,
    /// Its end has been told.
    Over,
}

impl Stream {
    pub(super) fn connect(target: SocketAddr, source: &Source) -> io::Result<Stream> {
        let stream = connect::start(target, source)?;
        Ok(Stream { stream, state: State::Connecting, unsent: Vec::new() })
    }

    pub(super) fn next(&mut self, buffer: &mut [u8]) -> Happened {
        let happened = match self.state {
            State::Over => Happened::Nothing,
            State::Connecting => {
                let outcome = self.connected();
                Happened::Connected(outcome.map_err(|error| connect::cause(&error)))
            }
            State::Open => match self.flush().and_then(|()| connect::read(&self.stream, buffer)) {
                Ok(Moved::Bytes(count)) => Happened::Bytes(0..count),
                Ok(Moved::Blocked) => Happened::Nothing,
                Ok(Moved::End) => Happened::Ended(Ok(())),
                Err(error) => Happened::Ended(Err(connect::cause(&error))),
            },
        };
        if let Happened::Ended(_) = happened {
            self.state = State::Over;
        }
        happened
    }

    /// An event has come: the connection stands, or could not be made.
    pub(super) fn connected(&mut self) -> io::Result<()> {
        let outcome = connect::outcome(&self.stream);
        self.state = if outcome.is_ok() { State::Open } else { State::Over };
        outcome
    }

    pub(super) fn is_connecting(&self) -> bool {
        matches!(self.state, State::Connecting)
    }

    pub(super) fn send(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        if self.unsent.is_empty() {
            self.unsent = bytes;
        } else {
            self.unsent.extend_from_slice(&bytes);
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match connect::write(&self.stream, &self.unsent)? {
                Moved::Bytes(count) => drop(self.unsent.drain(..count)),
                Moved::Blocked | Moved::End => break,
            }
        }
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
