//! Health checking at scale: start, reload and checks of up to forty thousand real servers, by
//! real processes in a namespace, beside a virtual router that sends an advert every 10 ms.
//!
//! A time ends when everything is in force: the director has filled its tables. Lateness of checks
//! and adverts is measured from outside: by the listener that is all servers, and on the wire.
//! `EVENKEEL_CHECKS_SECONDS` (30) is how long checks and adverts are watched. Results go to
//! `out/bench/checks.json`, the growth to `docs/scale.svg`.

#[path = "../shared/capture.rs"]
mod capture;
mod configuration;
mod plot;
mod servers;
mod site;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use capture::Nanos;
use configuration::{Change, DELAY_LOOP};
use serde_json::{Value, json};
use site::{Director, Result, Site};

/// Numbers of real servers.
const SIZES: [u32; 3] = [2_000, 20_000, 40_000];
/// Reloads of each kind: the figure is their median.
const ROUNDS: usize = 5;
const ADVERT_INTERVAL: Nanos = 10_000_000;
/// Small changes of the configuration, by name.
const CHANGES: [(&str, Change); 3] = [
    ("one weight", Change { weight: 5, one_more: false, one_less: false }),
    ("one added", Change { weight: 0, one_more: true, one_less: false }),
    ("one removed", Change { weight: 0, one_more: false, one_less: true }),
];

fn main() {
    if let Some(reason) = lab::net::missing() {
        println!("skipped: {reason}");
        return;
    }
    if let Err(error) = run() {
        eprintln!("checks bench: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<()> {
    let watch = std::env::var("EVENKEEL_CHECKS_SECONDS").ok().and_then(|text| text.parse().ok());
    let watch = Duration::from_secs(watch.unwrap_or(30));
    let site = Site::build()?;
    println!("a TCP_CHECK for each real server, delay_loop {DELAY_LOOP}; reloads: median (worst)");
    println!(
        "{:>8} {:>8} {:>16} {:>16} {:>16} {:>12} {:>12} {:>10} {:>8} {:>10}",
        "servers",
        "start",
        "one weight",
        "one added",
        "one removed",
        "start, CPU",
        "weight, CPU",
        "status",
        "MiB",
        "KiB/server"
    );
    let mut figures = Vec::new();
    for size in SIZES {
        figures.push(Growth::measure(&site, size)?);
    }
    let alone = Adverts::without_servers(&site, watch)?;
    let busy = busy(&site, watch)?;
    print_busy(&busy, &alone);
    save(&figures, &busy, &alone)
}

/// What one number of servers takes.
struct Growth {
    servers: u32,
    start: Duration,
    /// Processor time of supervisor and director: until everything was in force, and of the reload
    /// of one weight (the median).
    work: [Duration; 2],
    /// Sorted, for each of [`CHANGES`].
    reloads: Vec<Vec<Duration>>,
    status: Duration,
    /// KiB.
    resident: u64,
    largest: u64,
    adverts: Adverts,
}

impl Growth {
    fn measure(site: &Site, servers: u32) -> Result<Growth> {
        site.adverts.take();
        let director = Director::start(site, servers)?;
        let start_work = director.processor_time_of_both()?;
        let (in_tables, _, status) = director.status()?;
        if in_tables != servers as usize {
            return Err(format!("{in_tables} of {servers} servers are in the tables").into());
        }
        let mut reloads = Vec::new();
        let mut reload_work = Vec::new();
        for (_, change) in CHANGES {
            let mut times = Vec::new();
            for _ in 0..ROUNDS {
                let before = director.processor_time_of_both()?;
                times.push(director.reload(change)?);
                if change.weight > 0 {
                    reload_work.push(director.processor_time_of_both()? - before);
                }
                director.reload(Change::default())?;
            }
            times.sort();
            reloads.push(times);
        }
        let (resident, largest) = director.memory()?;
        let adverts = Adverts::of(site);
        let start = director.start;
        reload_work.sort();
        let work = [start_work, median(&reload_work)];
        let growth = Growth { servers, start, work, reloads, status, resident, largest, adverts };
        growth.print();
        Ok(growth)
    }

    fn print(&self) {
        let reloads: String = self
            .reloads
            .iter()
            .map(|times| {
                let (median, worst) = (median(times), times[times.len() - 1]);
                format!(" {:>16}", format!("{:.1} ({:.1}) ms", ms(median), ms(worst)))
            })
            .collect();
        let [start, reload] = self.work.map(|time| format!("{:.0} ms", ms(time)));
        println!(
            "{:>8} {:>8} {reloads} {start:>12} {reload:>12} {:>10} {:>8.1} {:>10.2}",
            self.servers,
            format!("{:.0} ms", ms(self.start)),
            format!("{:.0} ms", ms(self.status)),
            self.resident as f64 / 1024.0,
            self.resident as f64 / f64::from(self.servers),
        );
    }

    fn json(&self) -> Value {
        let reloads: Vec<Value> = CHANGES
            .iter()
            .zip(&self.reloads)
            .map(|((name, _), times)| {
                let worst = times[times.len() - 1];
                json!({ "change": name, "median_ms": ms(median(times)), "worst_ms": ms(worst) })
            })
            .collect();
        json!({
            "servers": self.servers, "start_ms": ms(self.start),
            "start_cpu_ms": ms(self.work[0]), "reload_cpu_ms": ms(self.work[1]), "reloads": reloads,
            "status_ms": ms(self.status), "resident_kib": self.resident,
            "largest_kib": self.largest, "adverts": self.adverts.json(),
        })
    }
}

fn median(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() / 2]
}

/// How late adverts left, by the time stamps of those on the wire.
struct Adverts {
    count: usize,
    /// Milliseconds beyond the interval.
    p99: f64,
    worst: f64,
}

impl Adverts {
    /// Of those since the last time somebody looked.
    fn of(site: &Site) -> Adverts {
        let seen = site.adverts.take();
        let is_ours = |one: &&capture::Packet| {
            (one.source, one.virtual_router_id()) == (configuration::DIRECTOR, 1)
                && one.priority() > 0
        };
        let ours = seen.iter().filter(is_ours);
        let times: Vec<Nanos> = ours.map(|one| one.at).collect();
        let gaps = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
        let mut late: Vec<f64> =
            gaps.map(|gap| gap.saturating_sub(ADVERT_INTERVAL) as f64 / 1e6).collect();
        late.sort_by(f64::total_cmp);
        let at = |part: f64| late.get((late.len() as f64 * part) as usize).copied();
        let worst = late.last().copied().unwrap_or(0.0);
        Adverts { count: times.len(), p99: at(0.99).unwrap_or(worst), worst }
    }

    /// The same machine, the same virtual router, and nothing to check.
    fn without_servers(site: &Site, watch: Duration) -> Result<Adverts> {
        let _director = Director::start(site, 0)?;
        thread::sleep(Duration::from_secs(1));
        site.adverts.take();
        thread::sleep(watch);
        Ok(Adverts::of(site))
    }

    fn json(&self) -> Value {
        json!({ "adverts": self.count, "p99_late_ms": self.p99, "worst_late_ms": self.worst })
    }
}

/// The largest number of servers, checked for a while.
struct Busy {
    servers: u32,
    checks_per_second: f64,
    cores: f64,
    latest: Duration,
    reached: usize,
    up: usize,
    adverts: Adverts,
}

fn busy(site: &Site, watch: Duration) -> Result<Busy> {
    let servers = SIZES[SIZES.len() - 1];
    let director = Director::start(site, servers)?;
    // Until every server was checked once.
    let loops = Duration::from_secs(u64::from(DELAY_LOOP));
    thread::sleep(2 * loops);
    site.servers.take();
    site.adverts.take();
    let (begun, before) = (Instant::now(), director.processor_time()?);
    thread::sleep(watch.max(3 * loops));
    let (lasted, after) = (begun.elapsed(), director.processor_time()?);
    let seen = site.servers.take();
    let adverts = Adverts::of(site);
    let (_, up, _) = director.status()?;
    Ok(Busy {
        servers,
        checks_per_second: seen.checks as f64 / lasted.as_secs_f64(),
        cores: (after - before).as_secs_f64() / lasted.as_secs_f64(),
        latest: seen.longest_gap.saturating_sub(loops),
        reached: seen.servers,
        up,
        adverts,
    })
}

fn print_busy(busy: &Busy, alone: &Adverts) {
    println!(
        "\n{} servers checked every {DELAY_LOOP} s: {:.0} checks/s on {:.2} of a core, the latest \
         {:.0} ms late; {} of them checked, {} up",
        busy.servers,
        busy.checks_per_second,
        busy.cores,
        ms(busy.latest),
        busy.reached,
        busy.up,
    );
    println!(
        "\nadverts every 10 ms, lateness in ms {:>10} {:>10} {:>10}",
        "adverts", "p99", "worst"
    );
    for (name, adverts) in [("nothing to check", alone), ("all servers checked", &busy.adverts)] {
        println!("{name:<35} {:>10} {:>10.2} {:>10.2}", adverts.count, adverts.p99, adverts.worst);
    }
}

fn save(figures: &[Growth], busy: &Busy, alone: &Adverts) -> Result<()> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let result = json!({
        "growth": figures.iter().map(Growth::json).collect::<Vec<Value>>(),
        "checked": {
            "servers": busy.servers, "checks_per_second": busy.checks_per_second,
            "cores": busy.cores, "latest_ms": ms(busy.latest), "reached": busy.reached,
            "up": busy.up, "adverts": busy.adverts.json(),
        },
        "nothing_to_check": { "adverts": alone.json() },
    });
    let out = root.join("out/bench");
    fs::create_dir_all(&out)?;
    fs::write(out.join("checks.json"), serde_json::to_vec_pretty(&result)?)?;
    fs::write(root.join("docs/scale.svg"), plot::draw(&lines(figures)))?;
    Ok(())
}

/// What the plot shows: start, and the worst reload of each kind.
fn lines(figures: &[Growth]) -> Vec<plot::Line> {
    let mut lines = vec![plot::Line {
        name: "start".to_owned(),
        points: figures.iter().map(|one| (one.servers, ms(one.start))).collect(),
    }];
    for (kind, (name, _)) in CHANGES.iter().enumerate() {
        let point = |one: &Growth| (one.servers, ms(median(&one.reloads[kind])));
        let points = figures.iter().map(point).collect();
        lines.push(plot::Line { name: format!("reload, {name}"), points });
    }
    lines
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
