//! The machines behind the directors: small servers that answer with their name.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use model::layer4::Protocol;
use rustix::net::{Shutdown as Both, shutdown};

use crate::net::Namespace;

/// Header in which every HTTP answer names the machine it came from.
pub(crate) const NAME_HEADER: &str = "x-lab-server";
/// The page at every path that a checker compares with a digest.
pub(crate) const CHECKED_PAGE: &str = "checked by evenkeel\n";
/// MD5 of [`CHECKED_PAGE`], as keepalived.conf writes it.
pub(crate) const CHECKED_DIGEST: &str = "0727b9fcd15dd690eb8c206eb7fc3c2f";
/// Longest request head a machine reads.
const HEAD_MAX: u64 = 16 << 10;
/// How long a machine waits for a client.
const PATIENCE: Duration = Duration::from_secs(60);

/// One machine; its servers run from creation or [`start`](Self::start) to
/// [`kill`](Self::kill) or drop.
pub(crate) struct Machine {
    identity: Arc<Identity>,
    namespace: Namespace,
    ports: Vec<(Protocol, u16)>,
    running: Option<Running>,
}

/// What a machine answers.
struct Identity {
    name: String,
    /// Paths whose page is [`CHECKED_PAGE`].
    checked_paths: Vec<String>,
    /// Ports on which the server speaks first.
    greeting_ports: Vec<u16>,
}

struct Running {
    stop: Arc<AtomicBool>,
    listeners: Vec<Arc<TcpListener>>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Machine {
    /// A machine with its servers running in `namespace`.
    pub(crate) fn start_in(
        namespace: &Namespace,
        name: &str,
        ports: &[(Protocol, u16)],
        checked_paths: &[String],
        greeting_ports: &[u16],
    ) -> io::Result<Machine> {
        let mut machine = Machine {
            identity: Arc::new(Identity {
                name: name.to_owned(),
                checked_paths: checked_paths.to_vec(),
                greeting_ports: greeting_ports.to_vec(),
            }),
            namespace: namespace.clone(),
            ports: ports.to_vec(),
            running: None,
        };
        machine.start()?;
        Ok(machine)
    }

    /// Starts its servers, if they do not run.
    pub(crate) fn start(&mut self) -> io::Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let mut running = Running {
            stop: Arc::new(AtomicBool::new(false)),
            listeners: Vec::new(),
            connections: Arc::new(Mutex::new(Vec::new())),
            threads: Vec::new(),
        };
        for &(protocol, port) in &self.ports {
            let identity = Arc::clone(&self.identity);
            let stop = Arc::clone(&running.stop);
            match protocol {
                Protocol::Tcp => {
                    let listener =
                        Arc::new(self.namespace.enter(|| TcpListener::bind(("0.0.0.0", port)))??);
                    running.listeners.push(Arc::clone(&listener));
                    let connections = Arc::clone(&running.connections);
                    running.threads.push(thread::spawn(move || {
                        accept_until(&stop, &listener, &connections, &identity);
                    }));
                }
                Protocol::Udp => {
                    let socket = self.namespace.enter(|| UdpSocket::bind(("0.0.0.0", port)))??;
                    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
                    running
                        .threads
                        .push(thread::spawn(move || echo_until(&stop, &socket, &identity)));
                }
                // Such services are left out of topologies.
                Protocol::Sctp => {}
            }
        }
        self.running = Some(running);
        Ok(())
    }

    /// Kills its servers as SIGKILL would: ports refuse, open connections break.
    pub(crate) fn kill(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.stop.store(true, Ordering::Relaxed);
        for listener in &running.listeners {
            // On Linux this wakes a thread that waits in accept.
            let _ = shutdown(listener, Both::Both);
        }
        drop(running.listeners);
        for connection in lock(&running.connections).drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        for thread in running.threads {
            let _ = thread.join();
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn accept_until(
    stop: &AtomicBool,
    listener: &TcpListener,
    connections: &Arc<Mutex<Vec<TcpStream>>>,
    identity: &Arc<Identity>,
) {
    let port = listener.local_addr().map_or(0, |address| address.port());
    loop {
        let accepted = listener.accept();
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let Ok((stream, client)) = accepted else {
            thread::sleep(Duration::from_millis(5));
            continue;
        };
        let Ok(copy) = stream.try_clone() else { continue };
        lock(connections).push(copy);
        let connections = Arc::clone(connections);
        let identity = Arc::clone(identity);
        let serving = thread::Builder::new().stack_size(128 << 10).spawn(move || {
            let _ = serve(&stream, port, &identity);
            lock(&connections).retain(|open| open.peer_addr().is_ok_and(|peer| peer != client));
        });
        // Without a thread the connection closes, which the client counts as a failure.
        drop(serving);
    }
}

fn echo_until(stop: &AtomicBool, socket: &UdpSocket, identity: &Identity) {
    let mut datagram = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((_, client)) = socket.recv_from(&mut datagram) {
            let _ = socket.send_to(identity.name.as_bytes(), client);
        }
    }
}

/// One connection, until the client closes it.
fn serve(stream: &TcpStream, port: u16, identity: &Identity) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut writer = stream;
    if identity.greeting_ports.contains(&port) {
        writer.write_all(format!("220 {} ready\r\n", identity.name).as_bytes())?;
        // Whatever the client says after that, the connection ends with it.
        let mut rest = [0; 512];
        let _ = (&mut writer).read(&mut rest)?;
        return Ok(());
    }
    let mut reader = BufReader::new(stream);
    while let Some(head) = Head::read(&mut reader)? {
        let checked = identity.checked_paths.contains(&head.path);
        let body = if checked { CHECKED_PAGE.to_owned() } else { format!("{}\n", identity.name) };
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n{NAME_HEADER}: {}\r\n{}\r\n",
            body.len(),
            identity.name,
            if head.close { "Connection: close\r\n" } else { "" },
        );
        if !head.no_body {
            answer.push_str(&body);
        }
        writer.write_all(answer.as_bytes())?;
        if head.close {
            return Ok(());
        }
    }
    Ok(())
}

/// As much of a request's head as a machine looks at.
struct Head {
    path: String,
    no_body: bool,
    close: bool,
}

impl Head {
    /// The next request; nothing at the end of the connection.
    fn read(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Head>> {
        let mut bounded = reader.take(HEAD_MAX);
        let mut line = String::new();
        if bounded.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or("/").to_owned();
        let mut close = words.next() != Some("HTTP/1.1");
        loop {
            line.clear();
            if bounded.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
                break;
            }
            let line = line.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("connection:") {
                close = match value.trim() {
                    "close" => true,
                    "keep-alive" => false,
                    _ => close,
                };
            }
        }
        let path = target.split('?').next().unwrap_or_default().to_owned();
        Ok(Some(Head { path, no_body: method == "HEAD", close }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Net, missing};

    fn exchange(namespace: &Namespace, port: u16, request: &str) -> io::Result<String> {
        namespace.enter(|| {
            let mut stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.write_all(request.as_bytes())?;
            stream.shutdown(Shutdown::Write)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        })?
    }

    #[test]
    fn a_machine_answers_with_its_name_until_it_is_killed_and_again_once_started() {
        if let Some(reason) = missing() {
            println!("skipped: {reason}");
            return;
        }
        let net = Net::new("server").unwrap();
        let inside = net.namespace("web").unwrap();
        let ports = [(Protocol::Tcp, 80), (Protocol::Tcp, 25), (Protocol::Udp, 53)];
        let checked = ["/test.jsp".to_owned()];
        let mut machine = Machine::start_in(&inside, "web1", &ports, &checked, &[25]).unwrap();
        let request = "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /test.jsp HTTP/1.1\r\n\r\n";
        let answer = exchange(&inside, 80, request).unwrap();
        assert!(answer.contains("x-lab-server: web1") && answer.ends_with(CHECKED_PAGE));
        assert!(exchange(&inside, 25, "").unwrap().starts_with("220 web1"));
        machine.kill();
        let refused = exchange(&inside, 80, request).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        machine.start().unwrap();
        assert!(exchange(&inside, 80, request).is_ok());
    }

    #[test]
    fn the_digest_is_that_of_the_page() {
        let mut md5sum = std::process::Command::new("md5sum")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        md5sum.stdin.take().unwrap().write_all(CHECKED_PAGE.as_bytes()).unwrap();
        let output = md5sum.wait_with_output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).starts_with(CHECKED_DIGEST));
    }
}
