//! Flows, each of them only once.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use edge::frames::{FRAME, Frames};

use super::place::{Place, STREAMS, VIRTUAL};
use super::{Result, Settings};

/// Between two bursts.
const EVERY: Duration = Duration::from_millis(5);
/// The first client.
const CLIENTS: u32 = 0x0b00_0000;
/// The first one of those that speak TCP.
const STREAM_CLIENTS: u32 = 0x0c00_0000;
/// Flows of one client, and the first one's port.
const PORTS: u64 = 50_000;
const FIRST_PORT: u64 = 1024;

const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// The client's side of flow N.
pub(super) fn client(flow: u64) -> (Ipv4Addr, u16) {
    let address = CLIENTS + (flow / PORTS) as u32;
    (address.into(), (FIRST_PORT + flow % PORTS) as u16)
}

/// The flow that a client's side belongs to, if it is one of UDP.
pub(super) fn flow_of(address: Ipv4Addr, port: u16) -> Option<u64> {
    let client = u32::from(address).checked_sub(CLIENTS)?;
    let port = u64::from(port).checked_sub(FIRST_PORT).filter(|port| *port < PORTS)?;
    (u32::from(address) < STREAM_CLIENTS).then_some(u64::from(client) * PORTS + port)
}

/// What a burst sent last, and when.
type Log = Mutex<Vec<(Instant, u64)>>;

/// Sends until it is told to end.
pub(crate) struct Generator {
    stop: Arc<AtomicBool>,
    /// Flows sent so far, with the time of each burst.
    log: Arc<Log>,
    refused: Arc<AtomicU64>,
    thread: JoinHandle<()>,
    begun: Instant,
}

/// What was sent.
pub(crate) struct Sent {
    pub(crate) per_second: u32,
    pub(crate) refused: u64,
}

impl Generator {
    pub(super) fn start(place: &Place, settings: &Settings) -> Result<Generator> {
        let stop = Arc::new(AtomicBool::new(false));
        let log = Arc::new(Log::default());
        let refused = Arc::new(AtomicU64::new(0));
        let (namespace, settings) = (place.client().handle().clone(), *settings);
        let (interface, mac) = (place.client_interface()?, place.director_mac()?);
        let (told, logged, counted) = (stop.clone(), log.clone(), refused.clone());
        let thread = thread::spawn(move || {
            namespace.enter_for_good().expect("the client's namespace is there");
            let frames = Frames::open(interface).expect("root opens packet sockets");
            go_on(frames, mac, &settings, &told, &logged, &counted);
        });
        Ok(Generator { stop, log, refused, thread, begun: Instant::now() })
    }

    /// Of the flows of UDP that were sent between these times: the first one, and the one after
    /// the last.
    pub(super) fn between(&self, from: Instant, to: Instant) -> (u64, u64) {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let until = |time: Instant| {
            let after = log.partition_point(|(at, _)| *at <= time);
            after.checked_sub(1).map_or(0, |last| log[last].1)
        };
        (until(from), until(to))
    }

    pub(super) fn end(self) -> Result<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        let seconds = self.begun.elapsed().as_secs_f64();
        self.thread.join().map_err(|_| "the generator failed")?;
        let flows = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let flows = flows.last().map_or(0, |(_, flows)| *flows);
        let refused = self.refused.load(Ordering::Relaxed);
        Ok(Sent { per_second: (flows as f64 / seconds) as u32, refused })
    }
}

fn go_on(
    mut frames: Frames,
    mac: [u8; 6],
    settings: &Settings,
    stop: &AtomicBool,
    log: &Log,
    refused: &AtomicU64,
) {
    let begun = Instant::now();
    let (mut flows, mut streams) = (0u64, 0u64);
    let due = |rate: u32| (begun.elapsed().as_secs_f64() * f64::from(rate)) as u64;
    while !stop.load(Ordering::Relaxed) {
        let (flows_due, streams_due) =
            (due(settings.flows_per_second), due(settings.streams_per_second));
        let datagrams = (flows..flows_due).map(|flow| datagram(mac, flow));
        let segments = (streams..streams_due)
            .flat_map(|stream| [SYN, ACK, RST].map(|flags| segment(mac, stream, flags)));
        let not_taken = frames.send(datagrams) + frames.send(segments);
        refused.fetch_add(not_taken as u64, Ordering::Relaxed);
        (flows, streams) = (flows_due, streams_due);
        log.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), flows));
        thread::sleep(EVERY);
    }
}

/// Ethernet and IPv4; the director does not look at the upper checksum.
fn packet(mac: [u8; 6], protocol: u8, from: Ipv4Addr) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    frame[..6].copy_from_slice(&mac);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 9, 9]);
    frame[12..18].copy_from_slice(&[8, 0, 0x45, 0, 0, 46]);
    frame[20] = 0x40;
    frame[22..24].copy_from_slice(&[64, protocol]);
    frame[26..30].copy_from_slice(&from.octets());
    frame[30..34].copy_from_slice(&VIRTUAL.octets());
    let words = frame[14..34].chunks_exact(2);
    let sum: u32 = words.map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn datagram(mac: [u8; 6], flow: u64) -> [u8; FRAME] {
    let (from, port) = client(flow);
    let mut frame = packet(mac, 17, from);
    frame[34..36].copy_from_slice(&port.to_be_bytes());
    frame[36..40].copy_from_slice(&[0, 53, 0, 26]);
    frame
}

fn segment(mac: [u8; 6], stream: u64, flags: u8) -> [u8; FRAME] {
    let from = STREAM_CLIENTS + (stream / PORTS) as u32;
    let mut frame = packet(mac, 6, from.into());
    frame[34..36].copy_from_slice(&((FIRST_PORT + stream % PORTS) as u16).to_be_bytes());
    frame[36..38].copy_from_slice(&STREAMS.to_be_bytes());
    frame[46..48].copy_from_slice(&[0x50, flags]);
    frame
}
