//! A duel: how soon the backup is master after the master fell silent, ours and Debian's
//! keepalived in the same run, VRRP version 3 with an advert every 10 ms; and how often it becomes
//! master although nothing happened, on a busy machine.
//!
//! Time runs from the master's last advert on the wire (the kernel's time stamp) to the backup's
//! first advert, and to its address being there. `EVENKEEL_DUEL_RUNS` (50; 0 for none) and
//! `EVENKEEL_DUEL_MINUTES` (10) set the length; results go to `out/bench/vrrp.json`.

mod bfd;
mod burden;
#[path = "../shared/capture.rs"]
mod capture;
mod director;
mod wire;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use burden::Burden;
use director::{Pair, Product, Result};
use wire::{Nanos, Packet};

/// 3 A and the skew of priority 240: 16/256 A.
const THEORY_MS: f64 = 30.625;
/// Longest wait for a failover.
const FAILOVER_WITHIN: Duration = Duration::from_secs(5);
/// A backup that was silent this long and sends an advert has become master anew.
const EPISODE: Nanos = 100_000_000;
/// How often a peer may be started afresh in one series.
const STUCK_MOST: usize = 3;

fn main() {
    if let Some(reason) = lab::net::missing().or_else(wire::missing_tool) {
        println!("skipped: {reason}");
        return;
    }
    if let Err(error) = run() {
        eprintln!("vrrp bench: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<()> {
    let runs = setting("EVENKEEL_DUEL_RUNS", 50);
    let minutes = setting("EVENKEEL_DUEL_MINUTES", 10);
    let mut results = Vec::new();
    if runs > 0 {
        timings(runs, &mut results)?;
    }
    if minutes > 0 {
        results.extend(spurious(minutes)?);
    }
    let out = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../out/bench");
    fs::create_dir_all(&out)?;
    fs::write(out.join("vrrp.json"), serde_json::to_vec_pretty(&json!({ "vrrp": results }))?)?;
    Ok(())
}

fn timings(runs: usize, results: &mut Vec<Value>) -> Result<()> {
    println!("silent master, advert every 10 ms, priority 240: theory {THEORY_MS:.1} ms");
    header();
    for product in [Product::Evenkeel, Product::Keepalived] {
        results.push(silent(product, 1, runs)?);
    }
    println!("\nthe same with 100 instances, {} runs", runs.div_ceil(5));
    header();
    for product in [Product::Evenkeel, Product::Keepalived] {
        results.push(silent(product, 100, runs.div_ceil(5))?);
    }
    println!("\nmaster stopped in order: from the signal to the address at the backup");
    header();
    for product in [Product::Evenkeel, Product::Keepalived] {
        results.push(stopped(product, runs.div_ceil(5))?);
    }
    println!("\nBFD, 10 ms x 3: from the neighbour's last packet to the tracking instance's fault");
    header();
    for product in [Product::Evenkeel, Product::Keepalived] {
        results.push(bfd::cut(product, runs.div_ceil(5))?);
    }
    Ok(())
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn header() {
    println!("{:<42} {:>8} {:>8} {:>8} {:>8}", "ms", "min", "median", "p95", "max");
}

/// Stops the master's processes and lets them go on, again and again.
fn silent(product: Product, instances: u8, runs: usize) -> Result<Value> {
    let mut pair = Pair::start(product, instances)?;
    let (mut adverts, mut addresses) = (Vec::new(), Vec::new());
    let (mut untimely, mut stuck) = (0, 0);
    for run in 0..runs {
        // At another point of the advert interval each time.
        thread::sleep(Duration::from_micros(700 * (run as u64 % 13)));
        pair.signal(0, Signal::STOP)?;
        let (seen, added) = until_taken_over(&pair, instances)?;
        pair.signal(0, Signal::CONT)?;
        let mut latest = 0;
        for id in 1..=instances {
            // A backup that took over before the master fell silent measures nothing.
            let (Some(last), Some(first)) = (last_before(&seen, id), first_of(&seen, 1, id)) else {
                untimely += 1;
                continue;
            };
            adverts.push(milliseconds(last, first));
            latest = latest.max(last);
        }
        if latest > 0 {
            addresses.push(milliseconds(latest, added));
        }
        if let Err(error) = pair.settle() {
            // A peer that does not find its way back is counted and started afresh; ours must.
            stuck += 1;
            if product.is_ours() || stuck > STUCK_MOST {
                return Err(error);
            }
            println!("{error}, and it stays so: started afresh");
            drop(pair);
            pair = Pair::start(product, instances)?;
        }
    }
    if adverts.is_empty() || addresses.is_empty() {
        return Err(format!("{}: no failover is seen", product.name()).into());
    }
    if untimely > 0 {
        println!("{}: {untimely} failovers before the master fell silent", product.name());
    }
    let what = if instances == 1 { "address" } else { "last address" };
    let first = row(&format!("{}: first advert", product.name()), &mut adverts);
    let second = row(&format!("{}: {what}", product.name()), &mut addresses);
    Ok(json!({
        "product": product.name(), "event": "silent master", "instances": instances,
        "runs": runs, "untimely": untimely, "stuck": stuck, "theory_ms": THEORY_MS,
        "first_advert_ms": first, "address_ms": second,
    }))
}

/// Waits for all addresses; the adverts meanwhile and the time of the last address.
fn until_taken_over(pair: &Pair, instances: u8) -> Result<(Vec<Packet>, Nanos)> {
    let end = std::time::Instant::now() + FAILOVER_WITHIN;
    let mut added = Vec::new();
    while added.len() < usize::from(instances) {
        if std::time::Instant::now() > end {
            return Err(format!("{} addresses of {instances} after 5 s", added.len()).into());
        }
        thread::sleep(Duration::from_millis(10));
        added.extend(pair.addresses.take());
    }
    // What tcpdump still holds.
    thread::sleep(Duration::from_millis(50));
    let last = added.into_iter().max().unwrap_or(0);
    Ok((pair.capture.take(), last))
}

/// The master's last advert for an instance before the backup's first.
fn last_before(seen: &[Packet], id: u8) -> Option<Nanos> {
    let first = first_of(seen, 1, id)?;
    from(seen, 0, id).filter(|&at| at < first).max()
}

fn first_of(seen: &[Packet], side: usize, id: u8) -> Option<Nanos> {
    from(seen, side, id).min()
}

fn from(seen: &[Packet], side: usize, id: u8) -> impl Iterator<Item = Nanos> {
    let of = move |one: &&Packet| {
        one.source == Pair::source(side) && one.virtual_router_id() == id && one.priority() > 0
    };
    seen.iter().filter(of).map(|one| one.at)
}

fn stopped(product: Product, runs: usize) -> Result<Value> {
    let mut pair = Pair::start(product, 1)?;
    let mut times = Vec::new();
    for _ in 0..runs {
        let asked = wire::now();
        pair.ask_to_stop(0)?;
        let (_, added) = until_taken_over(&pair, 1)?;
        times.push(milliseconds(asked, added));
        pair.stop(0)?;
        pair.run(0)?;
        pair.settle()?;
    }
    let figures = row(&format!("{}: address", product.name()), &mut times);
    Ok(json!({
        "product": product.name(), "event": "clean stop", "runs": runs, "address_ms": figures,
    }))
}

/// Four pairs under the same burden at the same time.
fn spurious(minutes: usize) -> Result<Vec<Value>> {
    const PRODUCTS: [Product; 4] = [
        Product::Evenkeel,
        Product::EvenkeelOrdinary,
        Product::Keepalived,
        Product::KeepalivedRealtime,
    ];
    println!(
        "\nfailovers although nothing happened, {minutes} minutes with four busy loops, a million \
         connections swept, a large configuration loaded and a compiler"
    );
    let pairs = PRODUCTS.map(|product| Pair::start(product, 1));
    let pairs: Vec<Pair> = pairs.into_iter().collect::<Result<_>>()?;
    let burden = Burden::take_up()?;
    // Allocating a million connections stops a processor for a tenth of a second: it is no part
    // of sweeping them.
    for pair in &pairs {
        pair.capture.take();
    }
    let mut watches = [const { Watch::new() }; PRODUCTS.len()];
    for _ in 0..minutes * 60 {
        thread::sleep(Duration::from_secs(1));
        for (watch, pair) in watches.iter_mut().zip(&pairs) {
            pair.capture.take().iter().for_each(|advert| watch.see(pair.product.name(), advert));
        }
    }
    drop(burden);
    Ok(PRODUCTS
        .iter()
        .zip(watches)
        .map(|(product, Watch { count, longest, .. })| {
            let longest = longest as f64 / 1e6;
            println!(
                "{:<42} {count:>8}, longest silence of the master {longest:.2} ms",
                product.name()
            );
            json!({
                "product": product.name(), "event": "spurious failovers", "minutes": minutes,
                "count": count, "longest_silence_ms": longest,
            })
        })
        .collect())
}

/// What the backup's side of a pair saw on the wire.
#[derive(Clone, Copy)]
struct Watch {
    count: u64,
    /// Longest time between two adverts of the master.
    longest: Nanos,
    master_at: Nanos,
    backup_at: Nanos,
}

impl Watch {
    const fn new() -> Watch {
        Watch { count: 0, longest: 0, master_at: 0, backup_at: 0 }
    }

    /// Counts a failover, and tells what the wire showed before it.
    fn see(&mut self, name: &str, advert: &Packet) {
        if advert.source == Pair::source(0) {
            if self.master_at > 0 {
                self.longest = self.longest.max(advert.at.saturating_sub(self.master_at));
            }
            self.master_at = advert.at;
        } else if advert.priority() > 0 {
            if advert.at > self.backup_at + EPISODE {
                self.count += 1;
                let silence = milliseconds(self.master_at, advert.at);
                let at = advert.at as f64 / 1e9;
                println!(
                    "{name}: failover at {at:.6}, {silence:.2} ms after the master's last advert"
                );
            }
            self.backup_at = advert.at;
        }
    }
}

fn milliseconds(from: Nanos, to: Nanos) -> f64 {
    (to as f64 - from as f64) / 1e6
}

/// Prints and returns minimum, median, 95th percentile and maximum.
fn row(name: &str, times: &mut [f64]) -> Value {
    times.sort_by(f64::total_cmp);
    let at =
        |part: f64| times[((times.len() as f64 * part).ceil() as usize).clamp(1, times.len()) - 1];
    let figures = [at(0.0), at(0.5), at(0.95), at(1.0)];
    let [min, median, p95, max] = figures;
    println!("{name:<42} {min:>8.2} {median:>8.2} {p95:>8.2} {max:>8.2}");
    json!({ "min": min, "median": median, "p95": p95, "max": max })
}
