//! Programs that the director runs, whom they run as, and pipes.

use alloc::format;
use alloc::string::ToString;
use core::time::Duration;

use crate::keepalived::ast::{Global, Pipe};
use crate::keepalived::keyword::section::GLOBAL;
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::scripts;
use crate::keepalived::structure::Statement;
use crate::source::Spanned;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("script_user", &[GLOBAL]).syntax("USER [GROUP]")
        .default("keepalived_script if it exists, else who runs Evenkeel").example("root root")
        .doc("Whom programs run as that name nobody.")
        .parse(Rule::value(Fill::Global(script_user))),
    keyword("enable_script_security", &[GLOBAL])
        .doc("Programs that others than root can change are not run as root.")
        .parse(Rule::value(Fill::Global(enable_script_security))),
    keyword("startup_script", &[GLOBAL]).syntax("PROGRAM [USER [GROUP]]").example("/bin/true")
        .doc("Program that is run once before VRRP, checks and proxy start.")
        .parse(Rule::value(Fill::Global(startup_script))),
    keyword("startup_script_timeout", &[GLOBAL]).syntax("1..1000 SECONDS").default("10").example("20")
        .doc("Bound on that program's run.")
        .parse(Rule::value(Fill::Global(startup_script_timeout))),
    keyword("shutdown_script", &[GLOBAL]).syntax("PROGRAM [USER [GROUP]]").example("/bin/true")
        .doc("Program that is run once after everything has ended.")
        .parse(Rule::value(Fill::Global(shutdown_script))),
    keyword("shutdown_script_timeout", &[GLOBAL]).syntax("1..1000 SECONDS").default("10").example("20")
        .doc("Bound on that program's run.")
        .parse(Rule::value(Fill::Global(shutdown_script_timeout))),
    keyword("notify_fifo", &[GLOBAL]).syntax("PATH [USER [GROUP]]").example("/run/director.fifo")
        .doc("Pipe that is told of every change of state, of VRRP and of servers, one line each.")
        .parse(Rule::value(Fill::Global(notify_fifo))),
    keyword("notify_fifo_script", &[GLOBAL]).syntax("PROGRAM [USER [GROUP]]").example("/bin/cat")
        .doc("Program that reads that pipe; its last argument is the path.")
        .parse(Rule::value(Fill::Global(notify_fifo_script))),
    keyword("vrrp_notify_fifo", &[GLOBAL]).syntax("PATH [USER [GROUP]]").example("/run/vrrp.fifo")
        .doc("Pipe that is told of VRRP's changes of state.")
        .parse(Rule::value(Fill::Global(vrrp_notify_fifo))),
    keyword("vrrp_notify_fifo_script", &[GLOBAL]).syntax("PROGRAM [USER [GROUP]]").example("/bin/cat")
        .doc("Program that reads that pipe; its last argument is the path.")
        .parse(Rule::value(Fill::Global(vrrp_notify_fifo_script))),
    keyword("lvs_notify_fifo", &[GLOBAL]).syntax("PATH [USER [GROUP]]").example("/run/servers.fifo")
        .doc("Pipe that is told of the changes of virtual and real servers.")
        .parse(Rule::value(Fill::Global(lvs_notify_fifo))),
    keyword("lvs_notify_fifo_script", &[GLOBAL]).syntax("PROGRAM [USER [GROUP]]").example("/bin/cat")
        .doc("Program that reads that pipe; its last argument is the path.")
        .parse(Rule::value(Fill::Global(lvs_notify_fifo_script))),
    keyword("fifo_write_vrrp_states_on_reload", &[GLOBAL])
        .doc("After a reload the pipes are told of every state again.")
        .parse(Rule::value(Fill::Global(fifo_write_vrrp_states_on_reload))),
    keyword("use_symlink_paths", &[GLOBAL]).syntax("[BOOL]").example("true").since("2.3.0")
        .doc("Programs are run under the path as written, links unresolved.")
        .parse(Rule::value(Fill::Global(use_symlink_paths))),
];

fn use_symlink_paths(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    global.plan.symlink_paths = reader.boolean(statement).unwrap_or_default();
}

fn script_user(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    if reader.first_argument(statement, "a user").is_none() {
        return;
    }
    reader.no_more(statement, 2);
    global.plan.script_user = scripts::user(reader, statement.arguments());
}

fn enable_script_security(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    global.script_security = Some(reader.flag(statement));
    global.plan.script_security = true;
}

fn startup_script(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    global.startup_script = scripts::command(reader, statement);
}

fn shutdown_script(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    global.shutdown_script = scripts::command(reader, statement);
}

fn startup_script_timeout(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    global.startup_timeout = bound(reader, statement);
}

fn shutdown_script_timeout(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    global: &mut Global,
) {
    global.shutdown_timeout = bound(reader, statement);
}

fn bound(reader: &mut Reader<'_>, statement: &Statement<'_>) -> Option<Spanned<Duration>> {
    let seconds = reader.number(statement, "a number of seconds", 1..=1_000)?;
    Some(Spanned { value: Duration::from_secs(seconds.into()), span: statement.header() })
}

fn notify_fifo(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    pipe(reader, statement, &mut global.pipe);
}

fn notify_fifo_script(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    pipe_script(reader, statement, &mut global.pipe);
}

fn vrrp_notify_fifo(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    pipe(reader, statement, &mut global.vrrp_pipe);
}

fn vrrp_notify_fifo_script(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    global: &mut Global,
) {
    pipe_script(reader, statement, &mut global.vrrp_pipe);
}

fn lvs_notify_fifo(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    pipe(reader, statement, &mut global.lvs_pipe);
}

fn lvs_notify_fifo_script(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    pipe_script(reader, statement, &mut global.lvs_pipe);
}

fn pipe(reader: &mut Reader<'_>, statement: &Statement<'_>, pipe: &mut Pipe) {
    let Some(path) = reader.first_argument(statement, "the path of a pipe") else { return };
    reader.no_more(statement, 3);
    if !path.text.starts_with('/') {
        let message = format!("\"{}\" is not an absolute path", path.text);
        reader.error(path.span, message, "write the whole path, from /");
        return;
    }
    pipe.path = Some(Spanned { value: path.text.to_string(), span: path.span });
    pipe.user = match statement.arguments().get(1..).unwrap_or_default() {
        [] => None,
        user => scripts::user(reader, user),
    };
}

fn pipe_script(reader: &mut Reader<'_>, statement: &Statement<'_>, pipe: &mut Pipe) {
    let command = scripts::command(reader, statement);
    pipe.script = command.map(|value| Spanned { value, span: statement.header() });
}

fn fifo_write_vrrp_states_on_reload(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    global: &mut Global,
) {
    reader.flag(statement);
    global.plan.fifos.write_states_on_reload = true;
}
