//! Bytes from one socket to another: what was read is written at once; what the sink does not
//! take waits, and the source is not read meanwhile. Long bodies go through a pipe.

use std::os::fd::OwnedFd;

use proxy::http1::{Body, HEADROOM, TAILROOM};

use crate::pipes::{Pipe, Pipes};
use crate::sys;

/// Bytes read at a time.
pub(crate) const CHUNK: usize = 64 << 10;
/// More than this left to move: splice instead of copying.
const SPLICE_FROM: u64 = 48 << 10;
/// Splices that move less than this are not worth their system calls.
const SPLICE_LEAST: usize = 16 << 10;
/// Bytes moved for one flow before others have their turn.
const BUDGET: usize = 2 << 20;
/// Idle buffers kept, and the largest one that is.
const BUFFERS_MAX: usize = 256;
const BUFFER_KEEP: usize = CHUNK;

/// The things of a thread that moving bytes needs.
pub(crate) struct Kit {
    scratch: Box<[u8]>,
    pub(crate) pipes: Pipes,
    buffers: Vec<Vec<u8>>,
    /// Counts reads and writes that moved something.
    pub(crate) moves: u64,
}

impl Kit {
    pub(crate) fn new() -> Kit {
        Kit {
            scratch: vec![0; HEADROOM + CHUNK + TAILROOM].into(),
            pipes: Pipes::default(),
            buffers: Vec::new(),
            moves: 0,
        }
    }

    /// The scratch buffer, whole. Messages begin at [`HEADROOM`].
    pub(crate) fn scratch(&mut self) -> &mut [u8] {
        &mut self.scratch
    }

    /// Copies bytes that must wait into a pooled buffer.
    pub(crate) fn keep(&mut self, buffer: &mut Vec<u8>, from: usize, to: usize) {
        if buffer.capacity() == 0 {
            *buffer = self.buffers.pop().unwrap_or_default();
        }
        buffer.extend_from_slice(&self.scratch[from..to]);
    }

    /// Gives a buffer back; an idle connection holds none.
    pub(crate) fn give(&mut self, buffer: &mut Vec<u8>) {
        let mut buffer = std::mem::take(buffer);
        if (1..=BUFFER_KEEP).contains(&buffer.capacity()) && self.buffers.len() < BUFFERS_MAX {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }
}

/// A connection's descriptor and what epoll said about it.
pub(crate) struct Io {
    pub(crate) fd: OwnedFd,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// FIN, reset or error were announced: read to the end.
    pub(crate) gone: bool,
    /// The end was read.
    pub(crate) ended: bool,
}

/// What a read found.
pub(crate) enum Read {
    Data(usize),
    Nothing,
    End,
    Error,
}

impl Io {
    pub(crate) fn new(fd: OwnedFd, readable: bool) -> Io {
        Io { fd, readable, writable: true, gone: false, ended: false }
    }

    pub(crate) fn note(&mut self, events: u32) {
        self.gone |= events & sys::GONE != 0;
        self.readable |= events & (sys::IN | sys::GONE) != 0;
        self.writable |= events & (sys::OUT | sys::GONE) != 0;
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Read {
        match sys::recv(&self.fd, buffer) {
            Ok(0) => {
                self.readable = false;
                self.ended = true;
                Read::End
            }
            Ok(count) => {
                if count < buffer.len() && !self.gone {
                    self.readable = false;
                }
                Read::Data(count)
            }
            Err(libc::EAGAIN) => {
                self.readable = false;
                Read::Nothing
            }
            Err(_) => {
                self.readable = false;
                self.ended = true;
                Read::Error
            }
        }
    }

    /// Writes what the socket takes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> sys::Result<usize> {
        match sys::send(&self.fd, bytes) {
            Ok(count) => {
                self.writable = count == bytes.len();
                Ok(count)
            }
            Err(libc::EAGAIN) => {
                self.writable = false;
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }
}

/// One direction of a session.
pub(crate) struct Flow {
    /// What is still to come of the message.
    pub(crate) body: Body,
    pending: Vec<u8>,
    sent: usize,
    pipe: Option<Pipe>,
    in_pipe: usize,
    bulk: bool,
    no_splice: bool,
    /// Bytes written to the sink.
    pub(crate) bytes: u64,
}

/// Why moving bytes stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// The body is over and written.
    Done,
    /// The source has nothing now.
    Starved,
    /// The sink takes nothing now.
    Blocked,
    /// Others have their turn.
    Yield,
    /// The source ended, and everything before that is written.
    SourceEnd,
    /// The source failed.
    SourceError,
    /// The sink failed.
    SinkError,
    /// The body breaks its framing.
    BadFraming,
}

impl Flow {
    pub(crate) fn new() -> Flow {
        Flow {
            body: Body::NONE,
            pending: Vec::new(),
            sent: 0,
            pipe: None,
            in_pipe: 0,
            bulk: false,
            no_splice: false,
            bytes: 0,
        }
    }

    /// Nothing waits to be written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.pending.is_empty() && self.in_pipe == 0
    }

    /// Ready for the next message.
    pub(crate) fn reset(&mut self, kit: &mut Kit) {
        kit.give(&mut self.pending);
        self.sent = 0;
        // A pipe with bytes of a broken session in it is closed, not used again.
        if let Some(pipe) = self.pipe.take()
            && self.in_pipe == 0
        {
            kit.pipes.give(pipe);
        }
        self.in_pipe = 0;
        self.body = Body::NONE;
        self.bytes = 0;
        self.bulk = false;
    }

    /// Writes bytes of the scratch buffer, keeping what the sink does not take.
    pub(crate) fn write_scratch(
        &mut self,
        kit: &mut Kit,
        to: &mut Io,
        from: usize,
        end: usize,
    ) -> sys::Result<()> {
        let sent = if self.is_flushed() { to.write(&kit.scratch[from..end])? } else { 0 };
        self.bytes += sent as u64;
        kit.moves += u64::from(sent > 0);
        if from + sent < end {
            kit.keep(&mut self.pending, from + sent, end);
        }
        Ok(())
    }

    /// Puts bytes in line before everything else that comes.
    pub(crate) fn queue(&mut self, kit: &mut Kit, bytes: &[u8]) {
        if self.pending.capacity() == 0 {
            self.pending = kit.buffers.pop().unwrap_or_default();
        }
        self.pending.extend_from_slice(bytes);
    }

    /// Writes what waits. False when the sink is full.
    fn flush(&mut self, kit: &mut Kit, to: &mut Io) -> Result<bool, Pumped> {
        while !self.pending.is_empty() {
            if !to.writable {
                return Ok(false);
            }
            let sent = to.write(&self.pending[self.sent..]).map_err(|_| Pumped::SinkError)?;
            self.sent += sent;
            self.bytes += sent as u64;
            kit.moves += u64::from(sent > 0);
            if self.sent == self.pending.len() {
                kit.give(&mut self.pending);
                self.sent = 0;
            }
        }
        while let Some(pipe) = &self.pipe {
            if self.in_pipe == 0 {
                if let Some(pipe) = self.pipe.take() {
                    kit.pipes.give(pipe);
                }
                break;
            }
            if !to.writable {
                return Ok(false);
            }
            match sys::splice(&pipe.read, &to.fd, self.in_pipe) {
                Ok(0) => return Err(Pumped::SinkError),
                Ok(count) => {
                    self.in_pipe -= count;
                    self.bytes += count as u64;
                    kit.moves += 1;
                }
                Err(libc::EAGAIN) => to.writable = false,
                Err(_) => return Err(Pumped::SinkError),
            }
        }
        Ok(true)
    }

    /// Writes what waits, and nothing else.
    pub(crate) fn drain(&mut self, kit: &mut Kit, to: &mut Io) -> Pumped {
        match self.flush(kit, to) {
            Ok(true) => Pumped::Done,
            Ok(false) => Pumped::Blocked,
            Err(stop) => stop,
        }
    }

    /// Moves bytes until something stops it. Bytes behind the body's end go to `rest`; without
    /// it they are dropped, and the source is marked as not to be used again.
    pub(crate) fn pump(
        &mut self,
        kit: &mut Kit,
        from: &mut Io,
        to: &mut Io,
        mut rest: Option<&mut Vec<u8>>,
    ) -> Pumped {
        let mut budget = BUDGET;
        loop {
            match self.flush(kit, to) {
                Ok(true) => {}
                Ok(false) => return Pumped::Blocked,
                Err(stop) => return stop,
            }
            if self.body.is_done() {
                return Pumped::Done;
            }
            if !from.readable {
                return if from.ended { Pumped::SourceEnd } else { Pumped::Starved };
            }
            if budget == 0 {
                return Pumped::Yield;
            }
            if self.wants_splice() {
                match self.fill_pipe(kit, from) {
                    Ok(Some(count)) => {
                        budget = budget.saturating_sub(count);
                        continue;
                    }
                    Ok(None) => {}
                    Err(stop) => return stop,
                }
            }
            let most = CHUNK;
            let count = match from.read(&mut kit.scratch[HEADROOM..HEADROOM + most]) {
                Read::Data(count) => count,
                Read::Nothing => continue,
                Read::End => return Pumped::SourceEnd,
                Read::Error => return Pumped::SourceError,
            };
            kit.moves += 1;
            budget = budget.saturating_sub(count);
            self.bulk = count == most;
            let Ok(used) = self.body.consume(&kit.scratch[HEADROOM..HEADROOM + count]) else {
                return Pumped::BadFraming;
            };
            if used < count {
                match &mut rest {
                    Some(rest) => kit.keep(rest, HEADROOM + used, HEADROOM + count),
                    None => from.gone = true,
                }
            }
            if self.write_scratch(kit, to, HEADROOM, HEADROOM + used).is_err() {
                return Pumped::SinkError;
            }
        }
    }

    fn wants_splice(&self) -> bool {
        let left = self.body.opaque();
        let many = if self.body.is_until_close() { self.bulk } else { left > SPLICE_FROM };
        many && !self.no_splice
    }

    /// Moves bytes into a pipe. `None`: copy instead.
    fn fill_pipe(&mut self, kit: &mut Kit, from: &mut Io) -> Result<Option<usize>, Pumped> {
        let Some(pipe) = self.pipe.take().or_else(|| kit.pipes.take()) else {
            return Ok(None);
        };
        let most = pipe.size.min(usize::try_from(self.body.opaque()).unwrap_or(usize::MAX));
        let moved = sys::splice(&from.fd, &pipe.write, most);
        self.pipe = Some(pipe);
        match moved {
            Ok(0) => {
                from.readable = false;
                from.ended = true;
                Ok(Some(0))
            }
            Ok(count) => {
                kit.moves += 1;
                self.in_pipe += count;
                self.body.skip(count as u64);
                if count < SPLICE_LEAST && self.body.is_until_close() {
                    self.bulk = false;
                }
                Ok(Some(count))
            }
            // The pipe was empty: it is the source that has nothing.
            Err(libc::EAGAIN) => {
                from.readable = false;
                Ok(Some(0))
            }
            Err(libc::EINVAL) => {
                self.no_splice = true;
                Ok(None)
            }
            Err(_) => {
                from.ended = true;
                Err(Pumped::SourceError)
            }
        }
    }
}
