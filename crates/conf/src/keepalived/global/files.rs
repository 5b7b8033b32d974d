//! Names of the director and its files, reloads at a given time.

use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;

use crate::keepalived::ast::{Configuration, Global};
use crate::keepalived::keyword::section::{GLOBAL, TOP};
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;
use crate::keepalived::surroundings::any_base;

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("instance", &[TOP]).syntax("NAME").example("blue")
        .doc("Sets several directors on one machine apart in the names of their files.")
        .parse(Rule::value(Fill::Top(instance))),
    keyword("net_namespace", &[TOP]).syntax("NAME").example("blue")
        .doc("Network namespace to run in.")
        .parse(Rule::value(Fill::Top(net_namespace))),
    keyword("use_pid_dir", &[TOP])
        .doc("Pid files go to /run/keepalived, as with instance and net_namespace.")
        .parse(Rule::value(Fill::Top(use_pid_dir))),
    keyword("child_wait_time", &[TOP]).syntax("SECONDS").default("5").example("10")
        .doc("How long the roles may take to end.")
        .parse(Rule::value(Fill::Top(child_wait_time))),
    keyword("umask", &[GLOBAL]).syntax("NUMBER|BITS").default("IWGRP | IWOTH").example("027")
        .doc("Permissions that new files do not get: a number, or I{R|W|X}{USR|GRP|OTH} joined by |.")
        .parse(Rule::value(Fill::Global(umask))),
    keyword("config_save_dir", &[GLOBAL]).syntax("DIRECTORY").example("/tmp")
        .doc("Directory that the configuration is saved to before and after each reload.")
        .parse(Rule::value(Fill::Global(config_save_dir))),
    keyword("reload_time_file", &[GLOBAL]).syntax("PATH").example("/etc/keepalived/reload.time")
        .doc("File whose first line, [[YY]YY-MM-DD ]HH:MM:SS[Z], is the time of a reload.")
        .parse(Rule::value(Fill::Global(reload_time_file))),
    keyword("reload_repeat", &[GLOBAL])
        .doc("reload_time_file stays, and a time without a date counts every day.")
        .parse(Rule::value(Fill::Global(reload_repeat))),
    keyword("reload_file", &[GLOBAL]).syntax("[PATH]").default("keepalived.reload beside the pid file")
        .example("/run/director.reload")
        .doc("File that exists while the configuration is read.")
        .parse(Rule::value(Fill::Global(reload_file))),
    keyword("data_use_instance", &[GLOBAL]).syntax("[BOOL]").example("true")
        .doc("Names of dump files contain the instance and the network namespace.")
        .parse(Rule::value(Fill::Global(data_use_instance))),
];

/// Longest name of a file (linux/limits.h NAME_MAX), less what is put around it.
const NAME_MAX: usize = 200;

/// A word that becomes part of a file's name.
fn name(reader: &mut Reader<'_>, statement: &Statement<'_>) -> Option<String> {
    let word = reader.argument(statement, "a name")?;
    let text = word.text.as_ref();
    let good = text.len() <= NAME_MAX
        && !text.starts_with('.')
        && !text.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control());
    if !good {
        let message = format!("\"{text}\" cannot be part of the name of a file");
        reader.error(word.span, message, "use letters, digits, '-' and '_'");
    }
    good.then(|| text.to_string())
}

fn instance(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Configuration) {
    to.global.plan.instance = name(reader, statement);
}

fn net_namespace(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Configuration) {
    to.global.plan.network_namespace = name(reader, statement);
}

fn use_pid_dir(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Configuration) {
    reader.flag(statement);
    to.global.plan.pid_directory = true;
}

fn child_wait_time(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Configuration) {
    let seconds = reader.number(statement, "a number of seconds", 0..=86_400);
    to.global.plan.child_wait_time = seconds.map(|seconds| Duration::from_secs(seconds.into()));
}

fn umask(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    let Some(first) = reader.first_argument(statement, "a number or bits") else { return };
    let words = statement.arguments();
    let mask = if first.text.starts_with(|c: char| c.is_ascii_digit()) {
        reader.no_more(statement, 1);
        any_base(&first.text)
            .and_then(|mask| u32::try_from(mask).ok())
            .filter(|mask| *mask <= 0o777)
    } else {
        let text: String = words.iter().map(|word| word.text.as_ref()).collect();
        text.split('|').try_fold(0, |mask, name| Some(mask | bit(name)?))
    };
    if mask.is_none() {
        let span = first.span.to(words[words.len() - 1].span);
        let message = "this is no file mode mask".to_string();
        reader.error(span, message, "write an octal number like 022, or bits like IWGRP | IWOTH");
    }
    global.plan.umask = mask;
}

/// One bit of a file mode by its name in sys/stat.h, less the `S_`.
fn bit(name: &str) -> Option<u32> {
    let permission = match name.get(..2)? {
        "IR" => 0o4,
        "IW" => 0o2,
        "IX" => 0o1,
        _ => return None,
    };
    match name.get(2..)? {
        "USR" => Some(permission << 6),
        "GRP" => Some(permission << 3),
        "OTH" => Some(permission),
        _ => None,
    }
}

/// A path from the root, as the only argument.
fn path(reader: &mut Reader<'_>, statement: &Statement<'_>) -> Option<String> {
    let word = reader.argument(statement, "a path")?;
    if !word.text.starts_with('/') {
        let message = format!("\"{}\" is not an absolute path", word.text);
        reader.error(word.span, message, "write the whole path, from /");
        return None;
    }
    Some(word.text.to_string())
}

fn config_save_dir(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    global.plan.config_save_directory = path(reader, statement);
}

fn reload_time_file(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    global.plan.reload_time_file = path(reader, statement);
}

fn reload_repeat(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    reader.flag(statement);
    global.plan.reload_repeat = true;
}

fn reload_file(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    if statement.arguments().is_empty() {
        global.default_reload_file = true;
    } else {
        global.plan.reload_file = path(reader, statement);
    }
}

fn data_use_instance(reader: &mut Reader<'_>, statement: &Statement<'_>, global: &mut Global) {
    global.plan.dump_names_instance = reader.boolean(statement).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_a_mask_have_the_names_of_the_c_library() {
        assert_eq!(bit("IRUSR"), Some(0o400));
        assert_eq!(bit("IWGRP"), Some(0o020));
        assert_eq!(bit("IXOTH"), Some(0o001));
        for wrong in ["", "I", "IRALL", "iwoth", "IRUSRX"] {
            assert_eq!(bit(wrong), None, "{wrong}");
        }
    }
}
