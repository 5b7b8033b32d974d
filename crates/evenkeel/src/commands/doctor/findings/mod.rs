//! What does not fit: pure functions from a Plan and the facts to findings.

mod attach;
mod firewall;
mod ipv6;
mod kernel;
mod links;
mod mtu;
mod offloads;
mod programs;
mod servers;
mod sysctls;

use model::Plan;
use serde::Serialize;

use super::facts::Facts;
use super::parts::Parts;
use super::remedy::Remedy;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Something of the configuration cannot work.
    Error,
    /// It works, but badly, or only as long as nothing else happens.
    Warning,
    /// Worth knowing.
    Note,
}

/// One thing that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// How bad it is.
    pub(super) severity: Severity,
    /// Its kind, stable over versions: `rp-filter`.
    pub(super) code: &'static str,
    /// Where: an interface, a kernel parameter, `kernel`.
    pub(super) place: String,
    /// What was found.
    pub(super) what: String,
    /// Who needs it otherwise; empty when all do.
    pub(super) needed_by: String,
    /// What happens if it stays.
    pub(super) otherwise: String,
    /// Commands that mend it, in order; advice where there is no command.
    pub(super) mend: Vec<String>,
    /// What `--fix` does.
    pub(super) remedies: Vec<Remedy>,
}

impl Finding {
    fn new(
        severity: Severity,
        code: &'static str,
        place: &str,
        what: impl Into<String>,
    ) -> Finding {
        Finding {
            severity,
            code,
            place: place.to_owned(),
            what: what.into(),
            needed_by: String::new(),
            otherwise: String::new(),
            mend: Vec::new(),
            remedies: Vec::new(),
        }
    }

    fn error(code: &'static str, place: &str, what: impl Into<String>) -> Finding {
        Finding::new(Severity::Error, code, place, what)
    }

    fn warning(code: &'static str, place: &str, what: impl Into<String>) -> Finding {
        Finding::new(Severity::Warning, code, place, what)
    }

    fn note(code: &'static str, place: &str, what: impl Into<String>) -> Finding {
        Finding::new(Severity::Note, code, place, what)
    }

    fn needed_by(mut self, whom: impl Into<String>) -> Finding {
        self.needed_by = whom.into();
        self
    }

    fn otherwise(mut self, what: impl Into<String>) -> Finding {
        self.otherwise = what.into();
        self
    }

    /// Mended by hand only.
    fn by_hand(mut self, command: impl Into<String>) -> Finding {
        self.mend.push(command.into());
        self
    }

    /// Mended by `--fix`, or by the command that says the same.
    fn remedy(mut self, remedy: Remedy) -> Finding {
        self.mend.push(remedy.command());
        self.remedies.push(remedy);
        self
    }
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// What does not fit, the worst first.
    pub(super) findings: Vec<Finding>,
    /// What was looked at and is fine.
    pub(super) fine: Vec<String>,
}

impl Report {
    /// Whether anything is an error.
    pub(super) fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    fn find(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn fine(&mut self, what: impl Into<String>) {
        self.fine.push(what.into());
    }
}

/// A Plan, the machine it is to run on, and which interfaces take part.
#[derive(Clone, Copy)]
struct Case<'a> {
    plan: &'a Plan,
    facts: &'a Facts,
    parts: &'a Parts,
}

/// Judges the machine.
pub(super) fn examine(plan: &Plan, facts: &Facts) -> Report {
    let parts = Parts::of(plan, facts);
    let case = Case { plan, facts, parts: &parts };
    let mut report = Report::default();
    links::examine(case, &mut report);
    attach::examine(case, &mut report);
    offloads::examine(case, &mut report);
    mtu::examine(case, &mut report);
    sysctls::examine(case, &mut report);
    ipv6::examine(case, &mut report);
    servers::examine(case, &mut report);
    firewall::examine(case, &mut report);
    programs::examine(case, &mut report);
    kernel::examine(case, &mut report);
    report.findings.sort_by_key(|finding| finding.severity);
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::bed::{codes, direct_plan, machine, nat_plan};

    #[test]
    fn a_good_machine_has_neither_errors_nor_warnings() {
        for plan in [nat_plan(), direct_plan()] {
            let report = examine(&plan, &machine());
            assert_eq!(codes(&report), [""; 0]);
            assert!(!report.fine.is_empty());
        }
    }

    #[test]
    fn every_finding_says_what_happens_and_what_to_do() {
        let report = examine(&nat_plan(), &Facts::default());
        assert!(report.has_errors());
        for finding in &report.findings {
            assert!(!finding.otherwise.is_empty() && !finding.mend.is_empty(), "{finding:?}");
            assert!(!finding.what.ends_with('.') && !finding.otherwise.ends_with('.'));
        }
    }

    #[test]
    fn errors_come_first() {
        let mut facts = machine();
        facts.kernel.clock = "acpi_pm".into();
        facts.sysctls.insert("net/ipv4/ip_forward".into(), "0".into());
        let found = codes(&examine(&nat_plan(), &facts));
        assert_eq!(found[..2], ["ip-forward", "clock"]);
    }
}
