//! File name patterns as glob(3) has them: `*`, `?`, `[a-z]`, `\` and `{a,b}`.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{FileKind, Source};

/// Most alternatives that the braces of one pattern may give.
pub const ALTERNATIVES_MAX: usize = 1_024;
/// Most paths that one pattern may match.
pub const PATHS_MAX: usize = 10_000;

/// What a pattern found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The paths that exist, sorted within each alternative of the braces.
    pub paths: Vec<String>,
    /// A plain name, or a directory to search, is not there.
    pub is_missing: bool,
}

/// The paths that `pattern` names, relative ones from `directory` on (empty: the current one).
pub fn find(source: &dyn Source, directory: &str, pattern: &str) -> Result<Found, String> {
    let mut found = Found::default();
    for alternative in alternatives(pattern)? {
        walk(source, directory, &alternative, &mut found)?;
    }
    Ok(found)
}

/// One pattern without braces.
fn walk(
    source: &dyn Source,
    directory: &str,
    pattern: &str,
    found: &mut Found,
) -> Result<(), String> {
    let start = if pattern.starts_with('/') { "/" } else { directory };
    let mut paths = alloc::vec![start.to_owned()];
    let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
    for (number, part) in parts.iter().enumerate() {
        let is_last = number + 1 == parts.len();
        let mut next = Vec::new();
        for path in &paths {
            if is_wild(part) {
                search(source, path, part, &mut next, found);
            } else {
                let path = join(path, &unescaped(part));
                if is_last && source.kind(&path) == FileKind::Missing {
                    found.is_missing = true;
                } else {
                    next.push(path);
                }
            }
            if next.len() + found.paths.len() > PATHS_MAX {
                return Err(format!("{pattern} matches more than {PATHS_MAX} paths"));
            }
        }
        paths = next;
    }
    if !parts.is_empty() {
        found.paths.append(&mut paths);
    }
    Ok(())
}

/// The names in a directory that match one part of a pattern.
fn search(
    source: &dyn Source,
    directory: &str,
    part: &str,
    next: &mut Vec<String>,
    found: &mut Found,
) {
    let Ok(mut names) = source.list(directory) else {
        found.is_missing = true;
        return;
    };
    names.retain(|name| matches(part, name));
    names.sort();
    next.extend(names.iter().map(|name| join(directory, name)));
}

/// A name in a directory.
pub fn join(directory: &str, name: &str) -> String {
    match directory {
        "" => name.to_owned(),
        "/" => format!("/{name}"),
        _ => format!("{directory}/{name}"),
    }
}

/// `{a,b}` written out. Braces that do not pair, and `{}`, stand for themselves.
pub fn alternatives(pattern: &str) -> Result<Vec<String>, String> {
    let mut done = Vec::new();
    let mut todo = alloc::vec![pattern.to_owned()];
    while let Some(text) = todo.pop() {
        let Some((open, close, commas)) = first_braces(&text) else {
            done.push(text);
            continue;
        };
        let mut ends: Vec<usize> = commas;
        ends.push(close);
        let mut start = open + 1;
        let mut choices = Vec::new();
        for end in ends {
            choices.push(format!("{}{}{}", &text[..open], &text[start..end], &text[close + 1..]));
            start = end + 1;
        }
        todo.extend(choices.into_iter().rev());
        if todo.len() + done.len() > ALTERNATIVES_MAX {
            return Err(format!("the braces of {pattern} give more than {ALTERNATIVES_MAX} names"));
        }
    }
    Ok(done)
}

/// The first pair of braces and the commas directly within it.
fn first_braces(text: &str) -> Option<(usize, usize, Vec<usize>)> {
    let bytes = text.as_bytes();
    let mut open = None;
    let mut depth = 0u32;
    let mut commas = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, open) {
            (b'\\', _) => at += 1,
            (b'{', None) if bytes.get(at + 1) == Some(&b'}') => at += 1,
            (b'{', None) => open = Some(at),
            (b'{', Some(_)) => depth += 1,
            (b',', Some(_)) if depth == 0 => commas.push(at),
            (b'}', Some(start)) if depth == 0 => return Some((start, at, commas)),
            (b'}', Some(_)) => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

/// The text has a wildcard.
pub fn is_wild(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}

/// A file name matches one part of a pattern. A leading dot must be written out.
pub fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // Where to go on when the last star takes one character more.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            retry = Some((p, n));
            p += 1;
        } else if let Some(next) = one(&pattern, p, name[n]) {
            (p, n) = (next, n + 1);
        } else if let Some((star, from)) = retry {
            retry = Some((star, from + 1));
            (p, n) = (star + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// One character against the pattern at `p`: where the pattern goes on.
fn one(pattern: &[char], p: usize, c: char) -> Option<usize> {
    match *pattern.get(p)? {
        '?' => Some(p + 1),
        '[' => match set(pattern, p, c) {
            Some((true, next)) => Some(next),
            Some((false, _)) => None,
            None => (c == '[').then_some(p + 1),
        },
        '\\' if p + 1 < pattern.len() => (pattern[p + 1] == c).then_some(p + 2),
        literal => (literal == c).then_some(p + 1),
    }
}

/// `[a-z]` and `[!a-z]`: whether it holds, and its end. Nothing when it is never closed.
fn set(pattern: &[char], p: usize, c: char) -> Option<(bool, usize)> {
    let negated = matches!(pattern.get(p + 1), Some('!' | '^'));
    let first = p + 1 + usize::from(negated);
    let mut at = first;
    let mut is_in = false;
    loop {
        let from = *pattern.get(at)?;
        if from == ']' && at > first {
            return Some((is_in != negated, at + 1));
        }
        let range_end = pattern.get(at + 2).filter(|&&end| end != ']');
        match (pattern.get(at + 1), range_end) {
            (Some('-'), Some(&to)) => {
                is_in |= (from..=to).contains(&c);
                at += 3;
            }
            _ => {
                is_in |= from == c;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Table;

    #[test]
    fn stars_marks_and_sets_match_as_in_a_shell() {
        for (pattern, name) in
            [("*", "a"), ("*.conf", "x.conf"), ("a?c", "abc"), ("[a-c]x", "bx"), ("[!a]x", "bx")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("*", ".a"), ("*.conf", "x.cfg"), ("a?c", "ac"), ("[a-c]x", "dx"), ("[^b]x", "bx")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        assert!(matches("a*b*c", "aXbYbZc") && matches("\\*", "*") && matches("[", "["));
        assert!(!matches(&"*a".repeat(50), &"a".repeat(49)));
    }

    #[test]
    fn braces_give_their_alternatives_in_order() {
        assert_eq!(alternatives("a{b,c{d,e}}f").unwrap(), ["abf", "acdf", "acef"]);
        assert_eq!(alternatives("a{}b{c").unwrap(), ["a{}b{c"]);
        assert!(alternatives(&"{a,b}".repeat(30)).unwrap_err().contains("1024"));
    }

    #[test]
    fn paths_are_found_below_a_directory() {
        let table = Table::default()
            .file("/etc/k/b.conf", "")
            .file("/etc/k/a.conf", "")
            .file("/etc/k/.c.conf", "")
            .file("/etc/k/d/e.conf", "");
        let find = |pattern| find(&table, "/etc/k", pattern).unwrap();
        assert_eq!(find("*.conf").paths, ["/etc/k/a.conf", "/etc/k/b.conf"]);
        assert_eq!(find("*/e.conf").paths, ["/etc/k/d/e.conf"]);
        assert_eq!(find("/etc/k/a.conf").paths, ["/etc/k/a.conf"]);
        assert!(!find("*.cfg").is_missing && find("x.conf").is_missing);
        assert!(find("x/*.conf").is_missing);
        let some = find("{a,x}.conf");
        assert_eq!((some.paths.len(), some.is_missing), (1, true));
    }
}
