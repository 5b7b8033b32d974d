//! Many instances, many addresses.

use super::*;
use std::time::Instant;

fn many(count: u16) -> VrrpPlan {
    let instance = |n: u16| {
        let interface = format!("eth{}", n / 250);
        let number = (n % 250) as u8 + 1;
        VrrpInstance {
            version: Version::V3,
            advert_interval: Centiseconds(1),
            ..named(&format!("VI_{n}"), &interface, number, 100)
        }
    };
    VrrpPlan { instances: (0..count).map(instance).collect(), ..VrrpPlan::default() }
}

#[test]
fn a_thousand_masters_at_ten_milliseconds_leave_time_for_others() {
    let mut bench = Bench::started(&many(1_000));
    bench.pass(100);
    assert!(bench.states().iter().all(|state| *state == VrrpState::Master));
    bench.tasks();
    let start = Instant::now();
    let mut adverts = 0;
    while bench.router.next_deadline() <= at(1_100) {
        bench.router.handle_timeout(bench.router.next_deadline());
        while let Some(task) = bench.router.poll_output() {
            adverts += usize::from(letter(&task.output) == 's');
        }
    }
    assert_eq!(adverts, 100_000);
    // A second of virtual time; without optimisation on a busy machine.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_reload_of_a_thousand_instances_with_one_change_touches_one() {
    let mut config = many(1_000);
    let mut bench = Bench::started(&config);
    bench.pass(100);
    bench.tasks();
    config.instances[700].priority = Priority::try_from(101).unwrap();
    let start = Instant::now();
    bench.configure(101, &config);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    let tasks = bench.tasks();
    assert_eq!(tasks.iter().map(|task| task.subject.name()).collect::<Vec<_>>(), ["VI_700"]);
}

#[test]
fn an_unchanged_master_makes_no_advert_anew_and_no_queue_longer() {
    let mut bench = Bench::started(&many(255));
    bench.pass(200);
    bench.tasks();
    let payloads = |bench: &mut Bench| {
        let payload = |output| match output {
            Output::SendAdvert(packet) => Some(packet.payload.as_ptr()),
            _ => None,
        };
        bench.outputs().into_iter().filter_map(payload).collect::<BTreeSet<_>>()
    };
    bench.pass(210);
    let (first, room) = (payloads(&mut bench), bench.router.tasks.capacity());
    for moment in 22..100 {
        bench.pass(moment * 10);
        assert_eq!(payloads(&mut bench), first);
        assert_eq!(bench.router.tasks.capacity(), room);
    }
}
