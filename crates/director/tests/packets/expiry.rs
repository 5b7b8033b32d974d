//! The end of connections: the sweep, and packets that come too late.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use director::{Engine, TableChange};
use edge::clock;
use model::layer4::{Forwarding, Protocol, Scheduler};

use crate::audit::{Found, audit, table};
use crate::bed::{Bed, CLIENT, VIRTUAL, endpoint, persistence, service, with_bed};
use crate::frame::{ACK, Frame, RST, SYN};

/// Makes every entry look as if its last packet had come `seconds` earlier.
pub(crate) fn age(bed: &Bed, seconds: u64) {
    let (map, ticks) = (table(&bed.pins), ((seconds * 1_000_000_000) >> 21) as u32);
    let mut bucket = vec![0; map.value_size()];
    for index in 0..map.max_entries() {
        map.lookup(&index.to_ne_bytes(), &mut bucket).unwrap();
        for slot in bucket.chunks_mut(32) {
            let seen = u32::from_ne_bytes(slot[20..24].try_into().unwrap());
            slot[20..24].copy_from_slice(&seen.wrapping_sub(ticks).to_ne_bytes());
        }
        map.update(&index.to_ne_bytes(), &bucket).unwrap();
    }
}

/// One whole round of the sweep, which rests a second after each.
pub(crate) fn sweep(bed: &mut Bed) {
    static ROUNDS: AtomicU64 = AtomicU64::new(1);
    let rested = Duration::from_millis(1100 * ROUNDS.fetch_add(1, Ordering::Relaxed));
    let later = clock::now() + rested;
    bed.engine.handle_timeout(later, Duration::from_secs(1));
}

#[test]
fn each_state_has_its_own_time() {
    with_bed(|bed| {
        let (tcp, udp) = (service(Protocol::Tcp, 80), service(Protocol::Udp, 53));
        for key in [tcp, udp] {
            bed.add_service(key, Scheduler::RoundRobin, None);
            bed.add(key, 1, 1, Forwarding::Nat);
        }
        bed.connect(tcp, (CLIENT, 1001));
        bed.establish(tcp, (CLIENT, 1002));
        bed.connect(udp, (CLIENT, 1003));
        for (seconds, left) in [(50, 3), (20, 2), (220, 2), (40, 1), (500, 1), (120, 0)] {
            age(bed, seconds);
            sweep(bed);
            assert_eq!(bed.connections().len(), left, "after {seconds} s more");
        }
        assert_eq!(bed.load(tcp, endpoint(1, 8080)), (0, 0, 0));
        assert_eq!(bed.load(udp, endpoint(1, 8053)), (0, 0, 0));
        assert_eq!(bed.counter("swept_connections"), 3);
        assert_eq!(audit(&bed.pins), Found::default());
    });
}

#[test]
fn a_template_is_armed_anew_while_it_controls_a_connection() {
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        bed.add_service(key, Scheduler::RoundRobin, persistence(60, 32));
        bed.add(key, 1, 1, Forwarding::Nat);
        bed.establish(key, (CLIENT, 1001));
        age(bed, 100);
        sweep(bed);
        assert_eq!(bed.load(key, endpoint(1, 8080)), (1, 0, 1));
        age(bed, 1000);
        sweep(bed);
        age(bed, 100);
        sweep(bed);
        assert_eq!(bed.load(key, endpoint(1, 8080)), (0, 0, 0));
    });
}

#[test]
fn a_template_counts_its_time_from_the_last_new_connection() {
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        bed.add_service(key, Scheduler::RoundRobin, persistence(60, 32));
        for last in 1..=3 {
            bed.add(key, last, 1, Forwarding::Nat);
        }
        let first = bed.establish(key, (CLIENT, 1001));
        for port in 1002..1006 {
            bed.send(&Frame::tcp((CLIENT, port - 1), (VIRTUAL, 80), RST)).forwarded();
            // Longer than the state CLOSE lasts: nothing but the template is left.
            age(bed, 50);
            sweep(bed);
            assert_eq!(bed.load(key, endpoint(first, 8080)), (0, 0, 1));
            assert_eq!(bed.establish(key, (CLIENT, port)), first, "port {port}");
        }
        bed.send(&Frame::tcp((CLIENT, 1005), (VIRTUAL, 80), RST)).forwarded();
        for seconds in [50, 11] {
            age(bed, seconds);
            sweep(bed);
        }
        assert_eq!(bed.load(key, endpoint(first, 8080)), (0, 0, 0));
        assert_ne!(bed.connect(key, (CLIENT, 1006)), first);
    });
}

#[test]
fn a_packet_after_the_end_starts_anew_even_before_the_sweep() {
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        bed.add_service(key, Scheduler::RoundRobin, None);
        bed.add(key, 1, 1, Forwarding::Nat);
        bed.establish(key, (CLIENT, 1001));
        age(bed, 901);
        let late = Frame::tcp((CLIENT, 1001), (VIRTUAL, 80), ACK);
        bed.send(&late);
        assert_eq!(bed.counter("passed_no_connection"), 1);
        bed.send(&Frame::tcp((CLIENT, 1001), (VIRTUAL, 80), SYN)).forwarded();
        assert_eq!(bed.load(key, endpoint(1, 8080)), (1, 0, 0));
    });
}

#[test]
fn the_place_of_a_removed_server_is_free_again_after_its_last_connection() {
    with_bed(|bed| {
        let key = service(Protocol::Tcp, 80);
        bed.add_service(key, Scheduler::RoundRobin, None);
        bed.add(key, 1, 1, Forwarding::Nat);
        bed.establish(key, (CLIENT, 1001));
        let before = bed.engine.service_counters(key);
        bed.engine.apply(&[TableChange::RemoveDestination(key, endpoint(1, 8080))]).unwrap();
        sweep(bed);
        assert_eq!(bed.load(key, endpoint(1, 8080)).0, 1, "still there");
        age(bed, 1000);
        sweep(bed);
        bed.engine.handle_timeout(clock::now() + Duration::from_secs(99), Duration::ZERO);
        let gone = bed.engine.destination_load(key, endpoint(1, 8080));
        assert_eq!((gone.active, gone.counters.connections), (0, 0));
        assert_eq!(bed.engine.service_counters(key), before, "the service remembers");
    });
}
