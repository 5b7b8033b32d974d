//! What instances depend on.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::Command;

/// One line of `track_interface`, `track_script`, `track_file`, `track_process` or `track_bfd`,
/// defaults resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// What is followed.
    pub what: Tracked,
    /// Zero: a failure is a fault. Positive: added to the priority while it is up. Negative:
    /// subtracted while it is down. A file's value is multiplied by it. -254 to 254.
    pub weight: i16,
    /// The sign of the change is turned round; with weight 0, up is the fault.
    pub reverse: bool,
}

/// Something that can be up or down; the names are those of the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tracked {
    /// A network interface.
    Interface(String),
    /// A `vrrp_script`.
    Script(String),
    /// A `track_file`.
    File(String),
    /// A `vrrp_track_process`.
    Process(String),
    /// A `bfd_instance`.
    Bfd(String),
}

/// What the helper process follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trackers {
    /// `vrrp_script`
    pub scripts: Vec<TrackScript>,
    /// `track_file`
    pub files: Vec<TrackFile>,
    /// `vrrp_track_process`
    pub processes: Vec<TrackProcess>,
}

/// `vrrp_script`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackScript {
    /// The name in the file.
    pub name: String,
    /// What runs.
    pub command: Command,
    /// Time from one start to the next.
    pub interval: Duration,
    /// A run that takes longer has failed and is ended; the interval when the file gives none.
    pub timeout: Duration,
    /// Successes in a row that bring it up.
    pub rise: u32,
    /// Failures in a row that take it down.
    pub fall: u32,
    /// It begins as failed.
    pub init_fail: bool,
}

/// `track_file`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackFile {
    /// The name in the file.
    pub name: String,
    /// Path of the file that holds a number.
    pub path: String,
    /// Created at start (`init_file`).
    pub init: Option<InitFile>,
}

/// `init_file [VALUE] [overwrite]`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitFile {
    /// The value written.
    pub value: i32,
    /// Also into a file that exists.
    pub overwrite: bool,
}

/// `vrrp_track_process`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackProcess {
    /// The name in the file.
    pub name: String,
    /// Name of the process (/proc/PID/comm), or its path with
    /// [`full_command`](Self::full_command) or parameters (/proc/PID/cmdline).
    pub process: String,
    /// The parameters it is to have.
    pub parameters: Vec<String>,
    /// How they are compared; absent when parameters do not matter.
    pub parameter_match: Option<ParameterMatch>,
    /// The whole command line counts (`full_command`).
    pub full_command: bool,
    /// Least number of processes for success.
    pub quorum: u32,
    /// Greatest number of processes for success.
    pub quorum_max: Option<u32>,
    /// From gaining the quorum to being up.
    pub fork_delay: Duration,
    /// From losing the quorum to being down.
    pub terminate_delay: Duration,
}

/// `param_match`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParameterMatch {
    /// All parameters, exactly.
    Exact,
    /// The first ones (`partial`).
    Partial,
    /// The first ones, and the last of them may be longer (`initial`).
    Initial,
}
