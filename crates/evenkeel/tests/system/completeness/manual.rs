//! Names of keywords: the committed lists, and the installed manual page.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// keepalived.conf(5) as Debian installs it; some images leave manual pages out.
const MANUAL: &str = "/usr/share/man/man5/keepalived.conf.5.gz";
/// The beginning of the manual page of 2.2.7.
const TITLE: &str = ".TH keepalived.conf 5 2022-01-15";

/// Names by block.
pub(crate) type Names = BTreeMap<String, Vec<String>>;

/// The names of 2.2.7, and those of them that its manual page has.
pub(crate) struct Listed {
    pub(crate) all: Names,
    pub(crate) in_manual: Names,
}

/// The committed list: `block: name name ...`, goes on where a line is indented.
pub(crate) fn listed() -> Listed {
    let text = include_str!("keepalived-2.2.7.txt");
    let (manual, program) = text.split_once("\n# In the program only:").expect("two parts");
    let in_manual = names(manual);
    let mut all = in_manual.clone();
    let program = program.split_once('\n').expect("lines").1;
    for (block, words) in names(program) {
        all.entry(block).or_default().extend(words);
    }
    Listed { all, in_manual }
}

fn names(text: &str) -> Names {
    let mut names = Names::new();
    let mut block = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words = match line.split_once(':') {
            Some((name, words)) => {
                block = name.to_owned();
                words
            }
            None => line,
        };
        let words = words.split_whitespace().map(str::to_owned);
        if !line.trim().is_empty() {
            names.entry(block.clone()).or_default().extend(words);
        }
    }
    names
}

/// A name that came after 2.2.7.
pub(crate) struct Newer {
    pub(crate) version: &'static str,
    pub(crate) block: &'static str,
    pub(crate) name: &'static str,
}

/// The committed list of these: `version block name ...`.
pub(crate) fn newer() -> Vec<Newer> {
    let lines = include_str!("keepalived-newer.txt").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| {
            let mut words = line.split_whitespace();
            let (version, block) =
                (words.next().expect("a version"), words.next().expect("a block"));
            words.map(move |name| Newer { version, block, name })
        })
        .collect()
}

/// The installed manual page, or why there is none.
pub(crate) fn installed() -> Result<String, String> {
    if !Path::new(MANUAL).exists() {
        return Err(format!("there is no {MANUAL}"));
    }
    let output = Command::new("gzip")
        .args(["-dc", MANUAL])
        .output()
        .map_err(|error| format!("cannot run gzip: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !text.starts_with(TITLE) {
        return Err(format!("{MANUAL} is not that of 2.2.7"));
    }
    Ok(text)
}

/// The names in a manual page: bold at the beginning of a line of an unfilled passage, within the
/// braces that are open there.
pub(crate) fn of_manual(text: &str) -> Names {
    let configuration = text.split("\n.SH ADVANCED").next().unwrap_or_default();
    let mut names = Names::new();
    let mut open: Vec<String> = Vec::new();
    let mut unfilled = false;
    for line in configuration.lines() {
        match line.get(..3) {
            Some(".SH") => open.clear(),
            Some(".nf") => unfilled = true,
            Some(".fi") => unfilled = false,
            _ => {}
        }
        if !unfilled || line.starts_with('.') || line.trim_start().starts_with('#') {
            continue;
        }
        let plain = plain(line);
        let word = plain.split([' ', '\t', '{']).next().unwrap_or_default().to_owned();
        // Headings between the passages are bold too.
        let heading =
            open.is_empty() && word.starts_with(|c: char| c.is_uppercase()) && word != "SSL";
        if line.trim_start().starts_with("\\fB") && !heading {
            let block = open.last().cloned().unwrap_or_else(|| "top level".to_owned());
            add(&mut names, &block, &word);
        }
        let braces = |brace| plain.matches(brace).count();
        match (braces('{'), braces('}')) {
            (opened, closed) if opened > closed => open.push(word),
            (opened, closed) => open.truncate(open.len().saturating_sub(closed - opened)),
        }
    }
    names
}

/// The line without fonts and comment.
fn plain(line: &str) -> String {
    let mut plain = line.trim().replace("\\-", "-").replace("\\&", "");
    for font in ["\\fB", "\\fR", "\\fI", "\\fP"] {
        plain = plain.replace(font, "");
    }
    let comment = [" #", "\t#"].iter().filter_map(|sign| plain.find(sign)).min();
    plain.truncate(comment.unwrap_or(plain.len()));
    plain.trim().to_owned()
}

/// `A|B` are two names in a block, and two blocks.
fn add(names: &mut Names, block: &str, word: &str) {
    let block = match block {
        "CHECKER_TYPE" => "TCP_CHECK",
        "HTTP_GET|SSL_GET" => "HTTP_GET",
        block => block,
    };
    let known = names.entry(block.to_owned()).or_default();
    for name in word.split('|') {
        if !known.iter().any(|known| known == name) {
            known.push(name.to_owned());
        }
    }
}
