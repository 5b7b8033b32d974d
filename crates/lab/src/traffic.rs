//! A steady stream of requests in the background of a drill.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use model::Time;

use crate::client::{Failure, ask, client_address};
use crate::net::Namespace;
use crate::topology::{Network, Service};

/// Clients at work at the same time. While nothing answers, each is stuck for a second, so this
/// is also how finely a gap is seen: an eighth of a second or better.
const WORKERS: u32 = 12;
/// Pause of a worker between two requests.
const PAUSE: Duration = Duration::from_millis(50);
/// How much later each worker than the one before it tries again after a failure.
const SCATTER: Duration = Duration::from_millis(80);
/// Requests kept: far more than the longest drill makes.
const SAMPLES_MAX: usize = 200_000;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// When it began.
    pub began: Time,
    /// When it was answered or given up.
    pub ended: Time,
    /// Number of the service asked.
    pub service: usize,
    /// Who answered, or why nobody did.
    pub outcome: Result<String, Failure>,
}

/// Requests in the background, until it is dropped.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    samples: Arc<Mutex<Vec<Sample>>>,
    workers: Vec<thread::JoinHandle<io::Result<()>>>,
}

impl Traffic {
    /// Starts asking all services in turn from inside `client`, every request from another
    /// client address. `sequence` numbers the clients and goes on counting.
    pub(crate) fn start(
        client: &Namespace,
        services: &[Service],
        clients: Network,
        sequence: &Arc<AtomicU32>,
    ) -> Traffic {
        let stop = Arc::new(AtomicBool::new(false));
        let samples = Arc::new(Mutex::new(Vec::new()));
        let services: Arc<[Service]> = services.into();
        let workers = (0..WORKERS).map(|worker| {
            let (stop, samples) = (Arc::clone(&stop), Arc::clone(&samples));
            let (sequence, services) = (Arc::clone(sequence), Arc::clone(&services));
            let inside = client.handle().clone();
            thread::spawn(move || {
                inside.enter_for_good()?;
                thread::sleep(PAUSE * worker / WORKERS);
                while !stop.load(Ordering::Relaxed) {
                    let number = sequence.fetch_add(1, Ordering::Relaxed);
                    let service = number as usize % services.len();
                    let began = edge::clock::now();
                    let outcome = ask(&services[service], client_address(clients, number));
                    let failed = outcome.is_err();
                    let sample = Sample { began, ended: edge::clock::now(), service, outcome };
                    let mut samples = lock(&samples);
                    if samples.len() < SAMPLES_MAX {
                        samples.push(sample);
                    }
                    drop(samples);
                    // Those that failed together do not try again together.
                    thread::sleep(if failed { PAUSE + SCATTER * worker } else { PAUSE });
                }
                Ok(())
            })
        });
        Traffic { workers: workers.collect(), stop, samples }
    }

    /// The requests that began at `from` or later, so far.
    pub(crate) fn since(&self, from: Time) -> Vec<Sample> {
        lock(&self.samples).iter().filter(|sample| sample.began >= from).cloned().collect()
    }

    /// Ends it and returns every request, by the time it began.
    pub(crate) fn finish(mut self) -> Vec<Sample> {
        self.join();
        let mut samples = std::mem::take(&mut *lock(&self.samples));
        samples.sort_by_key(|sample| sample.began);
        samples
    }

    fn join(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.join();
    }
}

fn lock(samples: &Mutex<Vec<Sample>>) -> MutexGuard<'_, Vec<Sample>> {
    samples.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Failures in words: `3 connection refused, 1 no answer`.
pub(crate) fn describe_failures<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> String {
    let mut counts: BTreeMap<Failure, u32> = BTreeMap::new();
    for sample in samples {
        if let Err(failure) = &sample.outcome {
            *counts.entry(*failure).or_default() += 1;
        }
    }
    let words: Vec<String> =
        counts.iter().map(|(failure, count)| format!("{count} {failure}")).collect();
    words.join(", ")
}

/// The longest time without an answer of a service that includes some moment after `from`: from
/// the last answer before to the first one after. Nothing when no answer came after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The last answer before.
    pub from: Time,
    /// The first answer after.
    pub to: Time,
}

/// The longest [`Gap`] in the answers of one service that ends after `event`.
pub(crate) fn longest_gap(samples: &[Sample], service: usize, event: Time) -> Option<Gap> {
    let mut answers: Vec<Time> = samples
        .iter()
        .filter(|sample| sample.service == service && sample.outcome.is_ok())
        .map(|sample| sample.ended)
        .collect();
    answers.sort_unstable();
    let gaps = answers.windows(2).map(|pair| Gap { from: pair[0], to: pair[1] });
    gaps.filter(|gap| gap.to > event).max_by_key(|gap| gap.to.since(gap.from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_ms: u64, outcome: Result<&str, Failure>) -> Sample {
        let at = Time::from_nanos(at_ms * 1_000_000);
        Sample { began: at, ended: at, service: 0, outcome: outcome.map(str::to_owned) }
    }

    #[test]
    fn the_longest_gap_after_an_event_spans_it() {
        let ok = |at| sample(at, Ok("a"));
        let samples = [
            ok(0),
            ok(9000), // a gap before the event does not count
            ok(9100),
            sample(9200, Err(Failure::NoConnection)),
            ok(12_100),
            ok(12_200),
        ];
        let gap = longest_gap(&samples, 0, Time::from_nanos(9_150_000_000)).unwrap();
        assert_eq!(gap.to.since(gap.from), Duration::from_secs(3));
        assert_eq!(longest_gap(&samples, 1, Time::ZERO), None);
    }

    #[test]
    fn failures_are_counted_by_reason() {
        let samples = [
            sample(0, Err(Failure::Refused)),
            sample(1, Err(Failure::Refused)),
            sample(2, Ok("a")),
            sample(3, Err(Failure::NoAnswer)),
        ];
        assert_eq!(describe_failures(&samples), "2 connection refused, 1 no answer");
    }
}
