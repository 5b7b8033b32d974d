//! The life of a virtual server beside Debian's keepalived: the same configuration file and the same
//! deeds, and after each of them the same tables, lines of the FIFOs, scripts and mails.

mod bench;
mod packets;
mod reloads;
mod scenarios;
mod tables;
mod words;

use std::process::Command;
use std::thread;

use bench::{Bench, Deed, Told};

use super::scenario::Product;
use crate::duties::Place;

/// A life, and what happens in it.
#[derive(Clone)]
struct Life {
    /// More lines of `global_defs`.
    global: &'static str,
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
    bench.start(product, life.global, life.services);
    let mut steps = vec![bench.told()];
    for &deed in life.deeds.iter().chain(&[Deed::Stop]) {
        bench.carry_out(deed);
        steps.push(bench.told());
    }
    let end = steps.last_mut().expect("the end");
    match product {
        // With omega our last mails arrive; theirs do not: the process ends before.
        Product::Evenkeel => {
            let told = |mail: &String| mail.ends_with("DOWN => Shutting down <=");
            assert!(end.mails.iter().all(told), "{:?}", end.mails);
            assert_eq!(end.mails.is_empty(), end.lines.is_empty(), "{end:?}");
        }
        Product::Keepalived => assert_eq!(end.mails, [""; 0]),
    }
    end.mails.clear();
    // Keepalived mails the first success of MISC_CHECK, which changes nothing.
    steps[0].mails.retain(|mail| !mail.contains("=> MISC CHECK succeeded"));
    (steps, bench.log())
}

/// Both programs through the same life; what is told after each deed.
fn compare(life: &Life) -> Vec<Told> {
    compare_but(life, |_, _| {}).1
}

/// The same where they differ on purpose: what the closure takes out of a step is not compared.
/// Returns what both tell.
fn compare_but(life: &Life, take_out: fn(usize, &mut Told)) -> (Vec<Told>, Vec<Told>) {
    let theirs = life.clone();
    let theirs = thread::spawn(move || live(&theirs, Product::Keepalived));
    let (ours, log) = live(life, Product::Evenkeel);
    let (theirs, their_log) = match theirs.join() {
        Ok(lived) => lived,
        Err(panic) => std::panic::resume_unwind(panic),
    };
    assert_eq!(theirs.len(), ours.len());
    let mut differences = Vec::new();
    for (step, (mut theirs, mut ours)) in
        theirs.iter().cloned().zip(ours.iter().cloned()).enumerate()
    {
        take_out(step, &mut theirs);
        take_out(step, &mut ours);
        let deed = step.checked_sub(1).and_then(|deed| life.deeds.get(deed));
        let found = theirs.differences(&ours).into_iter();
        differences.extend(found.map(|found| format!("step {step}, after {deed:?}, {found}")));
    }
    assert!(
        differences.is_empty(),
        "{}:\n {}\nKeepalived's log\n{their_log}\nours\n{log}",
        life.name,
        differences.join("\n ")
    );
    (theirs, ours)
}
