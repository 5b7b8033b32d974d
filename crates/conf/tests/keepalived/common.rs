//! A machine made of a table, and diagnostics as short lines.

use conf::{Diagnostic, Language, Loaded};

/// Files by path; nothing else exists.
#[derive(Default)]
pub(crate) struct Table(conf::source::Table);

impl Table {
    /// One more file.
    pub(crate) fn with(self, path: &str, text: &str) -> Table {
        Table(self.0.file(path, text))
    }

    /// Loads one of the files; the others are there to be read.
    pub(crate) fn only(&self, path: &str) -> Loaded {
        conf::load(&self.0, &[(path.to_owned(), Some(Language::Keepalived))])
    }

    /// Loads the files, languages told apart by content.
    pub(crate) fn load(&self) -> Loaded {
        let files: Vec<(String, Option<Language>)> =
            self.0.paths().map(|path| (path.to_owned(), None)).collect();
        conf::load(&self.0, &files)
    }
}

/// Loads one keepalived.conf.
pub(crate) fn keepalived(text: &str) -> Loaded {
    let table = conf::source::Table::default().file("k.conf", text);
    conf::load(&table, &[("k.conf".into(), Some(Language::Keepalived))])
}

/// `line:column severity: message; help`
pub(crate) fn lines(loaded: &Loaded) -> Vec<String> {
    let line = |diagnostic: &Diagnostic| {
        let place = loaded.files.position(diagnostic.span.file, diagnostic.span.start);
        let help = diagnostic.help.as_ref().map_or(String::new(), |help| format!("; {help}"));
        format!(
            "{}:{} {}: {}{help}",
            place.line,
            place.column,
            diagnostic.severity.name(),
            diagnostic.message
        )
    };
    loaded.diagnostics.iter().map(line).collect()
}

/// The same without what is good to know only: that a check is slower than its interval.
pub(crate) fn faults(loaded: &Loaded) -> Vec<String> {
    lines(loaded).into_iter().filter(|line| !line.contains("longer than delay_loop")).collect()
}
