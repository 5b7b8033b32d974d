//! The pattern that a page has to match, or must not (`regex`).

use alloc::format;
use alloc::string::String;

use fancy_regex::{Error, Expr, RegexBuilder, RuntimeError};
use model::check::Pattern;

use super::words::Text;

/// Most of a body that is kept for a pattern, in bytes. What lies beyond is not searched, and the
/// result says so.
pub(super) const SEARCHED_MAX: usize = 1 << 20;

/// Most that is searched when an expression needs backtracking (look-around, back-references,
/// atomic groups) and the whole page would take too long, in bytes from where matches may begin.
const BACKTRACKED_MAX: usize = 8 << 10;

/// Most bytes that one search may look at while it backtracks: a step back may read all of what
/// the expression can reach once more. Some tenths of a second; Keepalived's PCRE2 has bounds of
/// the same kind.
const WORK_MAX: usize = 1 << 27;

/// What a step back costs besides the bytes that it reads.
const STEP: usize = 48;

/// How a search ended.
enum Search {
    Found,
    Absent,
    /// Absent from the first so many bytes; more were not searched.
    AbsentFrom(usize),
    /// It was given up.
    TooLong,
}

/// Whether the body is as the pattern wants it. `cut`: it went on beyond what is given.
///
/// It is read as UTF-8, every byte that is none as U+FFFD. Offsets are those of Keepalived: bytes
/// of the body; a match begins at `min_offset` or after it and before `max_offset`. The expression
/// is compiled anew for each page: forty thousand compiled ones would take gigabytes.
///
/// An expression without look-around and its like takes time linear in the page, whatever the
/// page. Others have a budget; with it spent, only the page's beginning is searched, and when that
/// does not tell, the check fails, negated or not.
pub(super) fn judge(pattern: &Pattern, body: &[u8], cut: bool) -> Result<Text, Text> {
    let text = String::from_utf8_lossy(body);
    let from = place(body, &text, pattern.min_offset);
    let until = pattern.max_offset.map_or(usize::MAX, |offset| place(body, &text, offset));
    match (search(&pattern.expression, &text, from, until)?, pattern.negated) {
        (Search::Found, false) => Ok("pattern matches".into()),
        (Search::Found, true) => Err("pattern matches".into()),
        (Search::Absent, true) => Ok(absent(cut)),
        (Search::Absent, false) => Err(absent(cut)),
        (Search::AbsentFrom(bytes), true | false) => Err(format!(
            "pattern does not match within the first {bytes} bytes, and takes too long for more"
        )
        .into()),
        (Search::TooLong, true | false) => Err("pattern takes too long to search for".into()),
    }
}

fn search(expression: &str, text: &str, from: usize, until: usize) -> Result<Search, Text> {
    if let Some(found) = search_all(expression, text, from, until)? {
        return Ok(if found { Search::Found } else { Search::Absent });
    }
    let mut end = from.saturating_add(BACKTRACKED_MAX).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if end == text.len() {
        return Ok(Search::TooLong);
    }
    Ok(match search_all(expression, &text[..end], from, until)? {
        Some(true) => Search::Found,
        Some(false) => Search::AbsentFrom(end),
        None => Search::TooLong,
    })
}

/// Whether a match begins between the two places; `None` when the budget does not suffice.
fn search_all(
    expression: &str,
    text: &str,
    from: usize,
    until: usize,
) -> Result<Option<bool>, Text> {
    let reach = Expr::parse_tree(expression).map_or(usize::MAX, |tree| reach(&tree.expr));
    let steps = WORK_MAX / (text.len() - from).min(reach).saturating_add(STEP);
    let regex = RegexBuilder::new(expression)
        .backtrack_limit(steps)
        .build()
        .map_err(|error| Text::from(format!("pattern is not understood: {error}")))?;
    match regex.find_from_pos(text, from) {
        Ok(found) => Ok(Some(found.is_some_and(|found| found.start() < until))),
        Err(Error::RuntimeError(RuntimeError::BacktrackLimitExceeded)) => Ok(None),
        Err(error) => Err(format!("pattern cannot be searched for: {error}").into()),
    }
}

/// Most bytes that an expression can look at from one place.
fn reach(expression: &Expr) -> usize {
    let sum = |parts: &[Expr]| parts.iter().map(reach).fold(0, usize::saturating_add);
    match expression {
        Expr::Empty | Expr::Assertion(_) | Expr::KeepOut => 0,
        Expr::ContinueFromPreviousMatchEnd | Expr::BackrefExistsCondition(_) => 0,
        Expr::Any { .. } => 4,
        // Another case of a letter may be longer.
        Expr::Literal { val, .. } => val.len().saturating_mul(2),
        Expr::Delegate { size, .. } => size.saturating_mul(4),
        Expr::Concat(parts) | Expr::Alt(parts) => sum(parts),
        Expr::Group(inner) | Expr::LookAround(inner, _) | Expr::AtomicGroup(inner) => reach(inner),
        Expr::Repeat { child, hi, .. } => reach(child).max(1).saturating_mul(*hi),
        Expr::Conditional { condition, true_branch, false_branch } => {
            [reach(condition), reach(true_branch), reach(false_branch)]
                .into_iter()
                .fold(0, usize::saturating_add)
        }
        Expr::Backref { .. }
        | Expr::BackrefWithRelativeRecursionLevel { .. }
        | Expr::SubroutineCall(_)
        | Expr::UnresolvedNamedSubroutineCall { .. } => usize::MAX,
    }
}

fn absent(cut: bool) -> Text {
    if cut {
        format!("pattern does not match within the first {SEARCHED_MAX} bytes").into()
    } else {
        "pattern does not match".into()
    }
}

/// Where a byte of the body is in its text: at a character's beginning, and at most at the end.
fn place(body: &[u8], text: &str, offset: u32) -> usize {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(body.len());
    let mut place = String::from_utf8_lossy(&body[..offset]).len().min(text.len());
    while !text.is_char_boundary(place) {
        place += 1;
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(expression: &str) -> Pattern {
        Pattern { expression: expression.into(), negated: false, min_offset: 0, max_offset: None }
    }

    #[test]
    fn a_page_matches_or_must_not() {
        let cases = [("wel+come", "hi, welcome", true), ("(?i)WELCOME", "welcome", true)];
        for (expression, body, found) in cases {
            let wanted = pattern(expression);
            assert_eq!(judge(&wanted, body.as_bytes(), false).is_ok(), found, "{expression}");
            let unwanted = Pattern { negated: true, ..wanted };
            assert_eq!(judge(&unwanted, body.as_bytes(), false).is_ok(), !found, "{expression}");
        }
        assert_eq!(judge(&pattern("x"), b"abc", true).unwrap_err(), absent(true));
    }

    #[test]
    fn a_match_begins_between_the_offsets() {
        let of = |min_offset, max_offset| {
            let bounded = Pattern { min_offset, max_offset, ..pattern("(?<=a)b+") };
            judge(&bounded, b"0ab3abb7", false).is_ok()
        };
        assert!(of(0, None) && of(2, Some(3)) && of(3, None) && of(5, Some(6)));
        assert!(!of(6, None), "no match begins there: the b behind the a was at 5");
        assert!(!of(3, Some(5)) && !of(0, Some(2)) && !of(100, None) && !of(0, Some(0)));
    }

    #[test]
    fn bytes_that_are_no_text_are_searched_all_the_same() {
        let body = b"\xff\xfe\xc3\xa4\xe2ok\x00\xf0\x9f";
        for offset in 0..=12 {
            let bounded = Pattern { min_offset: offset, ..pattern("ok") };
            assert_eq!(judge(&bounded, body, false).is_ok(), offset <= 5, "{offset}");
        }
    }

    #[test]
    fn an_expression_that_explodes_fails_instead_of_running_on() {
        let explosive = pattern(r"(a|a|ab)*(?>c)\1d");
        let result = judge(&explosive, &[b'a'; 4000], false);
        assert!(result.is_err());
    }

    #[test]
    fn looking_around_on_a_page_of_a_mebibyte_is_bounded_in_time() {
        let page = alloc::vec![b'a'; SEARCHED_MAX];
        let expressions = [
            "(?=a*b)c",
            "(?!a*b)c",
            "(?=(a+)+b)c",
            "(a*)*b\\1",
            "(?=[a-y]*b|a*c|.*d)c",
            "(?<=a)a*b",
        ];
        for expression in expressions {
            let began = std::time::Instant::now();
            judge(&pattern(expression), &page, false).unwrap_err();
            assert!(began.elapsed().as_secs() < 20, "{expression}: {:?}", began.elapsed());
            let negated = Pattern { negated: true, ..pattern(expression) };
            assert!(judge(&negated, &page, false).is_err(), "{expression}: nobody knows");
        }
    }

    #[test]
    fn reasonable_pages_are_searched_whole_for_what_looks_around() {
        let line = "<p>all is not well, all is not fine, 0 errors of 17 requests</p>\n";
        let page = [&line.repeat(125)[..], "status: ok, 17 17\n"].concat();
        assert!(page.len() > BACKTRACKED_MAX - 100);
        for expression in ["(?<!not )ok", r"(?m)^(?!.*error).*\bok\b", r"(\d+) \1", "o(?=k,)k"] {
            let result = judge(&pattern(expression), page.as_bytes(), false);
            assert!(result.is_ok(), "{expression}: {result:?}");
        }
        // However long it is where what is looked at is not.
        let long = [&line.repeat(SEARCHED_MAX / line.len() - 1)[..], "status: ok\n"].concat();
        for (expression, found) in
            [("(?<!not )ok", true), ("(?<!not )okk", false), ("st(?=a)", true)]
        {
            let result = judge(&pattern(expression), long.as_bytes(), false);
            assert_eq!(result.is_ok(), found, "{expression}: {result:?}");
            let negated = Pattern { negated: true, ..pattern(expression) };
            assert_eq!(judge(&negated, long.as_bytes(), false).is_ok(), !found, "{expression}");
        }
    }

    #[test]
    fn of_a_page_that_takes_too_long_the_beginning_is_searched() {
        let page = ["status: ok\n", &"a".repeat(SEARCHED_MAX)].concat();
        assert!(judge(&pattern("(?=.*ok)s.*ok"), page.as_bytes(), false).is_ok());
        for negated in [false, true] {
            let pattern = Pattern { negated, ..pattern("(?=a*b)c") };
            let reason = judge(&pattern, page.as_bytes(), false).unwrap_err();
            assert_eq!(
                &*reason,
                "pattern does not match within the first 8192 bytes, and takes too long for more"
            );
        }
    }
}
