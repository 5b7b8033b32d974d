//! Forks, executions, changes of name and ends of all processes, as the kernel's process
//! connector tells them (netlink family CONNECTOR, linux/cn_proc.h). Needs CAP_NET_ADMIN in the
//! first network namespace, and a kernel with CONFIG_PROC_EVENTS.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `CN_IDX_PROC` and `CN_VAL_PROC`: the connector's identity, and its multicast group.
const PROCESS: u32 = 1;
const LISTEN: u32 = 1;
/// struct nlmsghdr and struct cn_msg.
const NETLINK_HEADER: usize = 16;
const CONNECTOR_HEADER: usize = 20;
/// Before the event's own data: what, cpu, timestamp.
const EVENT_HEADER: usize = 16;
/// Room for a burst of forks while this process waits for its turn.
const RECEIVE_BUFFER: i32 = 1 << 20;

/// Something happened to a process (never to a thread of one alone).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    /// The connector works.
    Listening,
    /// A process has a child.
    Forked {
        /// The process.
        parent: u32,
        /// Its child.
        child: u32,
    },
    /// A process runs another program.
    Executed(u32),
    /// A process changed its name (/proc/PID/comm).
    Renamed(u32),
    /// A process ended.
    Ended(u32),
    /// Events were lost: all processes have to be looked at again.
    Lost,
}

/// A subscription to the events of all processes. Readable when there are any.
pub struct ProcessEvents {
    socket: OwnedFd,
}

impl ProcessEvents {
    /// Subscribes. The kernel answers with [`ProcessEvent::Listening`] if it will tell anything;
    /// in another network namespace than the first it takes the subscription or not, and tells
    /// nothing.
    pub fn subscribe() -> io::Result<ProcessEvents> {
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: socket takes integers.
        let socket = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_CONNECTOR) };
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nothing else owns.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        bind(&socket)?;
        let events = ProcessEvents { socket };
        events.enlarge();
        events.listen()?;
        Ok(events)
    }

    /// More room than the default; refused, the default has to do.
    fn enlarge(&self) {
        let size = RECEIVE_BUFFER;
        // SAFETY: the option's value is the integer beside, and its size is told.
        unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVBUFFORCE,
                (&raw const size).cast(),
                size_of::<i32>() as libc::socklen_t,
            )
        };
    }

    fn listen(&self) -> io::Result<()> {
        let mut message = Vec::with_capacity(NETLINK_HEADER + CONNECTOR_HEADER + 4);
        let length = (NETLINK_HEADER + CONNECTOR_HEADER + 4) as u32;
        message.extend_from_slice(&length.to_ne_bytes());
        message.extend_from_slice(&(libc::NLMSG_DONE as u16).to_ne_bytes());
        message.extend_from_slice(&[0; 10]);
        for word in [PROCESS, PROCESS, 0, 0] {
            message.extend_from_slice(&word.to_ne_bytes());
        }
        message.extend_from_slice(&4u16.to_ne_bytes());
        message.extend_from_slice(&0u16.to_ne_bytes());
        message.extend_from_slice(&LISTEN.to_ne_bytes());
        rustix::net::send(&self.socket, &message, rustix::net::SendFlags::empty())?;
        Ok(())
    }

    /// The next event, if any.
    pub fn next_event(&mut self) -> io::Result<Option<ProcessEvent>> {
        let mut buffer = [0u8; 512];
        loop {
            let mut from = SocketAddress::zero();
            let mut length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
            // SAFETY: buffer and address are ours, and their sizes are told.
            let got = unsafe {
                libc::recvfrom(
                    self.socket.as_raw_fd(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    0,
                    (&raw mut from.0).cast(),
                    &mut length,
                )
            };
            if got < 0 {
                let error = io::Error::last_os_error();
                match error.raw_os_error() {
                    Some(libc::EAGAIN) => return Ok(None),
                    Some(libc::EINTR) => continue,
                    Some(libc::ENOBUFS) => return Ok(Some(ProcessEvent::Lost)),
                    _ => return Err(error),
                }
            }
            // Anybody may send; only the kernel is believed.
            if from.0.nl_pid == 0
                && let Some(event) = parse(&buffer[..got.cast_unsigned()])
            {
                return Ok(Some(event));
            }
        }
    }
}

struct SocketAddress(libc::sockaddr_nl);

impl SocketAddress {
    fn zero() -> SocketAddress {
        // SAFETY: all of its fields are integers, for which zero is a value.
        SocketAddress(unsafe { std::mem::zeroed() })
    }
}

fn bind(socket: &OwnedFd) -> io::Result<()> {
    let mut address = SocketAddress::zero();
    address.0.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.0.nl_groups = PROCESS;
    // SAFETY: the address is ours and its size is told.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address.0).cast(),
            size_of::<libc::sockaddr_nl>() as libc::socklen_t,
        )
    };
    if bound < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// One message of the connector; nothing for those that are about threads or other matters.
fn parse(message: &[u8]) -> Option<ProcessEvent> {
    let connector = message.get(NETLINK_HEADER..)?;
    if (word(connector, 0)?, word(connector, 4)?) != (PROCESS, PROCESS) {
        return None;
    }
    let event = connector.get(CONNECTOR_HEADER..)?;
    let data = event.get(EVENT_HEADER..)?;
    // enum proc_event::what: a bit each.
    match word(event, 0)? {
        0 => Some(ProcessEvent::Listening),
        0x1 => {
            let (parent, child) = (word(data, 4)?, word(data, 12)?);
            // A thread has a number of its own within the process.
            (word(data, 8)? == child).then_some(ProcessEvent::Forked { parent, child })
        }
        0x2 => Some(ProcessEvent::Executed(word(data, 4)?)),
        0x200 => {
            let process = word(data, 4)?;
            (word(data, 0)? == process).then_some(ProcessEvent::Renamed(process))
        }
        0x8000_0000 => {
            let process = word(data, 4)?;
            (word(data, 0)? == process).then_some(ProcessEvent::Ended(process))
        }
        _ => None,
    }
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    let (word, _) = bytes.get(offset..)?.split_first_chunk::<4>()?;
    Some(u32::from_ne_bytes(*word))
}

impl AsFd for ProcessEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::{Duration, Instant};

    fn message(what: u32, data: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; NETLINK_HEADER];
        for word in [PROCESS, PROCESS, 0, 0, 0, what, 0, 0, 0].iter().chain(data) {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn threads_are_not_processes() {
        let forked = ProcessEvent::Forked { parent: 5, child: 7 };
        assert_eq!(parse(&message(1, &[5, 5, 7, 7])), Some(forked));
        assert_eq!(parse(&message(1, &[5, 5, 7, 5])), None);
        assert_eq!(parse(&message(0x8000_0000, &[7, 7, 0, 0])), Some(ProcessEvent::Ended(7)));
        assert_eq!(parse(&message(0x8000_0000, &[8, 7, 0, 0])), None);
        assert_eq!(parse(&message(0x200, &[7, 7])), Some(ProcessEvent::Renamed(7)));
        assert_eq!(parse(&message(4, &[7, 7])), None);
    }

    #[test]
    fn a_cut_message_is_nothing() {
        let whole = message(1, &[5, 5, 7, 7]);
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None);
        }
    }

    #[test]
    fn the_kernel_tells_of_a_process_from_its_start_to_its_end() {
        let mut events = match ProcessEvents::subscribe() {
            Ok(events) => events,
            Err(error) => return println!("skipped: no process connector: {error}"),
        };
        let mut child = Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut seen = Vec::new();
        while Instant::now() < deadline && !seen.contains(&ProcessEvent::Ended(pid)) {
            match events.next_event().unwrap() {
                Some(event) => seen.push(event),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        if !seen.contains(&ProcessEvent::Listening) {
            return println!("skipped: the kernel does not tell of processes here");
        }
        let child = |event: &&ProcessEvent| matches!(event, ProcessEvent::Forked { child, .. } if *child == pid);
        assert!(seen.iter().any(|event| child(&event)), "{seen:?}");
        assert!(seen.contains(&ProcessEvent::Executed(pid)), "{seen:?}");
        assert!(seen.contains(&ProcessEvent::Ended(pid)), "{seen:?}");
    }
}
