//! Two ends in virtual time.

use super::packet::Packet;
use super::*;
use alloc::string::String;
use core::time::Duration;

const A: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 9, 0, 1));
const B: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 9, 0, 2));

fn plan(name: &str, neighbour: IpAddr) -> BfdSession {
    BfdSession {
        name: name.into(),
        neighbour,
        source: None,
        min_rx: Duration::from_millis(10),
        min_tx: Duration::from_millis(10),
        idle_tx: Duration::from_secs(1),
        multiplier: 3,
        passive: false,
        ttl: 255,
        max_hops: 0,
        for_vrrp: true,
        for_checkers: false,
    }
}

/// Two ends, a wire that takes a tenth of a millisecond, and what was said.
struct Pair {
    now: Time,
    ends: [Bfd; 2],
    wire: VecDeque<(Time, usize, [u8; PACKET])>,
    changes: Vec<(Time, usize, bool, Diagnostic)>,
    sent: Vec<(Time, usize, Packet)>,
    /// One in so many packets is lost; 1 cuts the wire, 0 loses none.
    loss: u32,
    random: Random,
}

impl Pair {
    fn new(plans: [BfdSession; 2], seed: u64) -> Pair {
        let [a, b] = plans;
        let mut ends = [Bfd::new(seed), Bfd::new(seed + 1_000_000)];
        ends[0].configure(Time::ZERO, &[a]);
        ends[1].configure(Time::ZERO, &[b]);
        let (wire, changes, sent) = (VecDeque::new(), Vec::new(), Vec::new());
        let random = Random::new(seed);
        Pair { now: Time::ZERO, ends, wire, changes, sent, loss: 0, random }
    }

    fn usual(seed: u64) -> Pair {
        Pair::new([plan("b", B), plan("a", A)], seed)
    }

    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        loop {
            let arrival = self.wire.front().map_or(Time::NEVER, |(at, ..)| *at);
            let [a, b] = &self.ends;
            let next = a.next_deadline().min(b.next_deadline()).min(arrival);
            if next > until {
                self.now = until;
                return;
            }
            self.now = self.now.max(next);
            while let Some((at, to, bytes)) = self.wire.pop_front() {
                if at > self.now {
                    self.wire.push_front((at, to, bytes));
                    break;
                }
                let (source, destination) = if to == 0 { (B, A) } else { (A, B) };
                let end = &mut self.ends[to];
                end.handle_packet(self.now, source, destination, 255, &bytes).unwrap();
                self.collect(to);
            }
            for end in 0..2 {
                self.ends[end].handle_timeout(self.now);
                self.collect(end);
            }
        }
    }

    fn collect(&mut self, from: usize) {
        while let Some(output) = self.ends[from].poll_output() {
            match output {
                Output::Send { payload, .. } => {
                    self.sent.push((self.now, from, Packet::read(&payload).unwrap()));
                    let lost = self.loss > 0 && self.random.between(1, self.loss) == 1;
                    if !lost {
                        let at = self.now + Duration::from_micros(100);
                        self.wire.push_back((at, 1 - from, payload));
                    }
                }
                Output::Change { up, diagnostic, .. } => {
                    self.changes.push((self.now, from, up, diagnostic));
                }
            }
        }
    }

    fn states(&self) -> [String; 2] {
        [0, 1].map(|end| self.ends[end].status(self.now)[0].state.clone())
    }

    fn sent_by(&self, end: usize) -> impl Iterator<Item = (Time, Packet)> {
        self.sent.iter().filter(move |(_, from, _)| *from == end).map(|&(at, _, p)| (at, p))
    }
}

#[test]
fn two_ends_come_up_within_the_idle_interval_and_agree_on_the_fast_one() {
    for seed in 0..200 {
        let mut pair = Pair::usual(seed);
        pair.run(Duration::from_millis(1_020));
        assert_eq!(pair.states(), ["Up", "Up"], "seed {seed}");
        pair.run(Duration::from_millis(100));
        assert_eq!(pair.ends[0].status(pair.now)[0].detection_us, 30_000);
        assert_eq!(pair.ends[0].status(pair.now)[0].ups, 1);
        let last = pair.sent_by(0).last().unwrap().1;
        assert!(!last.poll, "the poll sequence ends");
    }
}

#[test]
fn a_cut_wire_is_noticed_within_the_detection_time() {
    for seed in 0..200 {
        let mut pair = Pair::usual(seed);
        pair.run(Duration::from_millis(2_000 + seed));
        let (cut, heard) = (pair.now, [1, 0].map(|end| pair.sent_by(end).last().unwrap().0));
        pair.loss = 1;
        pair.wire.clear();
        pair.run(Duration::from_millis(100));
        let downs: Vec<_> = pair.changes.iter().filter(|(at, ..)| *at > cut).collect();
        assert_eq!(downs.len(), 2, "seed {seed}");
        for &&(at, end, up, diagnostic) in &downs {
            assert_eq!((up, diagnostic), (false, Diagnostic::Expired));
            let silent = at.since(heard[end]);
            assert!(silent >= Duration::from_millis(20), "{silent:?}");
            assert!(silent <= Duration::from_micros(30_100), "{silent:?}");
            assert!(at.since(cut) <= Duration::from_millis(31), "{:?}", at.since(cut));
        }
        pair.loss = 0;
        pair.run(Duration::from_millis(1_100));
        assert_eq!(pair.states(), ["Up", "Up"], "they find each other again");
    }
}

#[test]
fn detection_takes_thirty_milliseconds_from_the_last_packet() {
    let mut pair = Pair::usual(7);
    pair.run(Duration::from_secs(2));
    let last = loop {
        pair.run(Duration::from_micros(50));
        if pair.wire.is_empty() {
            break pair.sent_by(1).last().unwrap().0 + Duration::from_micros(100);
        }
    };
    pair.loss = 1;
    pair.run(Duration::from_millis(100));
    let down = pair.changes.iter().find(|(at, end, ..)| *at > last && *end == 0).unwrap().0;
    assert_eq!(down.since(last), Duration::from_millis(30));
}

#[test]
fn a_lost_packet_now_and_then_takes_nothing_down() {
    let mut pair = Pair::usual(3);
    pair.run(Duration::from_secs(2));
    pair.loss = 1_000;
    pair.run(Duration::from_secs(20));
    assert_eq!(pair.changes.len(), 2, "{:?}", pair.changes);
}

#[test]
fn heavy_loss_never_confuses_the_state_machine() {
    for seed in 0..50 {
        let mut pair = Pair::usual(seed);
        pair.loss = 3;
        pair.run(Duration::from_secs(10));
        pair.loss = 0;
        pair.run(Duration::from_millis(2_100));
        assert_eq!(pair.states(), ["Up", "Up"], "seed {seed}");
        for end in 0..2 {
            let ups: Vec<bool> =
                pair.changes.iter().filter(|(_, e, ..)| *e == end).map(|c| c.2).collect();
            assert!(ups.iter().enumerate().all(|(n, up)| *up == (n % 2 == 0)), "{ups:?}");
        }
    }
}

#[test]
fn packets_are_jittered_by_up_to_a_quarter() {
    let gaps = |multiplier| {
        let fast = |name, end| BfdSession { multiplier, ..plan(name, end) };
        let mut pair = Pair::new([fast("b", B), fast("a", A)], 11);
        pair.run(Duration::from_secs(2));
        pair.sent.clear();
        pair.run(Duration::from_secs(2));
        let times: Vec<Time> = pair.sent_by(0).map(|(at, _)| at).collect();
        let gaps = times.windows(2).map(|pair| pair[1].since(pair[0]).as_micros());
        let gaps: Vec<u128> = gaps.collect();
        (*gaps.iter().min().unwrap(), *gaps.iter().max().unwrap())
    };
    let (least, most) = gaps(3);
    assert!((7_500..7_700).contains(&least) && (9_800..=10_000).contains(&most));
    let (least, most) = gaps(1);
    assert!((7_500..7_700).contains(&least) && (8_800..=9_000).contains(&most));
}

#[test]
fn the_slower_end_sets_the_pace_of_each_direction() {
    let slow = BfdSession { min_rx: Duration::from_millis(50), ..plan("b", B) };
    let mut pair = Pair::new([slow, plan("a", A)], 5);
    pair.run(Duration::from_secs(3));
    assert_eq!(pair.ends[0].status(pair.now)[0].detection_us, 150_000);
    assert_eq!(pair.ends[1].status(pair.now)[0].detection_us, 30_000);
    pair.sent.clear();
    pair.run(Duration::from_secs(1));
    assert!((20..=27).contains(&pair.sent_by(1).count()));
    assert!((100..=134).contains(&pair.sent_by(0).count()));
}

#[test]
fn who_wants_no_packets_gets_none() {
    let deaf = BfdSession { min_rx: Duration::ZERO, ..plan("b", B) };
    let mut pair = Pair::new([deaf, plan("a", A)], 5);
    pair.run(Duration::from_secs(3));
    pair.sent.clear();
    pair.run(Duration::from_secs(3));
    assert!(pair.sent_by(1).all(|(_, packet)| packet.is_final), "answers to polls alone");
    assert_eq!(pair.states(), ["Up", "Up"]);
}

#[test]
fn the_passive_end_waits_for_the_other_to_begin() {
    let passive = |name, end| BfdSession { passive: true, ..plan(name, end) };
    let mut pair = Pair::new([passive("b", B), passive("a", A)], 5);
    pair.run(Duration::from_secs(10));
    assert!(pair.sent.is_empty());
    let mut pair = Pair::new([passive("b", B), plan("a", A)], 5);
    pair.run(Duration::from_millis(1_050));
    assert_eq!(pair.states(), ["Up", "Up"]);
    pair.loss = 1;
    pair.run(Duration::from_secs(2));
    pair.sent.clear();
    pair.run(Duration::from_secs(10));
    assert_eq!(pair.sent_by(0).count(), 0);
}

#[test]
fn new_timings_are_polled_for_and_change_no_state() {
    let mut pair = Pair::usual(9);
    pair.run(Duration::from_secs(2));
    pair.changes.clear();
    let slower = BfdSession {
        min_tx: Duration::from_millis(40),
        min_rx: Duration::from_millis(5),
        ..plan("b", B)
    };
    pair.ends[0].configure(pair.now, core::slice::from_ref(&slower));
    pair.sent.clear();
    pair.run(Duration::from_millis(15));
    assert!(pair.sent_by(0).next().unwrap().1.poll);
    assert!(pair.sent_by(1).any(|(_, packet)| packet.is_final));
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.changes, []);
    assert_eq!(pair.ends[1].status(pair.now)[0].detection_us, 120_000);
    pair.sent.clear();
    pair.run(Duration::from_secs(1));
    assert!((25..=34).contains(&pair.sent_by(0).count()));
    assert!(pair.sent_by(0).all(|(_, packet)| !packet.poll));
    let before = pair.ends[0].next_deadline();
    pair.ends[0].configure(pair.now, &[slower]);
    assert_eq!(pair.ends[0].next_deadline(), before, "an unchanged plan changes nothing");
}

#[test]
fn a_stopped_end_says_so_and_the_other_does_not_blame_the_path() {
    let mut pair = Pair::usual(9);
    pair.run(Duration::from_secs(2));
    pair.changes.clear();
    pair.ends[0].handle_stop(pair.now);
    pair.collect(0);
    let goodbye = pair.sent.last().unwrap().2;
    assert_eq!((goodbye.state, goodbye.diagnostic), (State::AdminDown, 7));
    let (at, _, bytes) = pair.wire.pop_back().unwrap();
    pair.ends[1].handle_packet(at, A, B, 255, &bytes).unwrap();
    pair.collect(1);
    assert_eq!(pair.states(), ["AdminDown", "Down"]);
    assert_eq!(pair.changes, []);
    let answer = pair.sent.last().unwrap().2;
    assert_eq!((answer.state, answer.diagnostic), (State::Down, 3));
    let refused = pair.ends[0].handle_packet(at, B, A, 255, &answer.write());
    assert_eq!(refused, Err(Discard::Stopped));
}

#[test]
fn a_session_that_is_configured_no_more_says_goodbye() {
    let mut pair = Pair::usual(9);
    pair.run(Duration::from_secs(2));
    pair.ends[0].configure(pair.now, &[]);
    pair.collect(0);
    assert_eq!(pair.sent.last().unwrap().2.state, State::AdminDown);
    assert!(pair.ends[0].status(pair.now).is_empty());
    assert_eq!(pair.ends[0].next_deadline(), Time::NEVER);
}

#[test]
fn packets_find_their_session_by_discriminator_or_address() {
    let mut bfd = Bfd::new(1);
    let here = BfdSession { source: Some(A), ..plan("b", B) };
    bfd.configure(Time::ZERO, &[here]);
    let packet = Packet {
        diagnostic: 0,
        state: State::Down,
        poll: false,
        is_final: false,
        demand: false,
        multiplier: 3,
        mine: 77,
        yours: 0,
        min_tx: 10_000,
        min_rx: 10_000,
    };
    let mut hear = |source, destination, ttl, packet: Packet| {
        bfd.handle_packet(Time::ZERO, source, destination, ttl, &packet.write())
    };
    assert_eq!(hear(A, A, 255, packet), Err(Discard::Stranger(A)));
    assert_eq!(hear(B, B, 255, packet), Err(Discard::Stranger(B)), "not to our address");
    assert_eq!(hear(B, A, 254, packet), Err(Discard::Ttl(254, 255)));
    let unknown = Packet { yours: 5, ..packet };
    assert_eq!(hear(B, A, 255, unknown), Err(Discard::UnknownDiscriminator(5)));
    assert_eq!(hear(B, A, 255, packet), Ok(()));
    let Some(Output::Send { to, from, payload, .. }) = bfd.poll_output() else { panic!() };
    let answer = Packet::read(&payload).unwrap();
    assert_eq!((to, from, answer.state, answer.yours), (B, Some(A), State::Init, 77));
}

#[test]
fn hops_are_counted_from_our_own_ttl_or_not_at_all() {
    let hear = |ttl, max_hops, received| {
        let mut bfd = Bfd::new(1);
        bfd.configure(Time::ZERO, &[BfdSession { ttl, max_hops, ..plan("b", B) }]);
        let mut other = Bfd::new(2);
        other.configure(Time::ZERO, &[plan("a", A)]);
        other.handle_timeout(other.next_deadline());
        let Some(Output::Send { payload, .. }) = other.poll_output() else { panic!() };
        bfd.handle_packet(Time::ZERO, B, A, received, &payload)
    };
    assert_eq!(hear(255, 3, 252), Ok(()));
    assert_eq!(hear(255, 3, 251), Err(Discard::Ttl(251, 252)));
    assert_eq!(hear(64, 0, 64), Ok(()));
    assert_eq!(hear(255, 255, 1), Ok(()));
}
