//! One request, and its answer until the connection closes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use edge::connect;
use model::check::{HttpVersion, Source};
use proto::check::genhash::PageDigest;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::dump;
use super::options::Options;
use super::tls;

/// Longest request: Keepalived's buffer cuts it there.
const REQUEST_MAX: usize = 2_047;

/// How it ended.
pub(super) enum End {
    /// The page's digest.
    Digest([u8; 16]),
    /// The connection closed before a head was there.
    Empty,
    /// In genhash's words.
    Failed(&'static str),
}

/// Fetches the page; `say` prints, when it is verbose.
pub(super) fn fetch(options: &Options, say: &mut dyn FnMut(&str)) -> End {
    let stream = match connected(options) {
        Ok(stream) => stream,
        Err(words) => return End::Failed(words),
    };
    if !options.tls {
        return exchange(stream, options, say);
    }
    match tls::handshake(stream, options) {
        Ok(stream) => exchange(stream, options, say),
        Err(error) if is_late(&error) => End::Failed("Timeout connecting"),
        Err(_) => End::Failed("SSL handshake/communication error connecting to"),
    }
}

fn connected(options: &Options) -> Result<TcpStream, &'static str> {
    let source = Source { mark: options.mark, ..Source::default() };
    let stream =
        connect::start(options.target, &source).map_err(|_| "HTTP_CHECK - network unreachable")?;
    match writable(&stream, options.timeout) {
        Ok(true) => connect::outcome(&stream).map_err(|_| "Connection failed")?,
        Ok(false) => return Err("Timeout connecting"),
        Err(_) => return Err("Error connecting"),
    }
    // A time-out of nothing would be none for the socket.
    let timeout = options.timeout.map(|timeout| timeout.max(Duration::from_millis(1)));
    let ready = stream
        .set_nonblocking(false)
        .and_then(|()| stream.set_read_timeout(timeout))
        .and_then(|()| stream.set_write_timeout(timeout));
    ready.map(|()| stream).map_err(|_| "Error connecting")
}

/// Whether the connection has come to an end of its connecting in time.
fn writable(stream: &TcpStream, timeout: Option<Duration>) -> io::Result<bool> {
    let timeout = timeout.map(|wait| Timespec {
        tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: wait.subsec_nanos().into(),
    });
    loop {
        let mut set = [PollFd::new(stream, PollFlags::OUT)];
        match poll(&mut set, timeout.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn exchange(mut stream: impl Read + Write, options: &Options, say: &mut dyn FnMut(&str)) -> End {
    let request = request(options);
    match stream.write_all(&request).and_then(|()| stream.flush()) {
        Ok(()) => {}
        Err(error) if is_late(&error) => return End::Failed("Timeout WEB write"),
        Err(_) => return End::Failed("Cannot send get request to"),
    }
    let mut page = PageDigest::default();
    let mut buffer = [0; 4_096];
    let mut begun = false;
    loop {
        let count = match stream.read(&mut buffer[..page.room()]) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if is_late(&error) => return End::Failed(late(options.tls, begun)),
            // TLS without a goodbye: the digest counts, as Keepalived has it.
            Err(_) if options.tls => return end(&page),
            Err(_) => return End::Failed("Read error with"),
        };
        begun = true;
        tell(&mut page, &buffer[..count], options.verbose, say);
    }
    if options.verbose {
        say(&dump::digest(page.digest()));
    }
    end(&page)
}

fn tell(page: &mut PageDigest, bytes: &[u8], verbose: bool, say: &mut dyn FnMut(&str)) {
    let awaited = !page.has_head();
    let heard = page.handle_bytes(bytes);
    if !verbose {
        return;
    }
    if awaited {
        say(&dump::awaiting_head());
    }
    match heard.head {
        Some(head) => say(&dump::head(&head, heard.body)),
        None => say(&dump::hexadecimal(heard.body)),
    }
}

fn end(page: &PageDigest) -> End {
    if page.has_head() { End::Digest(page.digest()) } else { End::Empty }
}

/// Like Keepalived's, User-Agent included: servers may answer by it.
fn request(options: &Options) -> Vec<u8> {
    let (minor, closing) = match options.version {
        HttpVersion::Http10 | HttpVersion::Http10KeepAlive => (0, ""),
        HttpVersion::Http10Close => (0, "Connection: close\r\n"),
        HttpVersion::Http11 | HttpVersion::Http11KeepAlive => (1, "Connection: close\r\n"),
    };
    let host = match &options.virtual_host {
        Some(host) => host.clone(),
        None => SocketAddr::to_string(&options.target),
    };
    let mut request = format!(
        "GET {} HTTP/1.{minor}\r\nUser-Agent: KeepAliveClient\r\n{closing}Host: {host}\r\n\r\n",
        options.url
    )
    .into_bytes();
    request.truncate(REQUEST_MAX);
    request
}

fn late(tls: bool, begun: bool) -> &'static str {
    match (begun, tls) {
        (false, _) => "Timeout WEB read",
        (true, false) => "Timeout HTTP read",
        (true, true) => "Timeout SSL read",
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
