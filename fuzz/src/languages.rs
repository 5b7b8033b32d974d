//! The configuration languages. A line `%%%%` begins another file, `other.conf`.

use conf::source::Table;
use conf::{Diagnostic, Language, Severity};

/// A keepalived.conf.
pub fn keepalived_conf(bytes: &[u8]) {
    load(bytes, Language::Keepalived);
}

/// A haproxy.cfg.
pub fn haproxy_conf(bytes: &[u8]) {
    load(bytes, Language::Haproxy);
}

/// Whatever the text: a plan or errors, and every finding points into a text.
fn load(bytes: &[u8], language: Language) {
    let text = String::from_utf8_lossy(bytes);
    let (main, other) = text.split_once("\n%%%%\n").unwrap_or((&text, ""));
    let machine = Table::default()
        .file("main.conf", main)
        .file("other.conf", other)
        .variable("HOME", "/root")
        .named("lb1");
    let loaded = conf::load(&machine, &[("main.conf".to_owned(), Some(language))]);
    let is_error = |d: &Diagnostic| d.severity == Severity::Error;
    assert_eq!(loaded.plan.is_none(), loaded.diagnostics.iter().any(is_error));
    for diagnostic in &loaded.diagnostics {
        assert!(!diagnostic.message.is_empty());
    }
    // Drawing all of them would take most of the time.
    let few = &loaded.diagnostics[..loaded.diagnostics.len().min(5)];
    assert_eq!(conf::render::text(&loaded.files, few, false).is_empty(), few.is_empty());
}
