//! Which language is this?

use crate::haproxy;
use crate::keepalived;
use crate::row::Language;

/// Lines looked at; every section of both languages shows itself well before.
const LINES_MAX: usize = 2_000;

/// Tells the languages apart by content: a line that begins a section of one of them decides.
/// `None` when no line does.
pub fn detect(text: &str) -> Option<Language> {
    let mut keepalived = 0u32;
    let mut haproxy = 0u32;
    for line in text.lines().take(LINES_MAX) {
        let mut words =
            line.split(|c: char| c.is_whitespace() || c == '{').filter(|w| !w.is_empty());
        let Some(first) = words.next() else { continue };
        if keepalived::is_top_level(first) {
            keepalived += 1;
        } else if haproxy::SECTIONS.contains(&first) {
            haproxy += 1;
        }
    }
    match keepalived.cmp(&haproxy) {
        core::cmp::Ordering::Greater => Some(Language::Keepalived),
        core::cmp::Ordering::Less => Some(Language::Haproxy),
        core::cmp::Ordering::Equal if keepalived > 0 => Some(Language::Keepalived),
        core::cmp::Ordering::Equal => guess(text),
    }
}

/// No section was recognised: braces are keepalived.conf's.
fn guess(text: &str) -> Option<Language> {
    let has_block = text.lines().take(LINES_MAX).any(|line| {
        let line = line.split(['#', '!']).next().unwrap_or("");
        line.trim_end().ends_with('{')
    });
    has_block.then_some(Language::Keepalived)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_tell_the_languages_apart() {
        let keepalived = "! c\nglobal_defs {\n}\nvrrp_instance A {\n}\n";
        assert_eq!(detect(keepalived), Some(Language::Keepalived));
        assert_eq!(detect("virtual_server 1.2.3.4 80{\n}\n"), Some(Language::Keepalived));
        let haproxy = "# c\nglobal\n    daemon\ndefaults\n    mode http\n";
        assert_eq!(detect(haproxy), Some(Language::Haproxy));
        assert_eq!(detect("virtua1_server 1.2.3.4 80 {\n"), Some(Language::Keepalived));
        assert_eq!(detect("  listen a\n    bind :80\n"), Some(Language::Haproxy));
        assert_eq!(detect("# nothing\n"), None);
        assert_eq!(detect(""), None);
    }
}
