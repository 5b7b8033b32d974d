//! What roles have to do with besides the network: programs of the administrator that run, pipes
//! that are told of changes, files with a number. The helper role has them for VRRP, the director
//! role for virtual servers.

mod fifos;
mod programs;
mod track_files;
mod turns;

pub(crate) use fifos::Fifos;
pub(crate) use programs::Programs;
pub(crate) use track_files::Files;
pub(crate) use turns::Turns;

/// Lines for the log: syslog severity and text.
pub(crate) type Log = Vec<(u8, String)>;
