//! Namespaces, topologies, traffic and drills: a configuration rehearsed on one machine.
//!
//! [`run`] derives a topology from a Plan, builds it, starts two directors with the files as they
//! are, holds the drills and returns a [`Report`]. Everything is removed when it returns.
#![forbid(unsafe_code)]

mod adapt;
mod client;
mod director;
mod drills;
mod error;
pub mod net;
mod picture;
mod report;
mod rig;
mod server;
pub mod topology;
mod traffic;
pub mod unpack;

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use model::Plan;

pub use director::ConfigFile;
pub use error::LabError;
pub use report::{Drill, Expectation, Report};
pub use topology::Topology;

use drills::Session;
use rig::{Parts, Rig};

/// How a rehearsal is held.
#[derive(Debug)]
pub struct LabOptions<'a> {
    /// The evenkeel executable that directors run.
    pub executable: PathBuf,
    /// Set when somebody wants the end: everything is removed and [`LabError::Interrupted`]
    /// returned.
    pub stop: &'a AtomicBool,
    /// Where to keep the directors' logs; they are removed when absent.
    pub logs: Option<PathBuf>,
}

/// Rehearses a configuration. `progress` receives a line for every step. An error means that it
/// could not be held; what did not go as it should is in the report.
pub fn run(
    plan: &Plan,
    files: &[ConfigFile],
    options: &LabOptions<'_>,
    progress: &mut dyn Write,
) -> Result<Report, LabError> {
    if let Some(reason) = net::missing() {
        return Err(LabError::Machine(format!("the lab cannot be built: {reason}")));
    }
    let began = edge::clock::now();
    let topology = Topology::of(plan).map_err(LabError::Unsuitable)?;
    let parts =
        Parts { plan, files, executable: &options.executable, logs: options.logs.as_deref() };
    let rig = Rig::build(topology, &parts)?;
    let mut session = Session { rig, stop: options.stop, progress, began };
    session.say("namespaces, networks and servers are ready");
    let drills = session.run()?;
    session.say("removing everything");
    let topology = session.rig.topology.clone();
    let adaptations = std::mem::take(&mut session.rig.adaptations);
    drop(session);
    Ok(Report {
        files: files.iter().map(|file| file.path.display().to_string()).collect(),
        topology,
        adaptations,
        passed: drills.iter().all(Drill::passed),
        drills,
        seconds: edge::clock::now().since(began).as_secs_f64(),
    })
}
