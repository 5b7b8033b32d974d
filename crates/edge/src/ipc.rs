//! Frames of bytes, with file descriptors beside them, over a Unix stream socket.
//!
//! A frame is an eight-byte header (length and number of descriptors, both `u32` little-endian)
//! and its bytes. Descriptors travel with SCM_RIGHTS on the header. The socket is non-blocking;
//! callers poll [`Channel`]'s descriptor and call [`Channel::flush`] and [`Channel::receive`].

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// Longest frame accepted: a Plan of forty thousand real servers is about a tenth of it.
pub const FRAME_MAX: usize = 256 << 20;
/// Most descriptors beside one frame: they travel in batches, one on each byte of the header.
pub const DESCRIPTORS_MAX: usize = HEADER * BATCH;

const HEADER: usize = 8;
/// Descriptors sent at once (the kernel's SCM_MAX_FD is 253).
const BATCH: usize = 250;
const READ_CHUNK: usize = 64 << 10;

/// One message, whole.
#[derive(Debug)]
pub struct Frame {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The descriptors that came with it, close-on-exec.
    pub descriptors: Vec<OwnedFd>,
}

/// What [`Channel::receive`] found.
#[derive(Debug)]
pub enum Received {
    /// A whole frame.
    Frame(Frame),
    /// Nothing more for the moment.
    Nothing,
    /// The other side is gone.
    Closed,
}

struct Outgoing {
    header: [u8; HEADER],
    bytes: Vec<u8>,
    /// Bytes of both that have left.
    sent: usize,
    descriptors: Vec<OwnedFd>,
}

impl Outgoing {
    /// What has not left yet of the header and of the frame, up to a byte of both.
    fn rest(&self, end: usize) -> [&[u8]; 2] {
        let of_frame = |at: usize| at.saturating_sub(HEADER);
        [
            &self.header[self.sent.min(HEADER)..end.min(HEADER)],
            &self.bytes[of_frame(self.sent)..of_frame(end)],
        ]
    }
}

/// One end of a conversation in frames.
pub struct Channel {
    socket: OwnedFd,
    inbound: Vec<u8>,
    arrived: VecDeque<OwnedFd>,
    outbound: VecDeque<Outgoing>,
    closed: bool,
}

impl Channel {
    /// Two connected ends; both close-on-exec and non-blocking.
    pub fn pair() -> io::Result<(Channel, Channel)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        Ok((Channel::over(ours), Channel::over(theirs)))
    }

    /// Takes over a connected stream socket and makes it non-blocking.
    pub fn from_socket(socket: OwnedFd) -> io::Result<Channel> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Channel::over(socket))
    }

    fn over(socket: OwnedFd) -> Channel {
        Channel {
            socket,
            inbound: Vec::new(),
            arrived: VecDeque::new(),
            outbound: VecDeque::new(),
            closed: false,
        }
    }

    /// The socket itself, for a child process to inherit.
    pub fn into_socket(self) -> OwnedFd {
        self.socket
    }

    /// Bytes are waiting to be flushed: poll for writing too.
    pub fn wants_write(&self) -> bool {
        !self.outbound.is_empty()
    }

    /// Frames that wait to be flushed.
    pub fn waiting(&self) -> usize {
        self.outbound.len()
    }

    /// Puts a frame in line; [`flush`](Self::flush) sends it. Panics on more descriptors than
    /// [`DESCRIPTORS_MAX`]: callers split.
    pub fn queue(&mut self, frame: impl Into<Vec<u8>>, descriptors: Vec<OwnedFd>) {
        let bytes = frame.into();
        assert!(descriptors.len() <= DESCRIPTORS_MAX && bytes.len() <= FRAME_MAX);
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        header[4..].copy_from_slice(&(descriptors.len() as u32).to_le_bytes());
        self.outbound.push_back(Outgoing { header, bytes, sent: 0, descriptors });
    }

    /// Puts a frame without descriptors in line. When this many wait already, the oldest that has
    /// not begun to leave is dropped; true says that it was.
    pub fn queue_bounded(&mut self, frame: impl Into<Vec<u8>>, waiting_max: usize) -> bool {
        let full = self.outbound.len() >= waiting_max;
        if full {
            // Half a frame must be followed by its other half.
            let begun = self.outbound.front().is_some_and(|first| first.sent > 0);
            self.outbound.remove(usize::from(begun));
        }
        self.queue(frame, Vec::new());
        full
    }

    /// Sends what the socket takes. True when nothing is left.
    pub fn flush(&mut self) -> io::Result<bool> {
        while let Some(first) = self.outbound.front_mut() {
            let batch = first.descriptors.len().min(BATCH);
            let borrowed: Vec<BorrowedFd<'_>> =
                first.descriptors[..batch].iter().map(|descriptor| descriptor.as_fd()).collect();
            // All but the last batch go with a single byte, so that each has one.
            let whole = HEADER + first.bytes.len();
            let end = if first.descriptors.len() > batch { first.sent + 1 } else { whole };
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !borrowed.is_empty() {
                control.push(SendAncillaryMessage::ScmRights(&borrowed));
            }
            let data = first.rest(end).map(IoSlice::new);
            match sendmsg(&self.socket, &data, &mut control, SendFlags::NOSIGNAL) {
                Ok(count) => {
                    first.sent += count;
                    drop(borrowed);
                    first.descriptors.drain(..batch);
                    if first.sent == whole {
                        self.outbound.pop_front();
                    }
                }
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// The next frame, if a whole one has arrived.
    pub fn receive(&mut self) -> io::Result<Received> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(Received::Frame(frame));
            }
            if self.closed {
                return Ok(Received::Closed);
            }
            let start = self.inbound.len();
            self.inbound.resize(start + READ_CHUNK, 0);
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let got = recvmsg(
                &self.socket,
                &mut [IoSliceMut::new(&mut self.inbound[start..])],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            );
            let count = got.as_ref().map_or(0, |message| message.bytes);
            self.inbound.truncate(start + count);
            match got {
                Ok(_) => {
                    for message in control.drain() {
                        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                            self.arrived.extend(descriptors);
                        }
                    }
                    self.closed = count == 0;
                }
                Err(Errno::AGAIN) => return Ok(Received::Nothing),
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => self.closed = true,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take_frame(&mut self) -> io::Result<Option<Frame>> {
        let Some((header, rest)) = self.inbound.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let [a, b, c, d, e, f, g, h] = *header;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let descriptors = u32::from_le_bytes([e, f, g, h]) as usize;
        if length > FRAME_MAX || descriptors > DESCRIPTORS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "frame header out of bounds"));
        }
        if rest.len() < length {
            return Ok(None);
        }
        if self.arrived.len() < descriptors {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "descriptors were lost"));
        }
        let bytes = match length < READ_CHUNK {
            true => {
                let bytes = rest[..length].to_vec();
                self.inbound.drain(..HEADER + length);
                bytes
            }
            // A large one stays where it is.
            false => {
                let behind = self.inbound.split_off(HEADER + length);
                let mut bytes = std::mem::replace(&mut self.inbound, behind);
                bytes.drain(..HEADER);
                bytes
            }
        };
        Ok(Some(Frame { bytes, descriptors: self.arrived.drain(..descriptors).collect() }))
    }

    /// Waits for a frame, flushing meanwhile. For clients and tests, not for event loops.
    pub fn wait(&mut self, at_most: Duration) -> io::Result<Received> {
        let deadline = Instant::now() + at_most;
        loop {
            self.flush()?;
            match self.receive()? {
                Received::Nothing => {}
                found => return Ok(found),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Received::Nothing);
            }
            let mut events = PollFlags::IN;
            if self.wants_write() {
                events |= PollFlags::OUT;
            }
            let timeout = Timespec::try_from(left).expect("a bounded wait fits a timespec");
            match poll(&mut [PollFd::new(&self.socket, events)], Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_larger_than_the_socket_buffer_arrives_whole_with_its_descriptor() {
        let (mut here, mut there) = Channel::pair().unwrap();
        let frame: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
        let extra = rustix::io::dup(&here).unwrap();
        here.queue(frame.clone(), vec![extra]);
        here.queue(b"second", vec![]);
        let mut got = Vec::new();
        while got.len() < 2 {
            here.flush().unwrap();
            while let Received::Frame(frame) = there.receive().unwrap() {
                got.push(frame);
            }
        }
        assert_eq!(got[0].bytes, frame);
        assert_eq!(got[0].descriptors.len(), 1);
        assert_eq!(got[1].bytes, b"second");
        assert!(got[1].descriptors.is_empty());
    }

    #[test]
    fn a_bounded_queue_drops_the_oldest_frame_but_no_half_frame() {
        let (mut here, mut there) = Channel::pair().unwrap();
        let long = vec![7; 3_000_000];
        here.queue(long.clone(), vec![]);
        assert!(!here.flush().unwrap());
        for number in 0..4u8 {
            assert_eq!(here.queue_bounded([number], 3), number >= 2);
        }
        let mut got = Vec::new();
        while got.len() < 3 {
            here.flush().unwrap();
            while let Received::Frame(frame) = there.receive().unwrap() {
                got.push(frame.bytes);
            }
        }
        assert_eq!(got, [long, vec![2], vec![3]]);
    }

    #[test]
    fn more_descriptors_than_the_kernel_takes_at_once_arrive_in_order() {
        let (mut here, mut there) = Channel::pair().unwrap();
        let pipes: Vec<_> = (0..600).map(|_| rustix::io::dup(&here).unwrap()).collect();
        here.queue(b"many", pipes);
        here.flush().unwrap();
        let Received::Frame(frame) = there.wait(Duration::from_secs(5)).unwrap() else {
            panic!("no frame")
        };
        assert_eq!(frame.descriptors.len(), 600);
    }

    #[test]
    fn a_header_out_of_bounds_is_an_error_not_an_allocation() {
        let (here, mut there) = Channel::pair().unwrap();
        rustix::io::write(&here, &[255; 8]).unwrap();
        assert!(there.receive().is_err());
    }

    #[test]
    fn the_end_of_the_other_side_is_reported_after_its_last_frame() {
        let (mut here, mut there) = Channel::pair().unwrap();
        here.queue(b"last words", vec![]);
        here.flush().unwrap();
        drop(here);
        assert!(matches!(there.receive().unwrap(), Received::Frame(_)));
        assert!(matches!(there.receive().unwrap(), Received::Closed));
    }
}
