//! The system calls of the data path, as thin as they can be. Errors are errno values: the hot
//! path compares them and never boxes anything.

use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use proxy::log::Date;

pub(crate) type Result<T> = std::result::Result<T, i32>;

pub(crate) const IN: u32 = libc::EPOLLIN as u32;
pub(crate) const OUT: u32 = libc::EPOLLOUT as u32;
/// The peer sent FIN, reset, or something failed: a short read does not mean drained.
pub(crate) const GONE: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

fn checked(result: isize) -> Result<usize> {
    usize::try_from(result).map_err(|_| errno())
}

pub(crate) fn recv(fd: &OwnedFd, buffer: &mut [u8]) -> Result<usize> {
    loop {
        // SAFETY: the kernel writes at most `buffer.len()` bytes into the buffer.
        let got = unsafe {
            libc::recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT)
        };
        match checked(got) {
            Err(libc::EINTR) => {}
            result => return result,
        }
    }
}

/// Nothing has arrived, not even an end: the connection looks alive.
pub(crate) fn is_quiet(fd: &OwnedFd) -> bool {
    let mut byte = 0u8;
    let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK;
    // SAFETY: at most one byte is written into `byte`.
    let got = unsafe { libc::recv(fd.as_raw_fd(), (&raw mut byte).cast(), 1, flags) };
    checked(got) == Err(libc::EAGAIN)
}

pub(crate) fn send(fd: &OwnedFd, bytes: &[u8]) -> Result<usize> {
    loop {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: the kernel reads at most `bytes.len()` bytes.
        let sent = unsafe { libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
        match checked(sent) {
            Err(libc::EINTR) => {}
            result => return result,
        }
    }
}

pub(crate) fn splice(from: &OwnedFd, to: &OwnedFd, most: usize) -> Result<usize> {
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    // SAFETY: both descriptors are open; no offsets are passed.
    let moved = unsafe {
        libc::splice(
            from.as_raw_fd(),
            std::ptr::null_mut(),
            to.as_raw_fd(),
            std::ptr::null_mut(),
            most,
            flags,
        )
    };
    checked(moved)
}

/// A non-blocking pipe: reading end, writing end.
pub(crate) fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two descriptors into `ends`.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) } < 0 {
        return Err(errno());
    }
    // SAFETY: pipe2 returned two new descriptors that nothing else owns.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Asks for a pipe of that size; what it is then.
pub(crate) fn grow_pipe(end: &OwnedFd, size: i32) -> Result<usize> {
    // SAFETY: F_SETPIPE_SZ takes an integer.
    let size = unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETPIPE_SZ, size) };
    checked(size as isize)
}

pub(crate) fn accept(listener: &OwnedFd) -> Result<(OwnedFd, SocketAddr)> {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the kernel writes at most `length` bytes into `storage`.
    let fd = unsafe {
        libc::accept4(listener.as_raw_fd(), storage.as_mut_ptr().cast(), &raw mut length, flags)
    };
    if fd < 0 {
        return Err(errno());
    }
    // SAFETY: accept4 returned a new descriptor that nothing else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: the storage was zeroed and then filled by the kernel; every bit pattern is valid.
    let storage = unsafe { storage.assume_init() };
    Ok((fd, address_of(&storage)))
}

/// The local address of a connection.
pub(crate) fn local_address(fd: &OwnedFd) -> Option<SocketAddr> {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into `storage`.
    let done =
        unsafe { libc::getsockname(fd.as_raw_fd(), storage.as_mut_ptr().cast(), &raw mut length) };
    // SAFETY: the storage was zeroed; every bit pattern is valid.
    (done == 0).then(|| address_of(&unsafe { storage.assume_init() }))
}

fn address_of(storage: &libc::sockaddr_storage) -> SocketAddr {
    let pointer: *const libc::sockaddr_storage = storage;
    match i32::from(storage.ss_family) {
        libc::AF_INET6 => {
            // SAFETY: the family says that the storage holds a sockaddr_in6, which fits in it.
            let six = unsafe { &*pointer.cast::<libc::sockaddr_in6>() };
            let address = Ipv6Addr::from(six.sin6_addr.s6_addr);
            SocketAddrV6::new(address, u16::from_be(six.sin6_port), 0, six.sin6_scope_id).into()
        }
        _ => {
            // SAFETY: a sockaddr_in fits in the storage; its fields take any bits.
            let four = unsafe { &*pointer.cast::<libc::sockaddr_in>() };
            let address = Ipv4Addr::from(u32::from_be(four.sin_addr.s_addr));
            SocketAddrV4::new(address, u16::from_be(four.sin_port)).into()
        }
    }
}

fn set_option(fd: &OwnedFd, level: i32, option: i32, value: i32) -> Result<()> {
    let size = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the kernel reads `size` bytes of `value`.
    let done =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, (&raw const value).cast(), size) };
    checked(done as isize).map(|_| ())
}

/// Urgent data stays in the stream: else it would end a read early. Accepted sockets inherit it.
pub(crate) fn keep_urgent_inline(fd: &OwnedFd) -> Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_OOBINLINE, 1)
}

/// Begins to connect. The socket is non-blocking, without Nagle's delay.
pub(crate) fn connect(address: &SocketAddr) -> Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: socket takes integers.
    let fd = unsafe { libc::socket(family, kind, 0) };
    if fd < 0 {
        return Err(errno());
    }
    // SAFETY: socket returned a new descriptor that nothing else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    set_option(&fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    keep_urgent_inline(&fd)?;
    let done = match address {
        SocketAddr::V4(address) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
                sin_zero: [0; 8],
            };
            connect_raw(&fd, (&raw const raw).cast(), size_of_val(&raw))
        }
        SocketAddr::V6(address) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            };
            connect_raw(&fd, (&raw const raw).cast(), size_of_val(&raw))
        }
    };
    match done {
        Ok(()) | Err(libc::EINPROGRESS) => Ok(fd),
        Err(error) => Err(error),
    }
}

fn connect_raw(fd: &OwnedFd, address: *const libc::sockaddr, length: usize) -> Result<()> {
    // SAFETY: the callers pass a socket address of that length that outlives the call.
    let done = unsafe { libc::connect(fd.as_raw_fd(), address, length as libc::socklen_t) };
    checked(done as isize).map(|_| ())
}

/// The connection's pending error, 0 when there is none.
pub(crate) fn socket_error(fd: &OwnedFd) -> i32 {
    let mut value = 0i32;
    let mut size = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` bytes into `value`.
    let done = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            (&raw mut value).cast(),
            &raw mut size,
        )
    };
    if done < 0 { errno() } else { value }
}

/// Sends FIN; what the peer still sends can be read.
pub(crate) fn shutdown_write(fd: &OwnedFd) {
    // SAFETY: shutdown takes integers. An error means that the connection is gone already.
    unsafe { libc::shutdown(fd.as_raw_fd(), libc::SHUT_WR) };
}

/// An epoll instance.
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    pub(crate) fn new() -> Result<Epoll> {
        // SAFETY: epoll_create1 takes an integer.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(errno());
        }
        // SAFETY: epoll_create1 returned a new descriptor that nothing else owns.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Registers once, edge-triggered, for everything that can happen.
    pub(crate) fn add(&self, fd: RawFd, token: u64) -> Result<()> {
        let events = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET) as u32;
        self.control(libc::EPOLL_CTL_ADD, fd, events, token)
    }

    pub(crate) fn remove(&self, fd: RawFd) -> Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    fn control(&self, operation: i32, fd: RawFd, events: u32, token: u64) -> Result<()> {
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: the kernel reads `event`.
        let done = unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd, &raw mut event) };
        checked(done as isize).map(|_| ())
    }

    /// Waits; how many of `events` were filled.
    pub(crate) fn wait(&self, events: &mut [libc::epoll_event], timeout_ms: i32) -> usize {
        // SAFETY: the kernel writes at most `events.len()` events.
        let count = unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                events.as_mut_ptr(),
                events.len() as i32,
                timeout_ms,
            )
        };
        usize::try_from(count).unwrap_or(0)
    }
}

/// An eventfd: another thread's way to wake an epoll.
pub(crate) fn event_counter() -> Result<OwnedFd> {
    // SAFETY: eventfd takes integers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(errno());
    }
    // SAFETY: eventfd returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(crate) fn wake(counter: &OwnedFd) {
    let one = 1u64.to_ne_bytes();
    // SAFETY: eight bytes are read. A full counter has woken its reader already.
    unsafe { libc::write(counter.as_raw_fd(), one.as_ptr().cast(), one.len()) };
}

pub(crate) fn drain_counter(counter: &OwnedFd) {
    let mut value = [0u8; 8];
    // SAFETY: at most eight bytes are written into `value`.
    unsafe { libc::read(counter.as_raw_fd(), value.as_mut_ptr().cast(), value.len()) };
}

/// Seconds and milliseconds since 1970.
pub(crate) fn wall_ms() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes `now`.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now) };
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

/// The local calendar date of a second since 1970.
pub(crate) fn local_date(seconds: i64) -> Date {
    let mut fields = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: localtime_r reads `seconds` and fills `fields`; zeroed fields are valid as well.
    let fields = unsafe {
        libc::localtime_r(&raw const seconds, fields.as_mut_ptr());
        fields.assume_init()
    };
    Date {
        year: (fields.tm_year + 1900) as u16,
        month: fields.tm_mon as u8,
        day: fields.tm_mday as u8,
        hour: fields.tm_hour as u8,
        minute: fields.tm_min as u8,
        second: fields.tm_sec as u8,
        millisecond: 0,
    }
}
