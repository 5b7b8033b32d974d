//! Removes connections whose time is over, a slice of the table at a time: user space finds the
//! candidates, and the program `evenkeel_reap` decides and counts (bpf/conn.h).

use std::time::Duration;

use edge::clock;
use model::Time;
use zerocopy::{FromBytes, IntoBytes};

use super::layout::RawConn;
use super::object::Object;

/// Elements read by one system call: well below a millisecond.
const SLICE: usize = 256;
/// Keys per run of the reaping program, as in evenkeel.bpf.c.
const REAP_MAX: usize = 128;
/// Pause between two rounds over the table.
const ROUND_EVERY: Duration = Duration::from_secs(1);
/// Pause between two slices that used up their budget.
const SLICE_EVERY: Duration = Duration::from_millis(5);

/// Where the sweep stands.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    cursor: Option<u32>,
    next: Time,
    /// Connections and templates removed since start.
    pub(crate) removed: u64,
}

impl Sweep {
    pub(crate) fn next_deadline(&self) -> Time {
        self.next
    }

    /// Sweeps for about `budget`, if it is time.
    pub(crate) fn handle_timeout(
        &mut self,
        object: &Object,
        now: Time,
        budget: Duration,
    ) -> std::io::Result<()> {
        if now < self.next {
            return Ok(());
        }
        loop {
            let batch = object.maps.connections.lookup_batch(&mut self.cursor, SLICE)?;
            let expired: Vec<&[u8]> = batch
                .iter()
                .filter(|(_, value)| {
                    RawConn::read_from_bytes(value)
                        .is_ok_and(|conn| now.as_nanos() >= conn.last_seen + conn.timeout_ns())
                })
                .map(|(key, _)| key)
                .collect();
            for keys in expired.chunks(REAP_MAX) {
                self.removed += u64::from(reap(object, keys)?);
            }
            if self.cursor.is_none() {
                self.next = now + ROUND_EVERY;
                return Ok(());
            }
            if clock::now().since(now) >= budget {
                self.next = now + SLICE_EVERY;
                return Ok(());
            }
        }
    }
}

fn reap(object: &Object, keys: &[&[u8]]) -> std::io::Result<u32> {
    let mut packet = vec![0; 12];
    packet.extend_from_slice((keys.len() as u32).as_bytes());
    for key in keys {
        packet.extend_from_slice(key);
    }
    object.reap(&packet).map(|run| run.action)
}
