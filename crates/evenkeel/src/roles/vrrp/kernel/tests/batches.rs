//! Many things at once.

use std::time::{Duration, Instant};

use super::*;

#[test]
fn a_hundred_instances_have_their_addresses_within_milliseconds_of_each_other() {
    let Some(site) = Site::new("batch") else { return };
    let instances: Vec<VrrpInstance> =
        (1..=100).map(|id| instance(id, &[&format!("10.9.2.{id}")])).collect();
    let all: Vec<&VrrpInstance> = instances.iter().collect();
    let took = site
        .ours
        .enter(|| {
            let mut kernel = prepared(&instances);
            let begin = Instant::now();
            assert_eq!(kernel.hold(&all), [""; 0]);
            begin.elapsed()
        })
        .unwrap();
    println!("100 addresses in {took:?}");
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert_eq!(site.addresses("eth0").iter().filter(|a| a.starts_with("10.9.2.")).count(), 100);
}

#[test]
fn what_is_there_stays_untouched_and_what_fails_does_not_stop_the_rest() {
    let Some(site) = Site::new("rest") else { return };
    site.ours.ip("addr add 10.9.2.2/32 dev eth0").unwrap();
    let mut lost = address("10.9.2.3");
    lost.interface = Some("eth7".into());
    let mut plan = instance(1, &["10.9.2.1", "10.9.2.2"]);
    plan.addresses.insert(1, lost);
    let complaints = site
        .ours
        .enter(|| {
            let mut kernel = prepared(std::slice::from_ref(&plan));
            let complaints = kernel.hold(&[&plan]);
            assert!(kernel.has(&plan, &plan.addresses[0]) && !kernel.holds(&plan));
            complaints
        })
        .unwrap();
    assert_eq!(complaints.len(), 1);
    assert!(complaints[0].contains("there is no interface eth7"), "{complaints:?}");
    let addresses = site.addresses("eth0");
    assert!(["10.9.2.1/32", "10.9.2.2/32"].iter().all(|one| addresses.contains(&one.to_string())));
}

#[test]
fn releasing_what_was_never_held_is_no_complaint() {
    let Some(site) = Site::new("never") else { return };
    let plan = instance(1, &["10.9.2.1", "2001:db8::9"]);
    let before = site.addresses("eth0");
    site.ours
        .enter(|| {
            let mut kernel = prepared(std::slice::from_ref(&plan));
            assert_eq!(kernel.release(&[&plan]), [""; 0]);
        })
        .unwrap();
    assert_eq!(site.addresses("eth0"), before);
}
