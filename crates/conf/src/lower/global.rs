//! `global_defs`: defaults, and what several keywords say together.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use model::Plan;
use model::layer4::VirtualServer;
use model::plan::{self, BoundedCommand};
use model::vrrp::{Command, Fifo, Notify};

use crate::diagnostic::Diagnostic;
use crate::keepalived::ast::{Global, Pipe};
use crate::source::{Span, Spanned};

/// Keepalived's bound on startup and shutdown scripts.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Lowers `global_defs`.
pub(super) fn lower(from: Global, diagnostics: &mut Vec<Diagnostic>) -> plan::Global {
    let mut global = from.plan;
    global.script_user = global.script_user.or(from.default_user);
    global.alerts.checkers = global.alerts.checkers.or(from.vrrp.smtp_alert);
    let startup = ("startup_script", from.startup_script, from.startup_timeout);
    global.startup_script = bounded(startup, diagnostics);
    let shutdown = ("shutdown_script", from.shutdown_script, from.shutdown_timeout);
    global.shutdown_script = bounded(shutdown, diagnostics);
    distinct(&[&from.pipe, &from.vrrp_pipe, &from.lvs_pipe], diagnostics);
    let all = fifo("notify_fifo", from.pipe, diagnostics);
    global.fifos.all = all.map(|fifo| Fifo { common: true, ..fifo });
    global.fifos.vrrp = fifo("vrrp_notify_fifo", from.vrrp_pipe, diagnostics);
    global.fifos.lvs = fifo("lvs_notify_fifo", from.lvs_pipe, diagnostics);
    global.pid_directory |= global.instance.is_some() || global.network_namespace.is_some();
    if from.default_reload_file && global.reload_file.is_none() {
        global.reload_file = Some(global.run_file("keepalived", "reload"));
    }
    global
}

/// With script security, a program that names no user needs one: it would run as root.
pub(super) fn users(security: Option<Span>, plan: &Plan, diagnostics: &mut Vec<Diagnostic>) {
    let Some(span) = security.filter(|_| plan.global.script_user.is_none()) else { return };
    if programs(plan).all(|command| command.user.is_some()) {
        return;
    }
    let message = "programs have no user to run as: keepalived_script does not exist";
    let help = "write script_user USER, or create the user keepalived_script";
    diagnostics.push(Diagnostic::error(span, message).help(help));
}

/// Every program of the plan.
fn programs(plan: &Plan) -> impl Iterator<Item = &Command> {
    let global = &plan.global;
    let once = [&global.startup_script, &global.shutdown_script];
    let pipes = [&global.fifos.all, &global.fifos.vrrp, &global.fifos.lvs];
    let instances = plan.vrrp.instances.iter().map(|instance| &instance.notify);
    let groups = plan.vrrp.sync_groups.iter().map(|group| &group.notify);
    let trackers = plan.vrrp.trackers.scripts.iter().map(|script| &script.command);
    once.into_iter()
        .flatten()
        .map(|bounded| &bounded.command)
        .chain(pipes.into_iter().flatten().filter_map(|fifo| fifo.script.as_ref()))
        .chain(instances.chain(groups).flat_map(told))
        .chain(trackers)
        .chain(plan.layer4.virtual_servers.iter().flat_map(of_servers))
}

/// Every program of a virtual server and its real servers.
fn of_servers(server: &VirtualServer) -> impl Iterator<Item = &Command> {
    let own = [&server.quorum.up, &server.quorum.down];
    let notices = server.real_servers.iter().flat_map(|one| [&one.notify_up, &one.notify_down]);
    let checkers = server.real_servers.iter().flat_map(|one| &one.checkers);
    let checks = checkers.filter_map(|checker| checker.kind.command());
    own.into_iter().chain(notices).flatten().chain(checks)
}

fn told(notify: &Notify) -> impl Iterator<Item = &Command> {
    let Notify { master, backup, fault, stop, deleted, any, lower_priority, .. } = notify;
    [master, backup, fault, stop, deleted, any, lower_priority].into_iter().flatten()
}

fn bounded(
    (keyword, command, timeout): (&str, Option<Command>, Option<Spanned<Duration>>),
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<BoundedCommand> {
    if let (None, Some(timeout)) = (&command, &timeout) {
        let message = format!("{keyword}_timeout has no effect without {keyword}");
        diagnostics.push(Diagnostic::warning(timeout.span, message).help("remove it"));
    }
    let timeout = timeout.map_or(SCRIPT_TIMEOUT, |timeout| timeout.value);
    Some(BoundedCommand { command: command?, timeout })
}

fn fifo(keyword: &str, pipe: Pipe, diagnostics: &mut Vec<Diagnostic>) -> Option<Fifo> {
    if let (None, Some(script)) = (&pipe.path, &pipe.script) {
        let message = format!("{keyword}_script has no effect without {keyword}");
        diagnostics.push(Diagnostic::warning(script.span, message).help("remove it"));
    }
    let script = pipe.script.map(|script| script.value);
    Some(Fifo { path: pipe.path?.value, user: pipe.user, script, common: false })
}

/// Two writers of one pipe would tell it everything twice.
fn distinct(pipes: &[&Pipe], diagnostics: &mut Vec<Diagnostic>) {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for path in pipes.iter().filter_map(|pipe| pipe.path.as_ref()) {
        if let Some(first) = seen.insert(&path.value, path.span) {
            diagnostics.push(
                Diagnostic::error(path.span, format!("{} is another pipe already", path.value))
                    .related(first, "used here first")
                    .help("give each pipe a path of its own"),
            );
        }
    }
}
