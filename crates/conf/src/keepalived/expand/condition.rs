//! `@id` and `@^id`: lines for one machine, or for all others.

use super::line::Line;
use super::scan::is_blank;

/// What follows a condition that holds; `None` if it does not hold or nothing follows it.
pub(super) fn apply(line: &mut Line, config_id: &str) -> Option<Line> {
    let text = line.text();
    let (is_negated, start) = if text.starts_with("@^") { (true, 2) } else { (false, 1) };
    let end = start + text[start..].find(is_blank)?;
    if (&text[start..end] == config_id) == is_negated {
        return None;
    }
    Some(line.split_off(end).trimmed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::FileId;

    #[test]
    fn a_condition_compares_the_whole_id() {
        let rest = |text: &str| {
            let rest = apply(&mut Line::verbatim(FileId(0), 0, text), "main");
            rest.map(|line| line.text().to_owned())
        };
        assert_eq!(rest("@main priority 1").as_deref(), Some("priority 1"));
        assert_eq!(rest("@main2 priority 1"), None);
        assert_eq!(rest("@^main priority 1"), None);
        assert_eq!(rest("@^backup\tpriority 1").as_deref(), Some("priority 1"));
        assert_eq!(rest("@main"), None);
        assert_eq!(rest("@ a"), None);
    }
}
