//! What has to differ from the files for a rehearsal on one machine: as little as possible, and
//! all of it is reported.

use std::path::Path;

use model::Plan;

use crate::server::CHECKED_DIGEST;

/// A file's text for one director of the lab, with what was changed, in sentences. Nothing
/// changed means that the file itself can be used.
pub(crate) fn adapt(text: &str, plan: &Plan, directory: &Path) -> (String, Vec<String>) {
    let mut changes = Vec::new();
    let mut adapted = replace_digests(text, &mut changes);
    let process = &plan.proxy.process;
    if let Some(pid_file) = &process.pid_file {
        let own = directory.join("haproxy.pid");
        replace_line(&mut adapted, "pidfile", pid_file, &own.display().to_string(), &mut changes);
    }
    if let Some(chroot) = process.chroot.as_ref().filter(|chroot| !Path::new(chroot).is_dir()) {
        let own = directory.join("empty");
        replace_line(&mut adapted, "chroot", chroot, &own.display().to_string(), &mut changes);
    }
    for (keyword, account, stand_in) in
        [("user", &process.user, "nobody"), ("group", &process.group, "nogroup")]
    {
        if let Some(account) = account.as_ref().filter(|account| account.id.is_none()) {
            replace_line(&mut adapted, keyword, &account.name, stand_in, &mut changes);
        }
    }
    (adapted, changes)
}

/// Nobody can make a page with a given MD5, so the lab's page brings its own.
fn replace_digests(text: &str, changes: &mut Vec<String>) -> String {
    let mut adapted = String::with_capacity(text.len());
    let mut rest = text;
    let mut count = 0;
    while let Some(at) = rest.find("digest") {
        let (before, keyword) = rest.split_at(at + "digest".len());
        adapted.push_str(before);
        rest = keyword;
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t', '"']).len();
        let value = &rest[blanks..];
        let length = value.bytes().take_while(u8::is_ascii_hexdigit).count();
        if blanks > 0 && length == 32 {
            adapted.push_str(&rest[..blanks]);
            adapted.push_str(CHECKED_DIGEST);
            rest = &value[length..];
            count += 1;
        }
    }
    adapted.push_str(rest);
    if count > 0 {
        let what = if count == 1 { "1 digest is" } else { "digests are" };
        changes.push(format!("{what} replaced by that of the lab's page, {CHECKED_DIGEST}"));
    }
    adapted
}

/// Replaces the value on the lines `KEYWORD VALUE`.
fn replace_line(
    text: &mut String,
    keyword: &str,
    value: &str,
    stand_in: &str,
    changes: &mut Vec<String>,
) {
    let mut replaced = false;
    let mut adapted = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut words = line.split_whitespace();
        if words.next() == Some(keyword) && words.next() == Some(value) && words.next().is_none() {
            let indent = &line[..line.len() - line.trim_start().len()];
            adapted.push_str(&format!("{indent}{keyword} {stand_in}\n"));
            replaced = true;
        } else {
            adapted.push_str(line);
        }
    }
    if replaced {
        *text = adapted;
        changes.push(format!("{keyword} {value} becomes {stand_in}"));
    }
}

#[cfg(test)]
mod tests {
    use model::proxy::Account;

    use super::*;

    const HEX: &str = "640205b7b0fc66c1ea91c463fac6334d";

    #[test]
    fn every_digest_becomes_that_of_the_labs_page_and_nothing_else_changes() {
        let text = format!("url {{ path /digest digest {HEX}\n digest  {HEX} }} # digest of it");
        let (adapted, changes) = adapt(&text, &Plan::default(), Path::new("/tmp"));
        assert_eq!(adapted, text.replace(HEX, CHECKED_DIGEST));
        assert_eq!(changes.len(), 1);
    }

    #[test]
    fn a_pid_file_of_the_machine_is_not_touched() {
        let mut plan = Plan::default();
        plan.proxy.process.pid_file = Some("/run/haproxy.pid".into());
        let text = "global\n  pidfile /run/haproxy.pid\n  maxconn 10\n";
        let (adapted, _) = adapt(text, &plan, Path::new("/tmp/lab"));
        assert_eq!(adapted, "global\n  pidfile /tmp/lab/haproxy.pid\n  maxconn 10\n");
    }

    #[test]
    fn only_unknown_accounts_are_replaced() {
        let mut plan = Plan::default();
        plan.proxy.process.user = Some(Account { name: "haproxy".into(), id: None });
        plan.proxy.process.group = Some(Account { name: "haproxy".into(), id: Some(7) });
        let (adapted, _) = adapt(" user haproxy\n group haproxy\n", &plan, Path::new("/tmp"));
        assert_eq!(adapted, " user nobody\n group haproxy\n");
    }
}
