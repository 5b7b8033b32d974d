//! What is seen on the backup's side: adverts with the kernel's time stamps, and addresses.

use std::io::{self, BufReader, Read};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use edge::netlink::Socket;
use lab::net::Namespace;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Nanoseconds since the epoch, as packet captures count them.
pub(crate) type Nanos = u64;

/// One VRRP advert on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Advert {
    pub(crate) at: Nanos,
    pub(crate) source: Ipv4Addr,
    pub(crate) virtual_router_id: u8,
    pub(crate) priority: u8,
}

/// The adverts that pass an interface, captured until dropped.
pub(crate) struct Capture {
    tcpdump: Child,
    adverts: Arc<Mutex<Vec<Advert>>>,
}

impl Capture {
    /// Begins to capture.
    pub(crate) fn start(namespace: &Namespace, interface: &str) -> io::Result<Capture> {
        let mut tcpdump = namespace
            .command("tcpdump")
            .args(["-i", interface, "-w", "-", "-U", "--immediate-mode", "-B", "8192"])
            .args(["--time-stamp-precision", "nano", "-Z", "root", "ip proto 112"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = tcpdump.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let adverts = Arc::new(Mutex::new(Vec::new()));
        let to = adverts.clone();
        thread::spawn(move || read_packets(BufReader::new(output), &to));
        thread::sleep(Duration::from_millis(500));
        Ok(Capture { tcpdump, adverts })
    }

    /// What was captured since the last call.
    pub(crate) fn take(&self) -> Vec<Advert> {
        std::mem::take(&mut *self.adverts.lock().expect("no reader panics"))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.tcpdump.kill();
        let _ = self.tcpdump.wait();
    }
}

/// The classic capture format with nanoseconds, in this machine's byte order.
fn read_packets(mut from: impl Read, to: &Mutex<Vec<Advert>>) {
    let mut header = [0; 24];
    if from.read_exact(&mut header).is_err() {
        return;
    }
    let word = |bytes: &[u8]| u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let mut record = [0; 16];
    while from.read_exact(&mut record).is_ok() {
        let at = u64::from(word(&record)) * 1_000_000_000 + u64::from(word(&record[4..]));
        let mut packet = vec![0; word(&record[8..]) as usize];
        if from.read_exact(&mut packet).is_err() {
            return;
        }
        // Ethernet, IPv4 without options, VRRP: version, id, priority.
        if let [_, _, _, _, _, _, _, _, _, _, _, _, _, _, ip @ ..] = packet.as_slice()
            && let Some(&[virtual_router_id, priority]) = ip.get(21..23)
            && let Some(&[a, b, c, d]) = ip.get(12..16)
        {
            let source = Ipv4Addr::new(a, b, c, d);
            let advert = Advert { at, source, virtual_router_id, priority };
            to.lock().expect("no reader panics").push(advert);
        }
    }
}

/// When addresses came to a namespace.
pub(crate) struct Addresses {
    stop: Arc<AtomicBool>,
    events: Arc<Mutex<Vec<Nanos>>>,
    thread: Option<JoinHandle<()>>,
}

impl Addresses {
    /// Begins to watch.
    pub(crate) fn watch(namespace: &Namespace) -> io::Result<Addresses> {
        let mut socket = namespace.enter(Socket::open)??;
        socket.subscribe(&[libc::RTNLGRP_IPV4_IFADDR])?;
        let stop = Arc::new(AtomicBool::new(false));
        let events = Arc::new(Mutex::new(Vec::new()));
        let (until, to) = (stop.clone(), events.clone());
        let thread = thread::spawn(move || {
            // It must see them as they come, whoever else is busy.
            let _ = edge::realtime::raise_priority(60);
            let patience = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            while !until.load(Ordering::Relaxed) {
                let mut ready = [PollFd::new(&socket, PollFlags::IN)];
                let _ = poll(&mut ready, Some(&patience));
                let Ok(messages) = socket.receive() else { continue };
                let at = now();
                let added = messages.iter().filter(|one| edge::netlink::address::is_new(one));
                let count = added.count();
                to.lock().expect("no reader panics").extend(std::iter::repeat_n(at, count));
            }
        });
        Ok(Addresses { stop, events, thread: Some(thread) })
    }

    /// When addresses were added since the last call.
    pub(crate) fn take(&self) -> Vec<Nanos> {
        std::mem::take(&mut *self.events.lock().expect("no reader panics"))
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Now, on the clock of the captures.
pub(crate) fn now() -> Nanos {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as Nanos)
}

/// Whether the tools are there.
pub(crate) fn missing_tool() -> Option<String> {
    ["tcpdump", "keepalived", "ip"].into_iter().find_map(|tool| {
        let found = Command::new(tool).arg("--version").output().is_ok();
        (!found).then(|| format!("`{tool}` is not installed"))
    })
}
