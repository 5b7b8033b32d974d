//! The director role's driver.

use std::io;

use edge::ipc::Channel;

/// Runs the role until its supervisor says stop or goes away.
pub(crate) fn run(_channel: Channel) -> io::Result<()> {
    Ok(())
}
