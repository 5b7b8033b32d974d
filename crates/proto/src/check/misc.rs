//! MISC_CHECK: what the end of a program means for a server.

use alloc::format;
use core::time::Duration;

use model::check::MiscCheck;

use super::Exit;
use super::words::{Text, seconds};

/// Whether the program says that the server is up, and what it adds to its weight if so.
///
/// Status 0 is a success that leaves the weight as it is in the file, 1 a failure. From 2 to 255 a
/// dynamic one asks for a weight of two less; what is told is the difference to the file, since
/// several checkers' differences add up (keepalived.conf(5)).
pub(super) fn judge(misc: &MiscCheck, exit: Exit) -> Result<(Text, i32), Text> {
    match exit {
        Exit::Status(0) => Ok(("exit status 0".into(), 0)),
        Exit::Status(status @ 2..=255) if misc.dynamic => {
            let configured = i32::try_from(misc.configured_weight).unwrap_or(i32::MAX);
            let text = format!("exit status {status}, weight {}", status - 2);
            Ok((text.into(), status - 2 - configured))
        }
        Exit::Status(status) => Err(format!("exit status {status}").into()),
        Exit::Signal(signal) => Err(format!("ended by signal {signal}").into()),
        Exit::NotStarted(cause) => Err(format!("not started: {cause}").into()),
    }
}

pub(super) fn too_long(within: Duration) -> Text {
    format!("still running after {}", seconds(within)).into()
}
