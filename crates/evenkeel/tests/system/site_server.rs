//! The web servers of a site: small, and each answers with its name.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lab::net::Namespace;

/// A web server that answers with its name; `/stream` sends its name every 20 ms until the
/// client leaves.
pub(crate) struct Server {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on port 80 of every address of both families.
    pub(crate) fn start(namespace: &Namespace, name: String) -> io::Result<Server> {
        let listener = namespace.enter(|| TcpListener::bind("[::]:80"))??;
        listener.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let (name, stopped) = (name.clone(), Arc::clone(&stopped));
                        thread::spawn(move || serve(stream, &name, &stopped));
                    }
                    Err(_) => thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        Ok(Server { stop, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(stream: TcpStream, name: &str, stop: &AtomicBool) -> Option<()> {
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let mut lines = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut request = String::new();
        if lines.read_line(&mut request).ok()? == 0 {
            return None;
        }
        let mut close = false;
        loop {
            let mut header = String::new();
            lines.read_line(&mut header).ok()?;
            close |= header.eq_ignore_ascii_case("connection: close\r\n");
            if header.trim_end().is_empty() {
                break;
            }
        }
        if request.starts_with("GET /stream") {
            writer.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").ok()?;
            while !stop.load(Ordering::Relaxed) {
                writer.write_all(name.as_bytes()).ok()?;
                thread::sleep(Duration::from_millis(20));
            }
            return None;
        }
        write!(writer, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len()).ok()?;
        if close {
            return None;
        }
    }
}
