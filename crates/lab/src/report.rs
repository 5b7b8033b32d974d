//! What a rehearsal found, as data and as text.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use crate::picture;
use crate::topology::Topology;

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The files rehearsed.
    pub files: Vec<String>,
    /// What was built.
    pub topology: Topology,
    /// What differs from the files.
    pub adaptations: Vec<String>,
    /// The drills, in the order they were held.
    pub drills: Vec<Drill>,
    /// Every expectation was met.
    pub passed: bool,
    /// How long it took.
    pub seconds: f64,
}

/// One drill.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Drill {
    /// Its name: `spread`, `server death`...
    pub name: String,
    /// What happened, one line each.
    pub lines: Vec<String>,
    /// What had to hold.
    pub expectations: Vec<Expectation>,
    /// The figures, by name; times in seconds.
    pub figures: BTreeMap<String, f64>,
    /// Why it was not held.
    pub skipped: Option<String>,
}

/// Something that has to hold.
#[derive(Clone, Debug, Serialize)]
pub struct Expectation {
    /// In words.
    pub text: String,
    /// It did.
    pub met: bool,
}

impl Drill {
    pub(crate) fn new(name: &str) -> Drill {
        Drill { name: name.into(), ..Drill::default() }
    }

    pub(crate) fn skipped(name: &str, reason: impl Into<String>) -> Drill {
        Drill { skipped: Some(reason.into()), ..Drill::new(name) }
    }

    pub(crate) fn say(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    pub(crate) fn expect(&mut self, met: bool, text: impl Into<String>) {
        self.expectations.push(Expectation { text: text.into(), met });
    }

    pub(crate) fn figure(&mut self, name: &str, value: f64) {
        self.figures.insert(name.into(), value);
    }

    /// Every expectation was met.
    pub fn passed(&self) -> bool {
        self.expectations.iter().all(|expectation| expectation.met)
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\n{}", heading(&self.name))?;
        if let Some(reason) = &self.skipped {
            return writeln!(out, "  not held: {reason}");
        }
        for line in &self.lines {
            writeln!(out, "  {line}")?;
        }
        for expectation in &self.expectations {
            writeln!(
                out,
                "  [{}] {}",
                if expectation.met { "ok" } else { "FAILED" },
                expectation.text
            )?;
        }
        Ok(())
    }
}

/// Width of the closing table's columns, without the first.
const COLUMNS: [(&str, usize); 7] = [
    ("spread", 7),
    ("server out", 10),
    ("failed after", 12),
    ("failover", 9),
    ("failed in it", 12),
    ("failed after", 12),
    ("result", 7),
];
/// Width of the first.
const FIRST_COLUMN: usize = 26;

impl Report {
    /// Prints it for people.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\n{}", heading(&format!("lab of {}", self.files.join(", "))))?;
        picture::draw(&self.topology, out)?;
        for service in &self.topology.services {
            writeln!(out, "  {}", service.describe(&self.topology.servers))?;
        }
        for note in self.topology.notes.iter().chain(&self.adaptations) {
            writeln!(out, "  note: {note}")?;
        }
        for drill in &self.drills {
            drill.print(out)?;
        }
        let verdict = if self.passed { "passed" } else { "FAILED" };
        writeln!(out, "\n{verdict} in {:.0} s; everything was removed", self.seconds)
    }

    /// Heading of the table that [`summary_line`](Self::summary_line) gives a line of.
    pub fn summary_heading() -> String {
        let columns = COLUMNS.map(|(name, width)| format!("{name:>width$}"));
        format!("{:<FIRST_COLUMN$}{}", "scenario", columns.join(" "))
    }

    /// One line of the closing table of several rehearsals.
    pub fn summary_line(&self, name: &str) -> String {
        let figure = |drill: &str, figure: &str, unit: &str| {
            let drill = self.drills.iter().find(|known| known.name == drill);
            match drill.and_then(|drill| drill.figures.get(figure)) {
                Some(value) if unit.is_empty() => format!("{value:.0}"),
                Some(value) => format!("{value:.1} {unit}"),
                None => "-".into(),
            }
        };
        let held = |name: &str| self.drills.iter().find(|drill| drill.name == name);
        let spread = match held("spread") {
            Some(drill) if drill.passed() => "ok",
            Some(_) => "FAILED",
            None => "-",
        };
        let after = |drill| figure(drill, "failed_after", "");
        let cells = [
            spread.to_owned(),
            figure("server death", "removal_seconds", "s"),
            after("server death"),
            figure("failover", "gap_seconds", "s"),
            figure("failover", "failed_during", ""),
            after("failover"),
            if self.passed { "passed" } else { "FAILED" }.to_owned(),
        ];
        let cells: Vec<String> =
            cells.iter().zip(COLUMNS).map(|(cell, (_, width))| format!("{cell:>width$}")).collect();
        format!("{name:<FIRST_COLUMN$}{}", cells.join(" "))
    }
}

fn heading(text: &str) -> String {
    let rest = 78usize.saturating_sub(text.chars().count() + 4);
    format!("── {text} {}", "─".repeat(rest))
}

/// `3.21 s` or `87 ms`.
pub(crate) fn time(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{:.2} s", duration.as_secs_f64())
    }
}
