//! Gratuitous ARP and neighbour advertisements (`vrrp_garp_*`).

use super::*;
use model::vrrp::{ExtraGarp, Garp};

fn bursts(bench: &mut Bench, seconds: core::ops::Range<u64>) -> Vec<(u64, Announced, u8)> {
    let mut bursts = Vec::new();
    for second in seconds {
        bench.pass(second * 1_000);
        for output in bench.outputs() {
            if let Output::Announce { addresses, repeat } = output {
                bursts.push((second, addresses, repeat));
            }
        }
    }
    bursts
}

#[test]
fn a_master_announces_at_once_again_after_its_delay_and_then_at_each_refresh() {
    let garp = Garp { refresh: Duration::from_secs(60), repeat: 4, ..Garp::default() };
    let mut bench = Bench::started(&alone(VrrpInstance { garp, ..plan(100) }));
    let all = |second, repeat| (second, Announced::All, repeat);
    let expected = [all(4, 4), all(9, 4), all(64, 1), all(124, 1)];
    assert_eq!(bursts(&mut bench, 0..130), expected);
}

#[test]
fn without_delay_and_repetition_there_is_no_burst() {
    let garp = Garp { repeat: 0, delay: Duration::ZERO, lower_prio_repeat: 0, ..Garp::default() };
    let mut bench = Bench::started(&alone(VrrpInstance { garp, ..plan(100) }));
    assert_eq!(bursts(&mut bench, 0..30), []);
    assert_eq!(bench.hear(30_500, LOWER, 1), "!sN");
}

#[test]
fn a_weaker_master_is_drowned_twice() {
    let garp = Garp {
        delay: Duration::ZERO,
        lower_prio_repeat: 3,
        lower_prio_delay: Duration::from_secs(2),
        ..Garp::default()
    };
    let mut bench = Bench::master(VrrpInstance { garp, ..plan(100) });
    bench.hear_at(0, 4_500, LOWER, 1);
    let all = |second| (second, Announced::All, 3);
    assert_eq!(bursts(&mut bench, 5..20), [all(5), all(7)]);
}

#[test]
fn other_interfaces_of_the_addresses_are_refreshed_at_their_own_pace() {
    let extra = Some(ExtraGarp { all: true, interval: Duration::from_secs(7) });
    let garp = Garp { extra, delay: Duration::ZERO, ..Garp::default() };
    let mut bench = Bench::master(VrrpInstance { garp, ..plan(100) });
    let extra = |second| (second, Announced::ExtraInterfaces, 1);
    assert_eq!(bursts(&mut bench, 5..30), [extra(11), extra(18), extra(25)]);
}

#[test]
fn who_is_not_master_any_more_announces_nothing() {
    let refresh = Duration::from_secs(1);
    let mut bench =
        Bench::master(VrrpInstance { garp: Garp { refresh, ..Garp::default() }, ..plan(100) });
    bench.hear_at(0, 4_100, HIGHER, 200);
    bench.tasks();
    for second in 5..60 {
        bench.hear_at(0, second * 1_000, HIGHER, 200);
        assert_eq!(bursts(&mut bench, second..second + 1), []);
    }
}

#[test]
fn an_instance_without_addresses_announces_nothing() {
    let mut bench = Bench::started(&alone(VrrpInstance { addresses: vec![], ..plan(100) }));
    assert_eq!(bursts(&mut bench, 0..30), []);
}
