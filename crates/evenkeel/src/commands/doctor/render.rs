//! The report, for people and for programs.

use serde_json::json;

use super::findings::{Finding, Report, Severity};
use super::remedy::{Remedy, permanent};

/// What `--fix` did.
#[derive(Clone, Debug, Default)]
pub(super) struct Fixed {
    /// What was done.
    pub(super) done: Vec<Remedy>,
    /// What could not be done, and why.
    pub(super) failed: Vec<(Remedy, String)>,
}

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const CYAN: &str = "\x1b[1;36m";
const PLAIN: &str = "\x1b[0m";

/// One paragraph for each finding, then what was mended, then what is fine.
pub(super) fn text(report: &Report, fixed: &Fixed, colours: bool) -> String {
    let mut out = String::new();
    for finding in &report.findings {
        out.push_str(&paragraph(finding, colours));
        out.push('\n');
    }
    out.push_str(&mended(fixed));
    if !report.fine.is_empty() {
        out.push_str("fine:\n");
        for line in &report.fine {
            out.push_str(&format!("  {line}\n"));
        }
        out.push('\n');
    }
    out.push_str(&summary(report));
    out
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn paragraph(finding: &Finding, colours: bool) -> String {
    let word = word(finding.severity);
    let colour = match finding.severity {
        Severity::Error => RED,
        Severity::Warning => YELLOW,
        Severity::Note => CYAN,
    };
    let word = if colours { format!("{colour}{word}{PLAIN}") } else { word.to_owned() };
    let mut text = format!("{word}: {} [{}]\n", finding.what, finding.code);
    for (title, what) in [("needed by", &finding.needed_by), ("otherwise", &finding.otherwise)] {
        if !what.is_empty() {
            text.push_str(&format!("  {title}: {what}\n"));
        }
    }
    for (number, command) in finding.mend.iter().enumerate() {
        let title = if number == 0 { "mend:     " } else { "          " };
        text.push_str(&format!("  {title} {command}\n"));
    }
    text
}

fn mended(fixed: &Fixed) -> String {
    let mut text = String::new();
    for remedy in &fixed.done {
        text.push_str(&format!("done: {}\n", remedy.command()));
    }
    for (remedy, error) in &fixed.failed {
        text.push_str(&format!("could not: {}: {error}\n", remedy.command()));
    }
    let files = permanent(&fixed.done);
    if !files.is_empty() {
        text.push_str("lost at the next start, unless you write:\n");
    }
    for (path, content) in files {
        text.push_str(&format!("  {path}\n"));
        for line in content.lines() {
            text.push_str(&format!("    {line}\n"));
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn summary(report: &Report) -> String {
    let count = |severity| report.findings.iter().filter(|one| one.severity == severity).count();
    let parts = [Severity::Error, Severity::Warning, Severity::Note].map(|severity| {
        let count = count(severity);
        format!("{count} {}{}", word(severity), if count == 1 { "" } else { "s" })
    });
    let fixable = report.findings.iter().filter(|one| !one.remedies.is_empty()).count();
    let hint = match fixable {
        0 => String::new(),
        _ => format!("; --fix mends {fixable} of them until the next start"),
    };
    format!("{}{hint}\n", parts.join(", "))
}

/// One JSON document: `findings`, `fine`, `done`, `failed`, `permanent`.
pub(super) fn json(report: &Report, fixed: &Fixed) -> String {
    let failed = fixed.failed.iter();
    let failed = failed.map(|(one, error)| json!({ "command": one.command(), "error": error }));
    let files = permanent(&fixed.done).into_iter();
    let files = files.map(|(path, content)| json!({ "path": path, "content": content }));
    let fixable = |finding: &Finding| !finding.remedies.is_empty();
    let findings = report.findings.iter().map(|finding| {
        json!({
            "severity": finding.severity, "code": finding.code, "place": finding.place,
            "what": finding.what, "needed_by": finding.needed_by,
            "otherwise": finding.otherwise, "mend": finding.mend, "fixable": fixable(finding),
        })
    });
    json!({
        "findings": findings.collect::<Vec<_>>(),
        "fine": report.fine,
        "done": fixed.done.iter().map(Remedy::command).collect::<Vec<_>>(),
        "failed": failed.collect::<Vec<_>>(),
        "permanent": files.collect::<Vec<_>>(),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::bed::{Bed, nat_plan};
    use crate::commands::doctor::facts::Facts;

    fn closed() -> Report {
        let close = |facts: &mut Facts| {
            facts.sysctls.insert("net/ipv4/ip_forward".into(), "0".into());
        };
        Bed::broken(nat_plan(), &close).report
    }

    #[test]
    fn a_finding_is_a_paragraph_with_its_command() {
        let text = text(&closed(), &Fixed::default(), false);
        let expected = "error: net.ipv4.ip_forward is 0 [ip-forward]\n  \
                        needed by: TCP 192.0.2.10:80 (NAT)\n  \
                        otherwise: answers of real servers are dropped: every connection times out\n  \
                        mend:      sysctl -w net.ipv4.ip_forward=1\n";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains("\nfine:\n  eth0: there, up, connected; MTU 1500\n"), "{text}");
        let end = "1 error, 0 warnings, 1 note; --fix mends 1 of them until the next start\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn what_was_mended_is_told_with_the_way_to_keep_it() {
        let done = closed().findings[0].remedies.clone();
        let fixed = Fixed { done, failed: Vec::new() };
        let text = text(&Report::default(), &fixed, false);
        assert!(text.starts_with("done: sysctl -w net.ipv4.ip_forward=1\n"), "{text}");
        assert!(text.contains("/etc/sysctl.d/60-evenkeel.conf\n    net.ipv4.ip_forward = 1\n"));
    }

    #[test]
    fn programs_get_the_same() {
        let json: serde_json::Value =
            serde_json::from_str(&json(&closed(), &Fixed::default())).unwrap();
        let first = &json["findings"][0];
        assert_eq!((&first["severity"], &first["code"]), (&json!("error"), &json!("ip-forward")));
        assert_eq!(first["mend"], json!(["sysctl -w net.ipv4.ip_forward=1"]));
        assert_eq!(first["fixable"], json!(true));
    }
}
