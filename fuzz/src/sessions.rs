//! BFD: packets of 24 bytes, each behind two bytes of time that passes, in milliseconds.

use std::net::IpAddr;
use std::time::Duration;

use model::units::Time;
use model::vrrp::BfdSession;
use proto::bfd::{Bfd, PACKET};

const NEIGHBOURS: [[u8; 4]; 2] = [[10, 9, 0, 2], [10, 9, 0, 3]];

/// A machine with two sessions hears whatever comes. Our discriminators are those of seed 1.
pub fn bfd(bytes: &[u8]) {
    let mut now = Time::ZERO;
    let mut bfd = Bfd::new(1);
    let sessions: Vec<BfdSession> = NEIGHBOURS.iter().map(|&end| session(end.into())).collect();
    bfd.configure(now, &sessions);
    for step in bytes.chunks(2 + PACKET) {
        let Some((&[high, low], packet)) = step.split_first_chunk::<2>() else { break };
        let until = now + Duration::from_millis(u16::from_be_bytes([high, low]).into());
        // However many timers fire in it: no more than a few hundred.
        for _ in 0..200 {
            if bfd.next_deadline() > until {
                break;
            }
            now = bfd.next_deadline().max(now);
            bfd.handle_timeout(now);
            assert!(bfd.next_deadline() > now, "a timer that fired is due again at once");
            drain(&mut bfd);
        }
        now = until.max(now);
        let source = NEIGHBOURS[usize::from(low & 1)];
        let _ = bfd.handle_packet(now, source.into(), [10, 9, 0, 1].into(), 255, packet);
        drain(&mut bfd);
    }
    assert_eq!(bfd.status(now).len(), 2);
    bfd.handle_stop(now);
    drain(&mut bfd);
    assert_eq!(bfd.next_deadline(), Time::NEVER);
}

fn drain(bfd: &mut Bfd) {
    let outputs = std::iter::from_fn(|| bfd.poll_output()).count();
    assert!(outputs <= 8, "{outputs} outputs of one event");
}

fn session(neighbour: IpAddr) -> BfdSession {
    BfdSession {
        name: neighbour.to_string(),
        neighbour,
        source: None,
        min_rx: Duration::from_millis(10),
        min_tx: Duration::from_millis(10),
        idle_tx: Duration::from_secs(1),
        multiplier: 3,
        passive: neighbour == IpAddr::from(NEIGHBOURS[1]),
        ttl: 255,
        max_hops: 0,
        for_vrrp: true,
        for_checkers: true,
    }
}
