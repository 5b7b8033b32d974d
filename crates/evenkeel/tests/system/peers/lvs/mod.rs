//! The life of a virtual server beside Debian's keepalived: the same configuration file and the same
//! deeds, and after each of them the same tables, lines of the FIFOs, scripts and mails.

mod bench;
mod packets;
mod scenarios;
mod tables;

use std::process::Command;
use std::thread;

use bench::{Bench, Deed, Told};

use super::scenario::Product;
use crate::duties::Place;

/// A life, and what happens in it.
#[derive(Clone)]
struct Life {
    /// Short: it is in the names of interfaces' namespaces.
    name: &'static str,
    /// What is so before the director starts.
    before: Vec<Deed>,
    /// `DIR` is the directory of the test.
    services: &'static str,
    /// What happens then, a deed at a time; it is stopped in the end.
    deeds: Vec<Deed>,
}

fn missing() -> Option<String> {
    super::missing().or_else(|| {
        let found = Command::new("cc").arg("--version").output().is_ok();
        (!found).then(|| "`cc` is not installed".to_owned())
    })
}

/// What is told at the start, after each deed, and at the end.
fn live(life: &Life, product: Product) -> (Vec<Told>, String) {
    let side = match product {
        Product::Evenkeel => "o",
        Product::Keepalived => "k",
    };
    let tag = format!("lvs{}{side}", life.name);
    let place = Place::new(&tag);
    let mut bench = Bench::new(&place, &tag);
    for &deed in &life.before {
        bench.carry_out(deed);
    }
    bench.start(product, life.services);
    let mut steps = vec![bench.told()];
    for &deed in life.deeds.iter().chain(&[Deed::Stop]) {
        bench.carry_out(deed);
        steps.push(bench.told());
    }
    // Keepalived has ended before its last mails are sent.
    steps.last_mut().expect("the end").mails.clear();
    for (told, deed) in steps[1..].iter_mut().zip(&life.deeds) {
        if matches!(deed, Deed::Reload(_)) {
            // A server that a reload removes: Keepalived's body says so, ours has its checker's words.
            for mail in &mut told.mails {
                mail.truncate(mail.find(" =>").unwrap_or(mail.len()));
            }
        }
    }
    if life.services.contains("MISC_CHECK") {
        // Keepalived mails the first success of MISC_CHECK, which changes nothing.
        steps[0].mails.retain(|subject| !subject.contains("Realserver"));
    }
    (steps, bench.log())
}

/// Both programs through the same life; what is told after each deed.
fn compare(life: &Life) -> Vec<Told> {
    let theirs = life.clone();
    let theirs = thread::spawn(move || live(&theirs, Product::Keepalived));
    let (ours, log) = live(life, Product::Evenkeel);
    let (theirs, their_log) = match theirs.join() {
        Ok(lived) => lived,
        Err(panic) => std::panic::resume_unwind(panic),
    };
    assert_eq!(theirs.len(), ours.len());
    let mut differences = Vec::new();
    for (step, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
        let deed = step.checked_sub(1).and_then(|deed| life.deeds.get(deed));
        let found = theirs.differences(ours).into_iter();
        differences.extend(found.map(|found| format!("step {step}, after {deed:?}, {found}")));
    }
    assert!(
        differences.is_empty(),
        "{}:\n {}\nKeepalived's log\n{their_log}\nours\n{log}",
        life.name,
        differences.join("\n ")
    );
    ours
}
