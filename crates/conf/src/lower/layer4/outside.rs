//! What the director role has to do with besides the network.

use alloc::collections::BTreeSet;

use model::Plan;
use model::layer4::{Layer4Plan, Outside, TlsFiles};
use model::vrrp::{FINISH_WITHIN, Fifo, TrackFile, UMASK};

use crate::keepalived::ast::File;

/// The director role's programs, files and pipes, when everything else is lowered.
pub(in crate::lower) fn outside(
    files: &[File],
    tls: TlsFiles,
    init_notifies: bool,
    plan: &Plan,
) -> Outside {
    let global = &plan.global;
    let followed = if files.is_empty() { BTreeSet::new() } else { followed(&plan.layer4) };
    let files = files.iter().filter(|file| followed.contains(file.name.value.as_str()));
    Outside {
        files: files
            .map(|file| TrackFile {
                name: file.name.value.clone(),
                path: file.path.clone(),
                init: file.init,
            })
            .collect(),
        fifos: common_fifo(plan).into_iter().chain(global.fifos.lvs.clone()).collect(),
        script_user: global.script_user.clone(),
        script_security: global.script_security,
        finish_within: global.child_wait_time.unwrap_or(FINISH_WITHIN),
        umask: global.umask.unwrap_or(UMASK),
        tls,
        init_notifies,
    }
}

/// `notify_fifo`. With VRRP the helper role writes to it too, and starts the program that reads it.
fn common_fifo(plan: &Plan) -> Option<Fifo> {
    let fifo = plan.global.fifos.all.clone()?;
    let script = fifo.script.filter(|_| plan.vrrp.instances.is_empty());
    Some(Fifo { script, ..fifo })
}

/// Names of the files that some FILE_CHECK follows.
fn followed(plan: &Layer4Plan) -> BTreeSet<&str> {
    let servers = plan.virtual_servers.iter().flat_map(|service| &service.real_servers);
    let checkers = servers.flat_map(|server| &server.checkers);
    checkers.filter_map(|checker| checker.kind.file()).collect()
}
