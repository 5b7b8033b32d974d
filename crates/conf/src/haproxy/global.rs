//! The `global` section: settings of the process.

use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;

use model::proxy::{Account, LogTarget};

use super::lexer::{Line, Word};
use super::proxy::Context;
use super::table::{GLOBAL, Table, row, superfluous};
use super::{global_refused, log, reader, value};
use crate::diagnostic::Diagnostic;
use crate::row::Row;
use crate::source::Spanned;

/// What the lines say.
#[derive(Clone, Debug, Default)]
pub(super) struct Global {
    pub(super) log: Vec<LogTarget>,
    pub(super) log_tag: Option<Spanned<String>>,
    pub(super) max_connections: Option<Spanned<u32>>,
    pub(super) user: Option<Spanned<Account>>,
    pub(super) group: Option<Spanned<Account>>,
    pub(super) chroot: Option<Spanned<String>>,
    pub(super) pid_file: Option<Spanned<String>>,
    pub(super) daemon: bool,
    pub(super) threads: Option<Spanned<u32>>,
    /// A line was refused.
    pub(super) broken: bool,
}

/// Reads one line of the section.
pub(super) type Read = fn(&mut Global, &Line, &mut Context<'_>) -> Result<(), Diagnostic>;

/// Every keyword of the section.
pub(super) static TABLE: Table<Read> =
    Table { parts: &[ROWS, global_refused::ROWS], what: "keyword of global" };

/// As many event loops as HAProxy allows.
pub(super) const THREADS_MAX: u32 = 64;

static ROWS: &[Row<Read>] = &[
    row("log", GLOBAL)
        .syntax(log::SYNTAX)
        .doc("Receiver of log lines, for proxies that say `log global`.")
        .parse(read_log as Read),
    row("log-tag", GLOBAL)
        .syntax("<text>")
        .default("haproxy")
        .doc("Program name in log lines.")
        .parse(read_log_tag),
    row("maxconn", GLOBAL)
        .syntax("<number>")
        .doc("Connections accepted at a time over all frontends.")
        .parse(read_maxconn),
    row("user", GLOBAL).syntax("<name>").doc("User the proxy runs as.").parse(read_user),
    row("uid", GLOBAL).syntax("<number>").doc("User the proxy runs as, by number.").parse(read_uid),
    row("group", GLOBAL).syntax("<name>").doc("Group the proxy runs as.").parse(read_group),
    row("gid", GLOBAL)
        .syntax("<number>")
        .doc("Group the proxy runs as, by number.")
        .parse(read_gid),
    row("daemon", GLOBAL).doc("Go to the background once ready.").parse(read_daemon),
    row("chroot", GLOBAL)
        .syntax("<directory>")
        .doc("Directory the proxy locks itself into once everything is open.")
        .parse(read_chroot),
    row("pidfile", GLOBAL)
        .syntax("<file>")
        .doc("File that receives the process id.")
        .parse(read_pidfile),
    row("nbthread", GLOBAL)
        .syntax("<number>")
        .doc("Event loops of the proxy, 1 to 64.")
        .default("one for each processor")
        .parse(read_nbthread),
];

fn read_log(global: &mut Global, line: &Line, context: &mut Context<'_>) -> Result<(), Diagnostic> {
    if line.text(1) == "global" {
        return Err(Diagnostic::error(line.span(), "`log global` stands in proxies only")
            .help("name a receiver here: log 127.0.0.1 local0"));
    }
    global.log.push(log::target(line, context)?);
    Ok(())
}

fn read_log_tag(
    global: &mut Global,
    line: &Line,
    context: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    let tag = value::text(value::argument(line, 1, "a name")?);
    set(&mut global.log_tag, tag, "log-tag", context);
    Ok(())
}

fn read_maxconn(
    global: &mut Global,
    line: &Line,
    context: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    let number = value::number(value::argument(line, 1, "a number")?, 0, i32::MAX as u32)?;
    set(&mut global.max_connections, number, "maxconn", context);
    Ok(())
}

fn read_user(
    global: &mut Global,
    line: &Line,
    context: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    let word = value::argument(line, 1, "the name of a user")?;
    let id = context.source.user_id(&word.text);
    let account = named(word, id, "user", context);
    set(&mut global.user, account, "user", context);
    Ok(())
}

fn read_group(
    global: &mut Global,
    line: &Line,
    context: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    let word = value::argument(line, 1, "the name of a group")?;
    let id = context.source.group_id(&word.text);
    let account = named(word, id, "group", context);
    set(&mut global.group, account, "group", context);
    Ok(())
}

fn named(word: &Word, id: Option<u32>, what: &str, context: &mut Context<'_>) -> Spanned<Account> {
    if id.is_none() {
        context.diagnostics.push(
            Diagnostic::warning(
                word.span,
                format!("this machine does not know the {what} `{}`", word.text),
            )
            .help(format!("the proxy does not start without it; create the {what} first")),
        );
    }
    Spanned { value: Account { name: word.text.clone(), id }, span: word.span }
}

fn read_uid(global: &mut Global, line: &Line, context: &mut Context<'_>) -> Result<(), Diagnostic> {
    let account = numbered(line, "the number of a user")?;
    set(&mut global.user, account, "user", context);
    Ok(())
}

fn read_gid(global: &mut Global, line: &Line, context: &mut Context<'_>) -> Result<(), Diagnostic> {
    let account = numbered(line, "the number of a group")?;
    set(&mut global.group, account, "group", context);
    Ok(())
}

fn numbered(line: &Line, what: &str) -> Result<Spanned<Account>, Diagnostic> {
    let number = value::number(value::argument(line, 1, what)?, 0, u32::MAX - 1)?;
    let account = Account { name: number.value.to_string(), id: Some(number.value) };
    Ok(Spanned { value: account, span: number.span })
}

fn read_daemon(global: &mut Global, line: &Line, _: &mut Context<'_>) -> Result<(), Diagnostic> {
    superfluous("daemon", line.rest(1))?;
    global.daemon = true;
    Ok(())
}

fn read_chroot(
    global: &mut Global,
    line: &Line,
    context: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    let path = value::text(value::argument(line, 1, "a directory")?);
    set(&mut global.chroot, path, "chroot", context);
    Ok(())
}

fn read_pidfile(
    global: &mut Global,
    line: &Line,
    context: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    let path = value::text(value::argument(line, 1, "a file")?);
    set(&mut global.pid_file, path, "pidfile", context);
    Ok(())
}

fn read_nbthread(
    global: &mut Global,
    line: &Line,
    context: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    let number = value::number(value::argument(line, 1, "a number")?, 1, THREADS_MAX)?;
    set(&mut global.threads, number, "nbthread", context);
    Ok(())
}

/// Fills a field that should be filled once; the last line wins.
fn set<T>(
    field: &mut Option<Spanned<T>>,
    value: Spanned<T>,
    name: &str,
    context: &mut Context<'_>,
) {
    if let Some(first) = field {
        context.diagnostics.push(
            Diagnostic::warning(value.span, format!("`{name}` is set again; this line wins"))
                .related(first.span, "set here before"),
        );
    }
    *field = Some(value);
}

/// Reads one line of the section.
pub(super) fn read(global: &mut Global, line: &Line, context: &mut Context<'_>) {
    let first = &line.rest(0)[0];
    let result = match first.text.as_str() {
        "no" | "default" => Err(Diagnostic::error(
            line.span(),
            format!("`{}` cannot stand before a keyword in `global`", first.text),
        )
        .help("remove the line")),
        // `stats socket` and its like are known by two words.
        name => {
            let two = format!("{name} {}", line.text(1));
            match TABLE.find(&two) {
                Some(row) => TABLE.supported(row.info.name, line.head(2)),
                None if TABLE.find(name).is_none() && reader::is_proxy_keyword(name) => {
                    let message = format!("`{name}` cannot stand in `global`");
                    Err(Diagnostic::error(first.span, message)
                        .help("it belongs into a defaults, frontend, listen or backend section"))
                }
                None => TABLE.supported(name, first.span),
            }
            .and_then(|(read, _)| read(global, line, context))
        }
    };
    if let Err(diagnostic) = result {
        global.broken = true;
        context.diagnostics.push(diagnostic);
    }
}
