//! A soak: 50,000 new flows of UDP per second that time out after 20 s, and TCP closed by RST, for
//! minutes, through a whole director that is master of its address meanwhile.
//!
//! Each minute a slice of the connection table is held against what was sent, and the counts
//! against the table. At the end nothing is left, no memory has grown, and the adverts went out as
//! they did before. `EVENKEEL_SOAK_MINUTES` (10) and `EVENKEEL_SOAK_FLOWS` (50000 per second) set
//! the length and the load; results go to `out/bench/soak.json`.

#[path = "../shared/capture.rs"]
#[allow(dead_code, reason = "other benches use the rest")]
mod capture;
mod soak;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use soak::Settings;

/// By how much the 99th percentile of the adverts' lateness may be worse under load, in ms.
const LATER_MOST: f64 = 2.0;

fn main() {
    if let Some(reason) = soak::missing() {
        println!("skipped: {reason}");
        return;
    }
    if let Err(error) = run() {
        eprintln!("soak: {error}");
        std::process::exit(1);
    }
}

fn run() -> soak::Result<()> {
    let minutes = setting("EVENKEEL_SOAK_MINUTES", 10);
    let settings = Settings {
        length: Duration::from_secs(60 * minutes),
        audit_every: Duration::from_secs(60),
        quiet: Duration::from_secs(20),
        flows_per_second: setting("EVENKEEL_SOAK_FLOWS", 50_000) as u32,
        streams_per_second: 1000,
        udp_timeout: Duration::from_secs(20),
        connections: 1_500_000,
    };
    let found = soak::soak(&settings)?;
    let out = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../out/bench");
    fs::create_dir_all(&out)?;
    let written = json!({
        "soak": {
            "seconds": settings.length.as_secs(),
            "flows_per_second": found.sent.per_second,
            "frames_not_taken": found.sent.refused,
            "audits": found.audits.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "lateness_ms_before": found.before,
            "lateness_ms_during": found.during,
            "processes_kib": found.memory.iter().map(|one| one.processes).collect::<Vec<_>>(),
            "maps_kib": found.memory.iter().map(|one| one.maps).collect::<Vec<_>>(),
        }
    });
    fs::write(out.join("soak.json"), serde_json::to_vec_pretty(&written)?)?;
    if found.sent.per_second < settings.flows_per_second / 100 * 99 {
        return Err(format!("only {} flows per second were sent", found.sent.per_second).into());
    }
    let ([_, before, _], [_, during, _]) = (found.before, found.during);
    match during > before + LATER_MOST {
        true => Err(format!("adverts are {during} ms late under load, {before} without").into()),
        false => Ok(()),
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
