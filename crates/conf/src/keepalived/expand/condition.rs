//! `@id` and `@^id`: lines for one machine, or for all others. `@evenkeel` is this program on every
//! machine: Keepalived, whose id is another one, leaves such lines out.

use super::line::Line;
use super::scan::is_blank;

/// An id that we have beside the machine's.
const OURS: &str = "evenkeel";

/// What follows a condition that holds; `None` if it does not hold or nothing follows it.
pub(super) fn apply(line: &mut Line, config_id: &str) -> Option<Line> {
    let text = line.text();
    let (is_negated, start) = if text.starts_with("@^") { (true, 2) } else { (false, 1) };
    let end = start + text[start..].find(is_blank)?;
    let id = &text[start..end];
    if (id == config_id || id == OURS) == is_negated {
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
        assert_eq!(rest("@evenkeel sloppy_tcp").as_deref(), Some("sloppy_tcp"));
        assert_eq!(rest("@^evenkeel lb_algo wlc"), None);
        assert_eq!(rest("@ a"), None);
    }
}
