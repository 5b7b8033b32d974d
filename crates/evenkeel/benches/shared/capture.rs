//! Packets on the wire with the kernel's time stamps.

use std::io::{self, BufReader, Read};
use std::net::Ipv4Addr;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use lab::net::Namespace;

/// Nanoseconds since the epoch, as packet captures count them.
pub(crate) type Nanos = u64;

/// One IPv4 packet on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) at: Nanos,
    pub(crate) source: Ipv4Addr,
    /// What follows the IP header.
    payload: [u8; 4],
}

impl Packet {
    /// Of a VRRP advert.
    pub(crate) fn virtual_router_id(&self) -> u8 {
        self.payload[1]
    }

    /// Of a VRRP advert.
    pub(crate) fn priority(&self) -> u8 {
        self.payload[2]
    }
}

/// The packets that pass an interface, captured until dropped.
pub(crate) struct Capture {
    tcpdump: Child,
    packets: Arc<Mutex<Vec<Packet>>>,
}

impl Capture {
    /// Begins to capture what tcpdump's filter lets through.
    pub(crate) fn start(
        namespace: &Namespace,
        interface: &str,
        filter: &str,
    ) -> io::Result<Capture> {
        let mut tcpdump = namespace
            .command("tcpdump")
            .args(["-i", interface, "-w", "-", "-U", "--immediate-mode", "-B", "8192"])
            .args(["--time-stamp-precision", "nano", "-Z", "root", filter])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = tcpdump.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let packets = Arc::new(Mutex::new(Vec::new()));
        let to = packets.clone();
        thread::spawn(move || read_packets(BufReader::new(output), &to));
        thread::sleep(Duration::from_millis(500));
        Ok(Capture { tcpdump, packets })
    }

    /// What was captured since the last call.
    pub(crate) fn take(&self) -> Vec<Packet> {
        std::mem::take(&mut *self.packets.lock().expect("no reader panics"))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.tcpdump.kill();
        let _ = self.tcpdump.wait();
    }
}

/// The classic capture format with nanoseconds, in this machine's byte order.
fn read_packets(mut from: impl Read, to: &Mutex<Vec<Packet>>) {
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
        // Ethernet, then IPv4 without options.
        if let [_, _, _, _, _, _, _, _, _, _, _, _, _, _, ip @ ..] = packet.as_slice()
            && let Some(&[a, b, c, d]) = ip.get(12..16)
            && let Some(&[e, f, g, h]) = ip.get(20..24)
        {
            let packet = Packet { at, source: [a, b, c, d].into(), payload: [e, f, g, h] };
            to.lock().expect("no reader panics").push(packet);
        }
    }
}
