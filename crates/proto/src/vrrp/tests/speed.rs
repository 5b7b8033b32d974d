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
