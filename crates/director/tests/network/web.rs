//! Large transfers with programs everybody has: curl against a small web server, and iperf3.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lab::net::Namespace;

use crate::world::PATIENCE;

/// Bytes of a large download or upload.
pub(crate) const LARGE: u64 = 100 << 20;
/// Where iperf3 is served, by the virtual address and by the server.
pub(crate) const IPERF: u16 = 5201;

/// Serves HTTP: GET brings [`LARGE`] bytes, PUT tells how many came.
pub(crate) fn serve(server: &Namespace, at: SocketAddr) {
    let listener = server.enter(|| TcpListener::bind(at)).unwrap().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
}

fn answer(mut stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().ok()?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let head = |length: u64| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    if first.starts_with("PUT") {
        let came = std::io::copy(&mut reader.take(length), &mut std::io::sink()).ok()?;
        let text = came.to_string();
        return stream.write_all((head(text.len() as u64) + &text).as_bytes()).ok();
    }
    stream.write_all(head(LARGE).as_bytes()).ok()?;
    let block = vec![0x5a; 1 << 20];
    (0..LARGE >> 20).try_for_each(|_| stream.write_all(&block)).ok()
}

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (out, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {out}{error}");
    out.into_owned()
}

/// What curl fetches from a virtual address: bytes.
pub(crate) fn fetch(client: &Namespace, from: Ipv4Addr) -> u64 {
    let mut curl = client.command("curl");
    curl.args(["-sS", "-m", "60", "-o", "/dev/null", "-w", "%{size_download}"]);
    run(curl.arg(format!("http://{from}/large"))).trim().parse().unwrap()
}

/// What curl brought to a virtual address, as the server counted.
pub(crate) fn bring(client: &Namespace, to: Ipv4Addr) -> u64 {
    let path = std::env::temp_dir().join(format!("{}-upload", client.name()));
    std::fs::File::create(&path).and_then(|file| file.set_len(LARGE)).unwrap();
    let mut curl = client.command("curl");
    curl.args(["-sS", "-m", "60", "-H", "Expect:", "-T"]).arg(&path);
    let counted = run(curl.arg(format!("http://{to}/large")));
    let _ = std::fs::remove_file(&path);
    counted.trim().parse().unwrap()
}

/// An iperf3 server, for as long as this lives.
pub(crate) struct Iperf(Child);

impl Iperf {
    /// At an address: datagrams are answered from there.
    pub(crate) fn serve(server: &Namespace, at: Ipv4Addr) -> Iperf {
        let mut iperf = server.command("iperf3");
        iperf.args(["-s", "-p", &IPERF.to_string(), "-B", &at.to_string()]);
        let child =
            iperf.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let listens = || server.enter(|| TcpStream::connect((at, IPERF)).is_ok()).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !listens() {
            assert!(Instant::now() < deadline, "iperf3 does not listen");
            thread::sleep(Duration::from_millis(50));
        }
        Iperf(child)
    }
}

impl Drop for Iperf {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One run of iperf3's client: bytes received, and the share of datagrams lost in percent. Its first
/// datagram may be lost on a machine with much to do: then it counts none, and is asked again.
pub(crate) fn iperf(client: &Namespace, to: Ipv4Addr, how: &[&str]) -> (u64, f64) {
    let mut report = String::new();
    for _ in 0..IPERF_TRIES {
        let mut iperf = client.command("iperf3");
        iperf.args(["-c", &to.to_string(), "-p", &IPERF.to_string(), "-J"]).args(how);
        let output = iperf.stdin(Stdio::null()).output().unwrap();
        report = String::from_utf8_lossy(&output.stdout).into_owned();
        if let Some(found) = received(&report, how.contains(&"-u")) {
            return found;
        }
        thread::sleep(Duration::from_millis(500));
    }
    panic!("{how:?}: {report}");
}

const IPERF_TRIES: usize = 3;

fn received(report: &str, datagrams: bool) -> Option<(u64, f64)> {
    let end = &report[report.find("\"end\":\t{")?..];
    let number = |within: &str, name: &str| -> Option<f64> {
        let at = end.find(&format!("\"{within}\":"))?;
        let rest = &end[at..];
        let rest = &rest[rest.find(&format!("\"{name}\":"))? + name.len() + 3..];
        rest.split([',', '\n', '}']).next()?.trim().parse().ok()
    };
    match number("sum_received", "bytes") {
        Some(bytes) if !datagrams => Some((bytes as u64, 0.0)),
        _ => Some((number("sum", "bytes")? as u64, number("sum", "lost_percent")?)),
    }
}
