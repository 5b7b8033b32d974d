//! What a probe has open: one socket of some kind.

mod stream;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use edge::connect::{Datagrams, Echo, refusal};

pub(super) use tls::Settings;

use stream::Stream;
use tls::TlsStream;

pub(super) enum Channel {
    Stream(Stream),
    Tls(Box<TlsStream>),
    Datagrams(Datagrams),
    Echo(Echo),
}

/// What happened on a channel.
pub(super) enum Happened {
    /// Nothing more: wait for the next event.
    Nothing,
    /// It is open, or could not be opened for this cause.
    Connected(Result<(), String>),
    /// These bytes of the buffer have arrived.
    Bytes(Range<usize>),
    /// The other side has closed it, or it broke for this cause.
    Ended(Result<(), String>),
}

impl Channel {
    pub(super) fn connect(
        target: SocketAddr,
        source: &model::check::Source,
        tls: Option<proto::check::Tls>,
        settings: &Settings,
    ) -> io::Result<Channel> {
        let stream = Stream::connect(target, source)?;
        Ok(match tls {
            None => Channel::Stream(stream),
            Some(tls) => Channel::Tls(Box::new(TlsStream::new(stream, target, tls, settings)?)),
        })
    }

    /// Open as soon as it exists: nothing has to be waited for.
    pub(super) fn is_connectionless(&self) -> bool {
        match self {
            Channel::Stream(_) | Channel::Tls(_) => false,
            Channel::Datagrams(_) | Channel::Echo(_) => true,
        }
    }

    /// The next thing that happened. To be asked until it is nothing: events come once only.
    pub(super) fn next(&mut self, buffer: &mut [u8]) -> Happened {
        match self {
            Channel::Stream(stream) => stream.next(buffer),
            Channel::Tls(tls) => tls.next(buffer),
            Channel::Datagrams(datagrams) => {
                received(datagrams.receive(buffer).map(|length| length.map(|length| 0..length)))
            }
            Channel::Echo(echo) => received(echo.receive(buffer)),
        }
    }

    /// Sends, now or as soon as there is room. An error is the end of the channel.
    pub(super) fn send(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        match self {
            Channel::Stream(stream) => stream.send(bytes),
            Channel::Tls(tls) => tls.send(&bytes),
            Channel::Datagrams(datagrams) => datagrams.send(&bytes),
            Channel::Echo(echo) => echo.send(&bytes),
        }
    }

    /// Why something went wrong on it, in words.
    pub(super) fn cause(&self, error: &io::Error) -> String {
        match self {
            Channel::Stream(_) | Channel::Tls(_) => edge::connect::cause(error),
            Channel::Datagrams(_) | Channel::Echo(_) => refusal(error),
        }
    }
}

fn received(outcome: io::Result<Option<Range<usize>>>) -> Happened {
    match outcome {
        Ok(Some(range)) => Happened::Bytes(range),
        Ok(None) => Happened::Nothing,
        Err(error) => Happened::Ended(Err(refusal(&error))),
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Channel::Stream(stream) => stream.as_fd(),
            Channel::Tls(tls) => tls.as_fd(),
            Channel::Datagrams(datagrams) => datagrams.as_fd(),
            Channel::Echo(echo) => echo.as_fd(),
        }
    }
}
