//! A machine made of a table, and diagnostics as short lines.

use std::collections::BTreeMap;
use std::net::IpAddr;

use conf::{Diagnostic, Language, Loaded, Source};

/// Files by path; nothing else exists.
#[derive(Default)]
pub(crate) struct Table(BTreeMap<String, String>);

impl Table {
    /// One more file.
    pub(crate) fn with(mut self, path: &str, text: &str) -> Table {
        self.0.insert(path.into(), text.into());
        self
    }

    /// Loads the files, languages told apart by content.
    pub(crate) fn load(&self) -> Loaded {
        let files: Vec<(String, Option<Language>)> =
            self.0.keys().map(|path| (path.clone(), None)).collect();
        conf::load(self, &files)
    }
}

impl Source for Table {
    fn read(&self, path: &str) -> Result<String, String> {
        self.0.get(path).cloned().ok_or_else(|| format!("cannot read {path}: no such file"))
    }

    fn glob(&self, pattern: &str) -> Result<Vec<String>, String> {
        Ok(self.0.keys().filter(|path| path.as_str() == pattern).cloned().collect())
    }

    fn environment(&self, _: &str) -> Option<String> {
        None
    }

    fn host_name(&self) -> String {
        "director".into()
    }

    fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        host.parse().map(|address| vec![address]).map_err(|_| format!("unknown host {host}"))
    }

    fn user_id(&self, name: &str) -> Option<u32> {
        ["root", "keepalived", "nobody"].iter().position(|known| *known == name).map(|n| n as u32)
    }

    fn primary_group(&self, user: &str) -> Option<u32> {
        self.user_id(user).map(|number| number + 100)
    }

    fn group_id(&self, name: &str) -> Option<u32> {
        ["root", "wheel"].iter().position(|known| *known == name).map(|n| n as u32 + 200)
    }
}

/// Loads one keepalived.conf.
pub(crate) fn keepalived(text: &str) -> Loaded {
    let table = Table::default().with("k.conf", text);
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
