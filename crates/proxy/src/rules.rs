//! Conditions, compiled to a flat program: one step per ACL test, each with the step that follows
//! a match and the one that follows a miss. A frontend without rules has no program to run.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use model::proxy::{AclTest, Condition, Matching, Sample, Term};

use crate::http1::{Request, header_values};

/// What a condition may look at.
pub struct Scene<'a> {
    /// The request's bytes, from its first on.
    pub bytes: &'a [u8],
    /// The parsed request; absent in TCP mode, where nothing of HTTP matches.
    pub request: Option<&'a Request>,
    /// The client's address.
    pub source: IpAddr,
}

/// A compiled condition.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    steps: Vec<Step>,
    start: u16,
}

const HOLDS: u16 = u16::MAX;
const FAILS: u16 = u16::MAX - 1;

#[derive(Clone, Debug)]
struct Step {
    test: Test,
    matched: u16,
    missed: u16,
}

#[derive(Clone, Debug)]
struct Test {
    sample: Sample,
    matching: Matching,
    ignore_case: bool,
    patterns: Vec<String>,
    networks: Vec<(IpAddr, u8)>,
}

impl Rule {
    /// Compiles a condition; none always holds.
    pub fn compile(condition: Option<&Condition>) -> Rule {
        let mut rule = Rule { steps: Vec::new(), start: HOLDS };
        let Some(condition) = condition else { return rule };
        // From the last group to the first, so that where to go next is always known.
        rule.start = FAILS;
        for group in condition.any.iter().rev() {
            let otherwise = rule.start;
            let next =
                group.iter().rev().fold(HOLDS, |next, term| rule.term(term, next, otherwise));
            rule.start = next;
        }
        rule
    }

    fn term(&mut self, term: &Term, holds: u16, fails: u16) -> u16 {
        let (matched, unmatched) = if term.negated { (fails, holds) } else { (holds, fails) };
        term.tests.iter().rev().fold(unmatched, |missed, test| {
            self.steps.push(Step { test: Test::compile(test), matched, missed });
            (self.steps.len() - 1) as u16
        })
    }

    /// Runs it.
    pub fn holds(&self, scene: &Scene<'_>) -> bool {
        let mut at = self.start;
        // Steps only lead to earlier ones or out: the loop ends.
        while let Some(step) = self.steps.get(usize::from(at)) {
            at = if step.test.matches(scene) { step.matched } else { step.missed };
        }
        at == HOLDS
    }
}

impl Test {
    fn compile(test: &AclTest) -> Test {
        let networks = test.patterns.iter().filter_map(|text| parse_network(text)).collect();
        Test {
            sample: test.sample.clone(),
            matching: test.matching,
            ignore_case: test.ignore_case,
            patterns: test.patterns.clone(),
            networks,
        }
    }

    fn matches(&self, scene: &Scene<'_>) -> bool {
        if let Sample::Source = self.sample {
            return self.networks.iter().any(|&network| contains(network, scene.source));
        }
        let Some(request) = scene.request else { return false };
        match &self.sample {
            Sample::Path => self.compare(request.path(scene.bytes)),
            Sample::Url => self.compare(&scene.bytes[request.target.clone()]),
            Sample::Method => self.compare(&scene.bytes[..request.method_length]),
            Sample::Header(name) => {
                let headers = &scene.bytes[request.head.headers_at..request.head.length];
                header_values(headers, name.as_bytes()).any(|value| self.compare(value))
            }
            Sample::Source => false,
        }
    }

    fn compare(&self, value: &[u8]) -> bool {
        let same =
            |a: &[u8], b: &[u8]| if self.ignore_case { a.eq_ignore_ascii_case(b) } else { a == b };
        self.patterns.iter().map(|pattern| pattern.as_bytes()).any(|pattern| {
            let length = pattern.len();
            match self.matching {
                Matching::Exact => same(value, pattern),
                Matching::Begins => value.get(..length).is_some_and(|begin| same(begin, pattern)),
                Matching::Ends => {
                    value.len().checked_sub(length).is_some_and(|at| same(&value[at..], pattern))
                }
                Matching::Contains => {
                    length == 0 || value.windows(length).any(|part| same(part, pattern))
                }
                Matching::Directory => directory(value, pattern, same),
                Matching::Network => core::str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.parse().ok())
                    .is_some_and(|address| self.networks.iter().any(|&n| contains(n, address))),
            }
        })
    }
}

/// `pattern`, slashes around it aside, is one or several whole components of the path.
fn directory(value: &[u8], pattern: &[u8], same: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    let mut wanted = pattern;
    while let [b'/', rest @ ..] | [rest @ .., b'/'] = wanted {
        wanted = rest;
    }
    let delimits = |byte: Option<&u8>| matches!(byte, None | Some(b'/' | b'?'));
    !wanted.is_empty()
        && value.windows(wanted.len()).enumerate().any(|(at, part)| {
            same(part, wanted)
                && delimits(at.checked_sub(1).and_then(|before| value.get(before)))
                && delimits(value.get(at + wanted.len()))
        })
}

/// `10.0.0.0/8`, `10.0.0.1`, `2001:db8::/32`.
fn parse_network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address.parse().ok()?, length.parse().ok()?),
        None => {
            let address: IpAddr = text.parse().ok()?;
            (address, if address.is_ipv4() { 32 } else { 128 })
        }
    };
    Some((address, length))
}

/// The address lies in the network.
pub fn contains((network, length): (IpAddr, u8), address: IpAddr) -> bool {
    let (network, address, bits) = match (network, address.to_canonical()) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (u128::from(network.to_bits()), u128::from(address.to_bits()), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits(), address.to_bits(), 128),
        _ => return false,
    };
    let host_bits = bits - u32::from(length).min(bits);
    host_bits == 128 || network >> host_bits == address >> host_bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Parsed, parse_request};

    fn test(sample: Sample, matching: Matching, patterns: &[&str]) -> AclTest {
        let patterns = patterns.iter().map(|&p| p.into()).collect();
        AclTest { sample, matching, ignore_case: false, patterns }
    }

    fn yes(test: AclTest) -> Term {
        Term { negated: false, tests: vec![test] }
    }

    fn no(test: AclTest) -> Term {
        Term { negated: true, tests: vec![test] }
    }

    fn holds(any: Vec<Vec<Term>>, target: &str) -> bool {
        let text = format!("GET {target} HTTP/1.1\r\nHost: img.example.org\r\n\r\n");
        let Parsed::Complete(request) = parse_request(text.as_bytes()) else { panic!() };
        let scene = Scene {
            bytes: text.as_bytes(),
            request: Some(&request),
            source: "10.1.2.3".parse().unwrap(),
        };
        Rule::compile(Some(&Condition { any })).holds(&scene)
    }

    #[test]
    fn groups_are_or_terms_are_and_tests_add_up() {
        let begins = |p: &str| test(Sample::Path, Matching::Begins, &[p]);
        let ends = || test(Sample::Path, Matching::Ends, &[".gif", ".png"]);
        let either = Term { negated: false, tests: vec![begins("/static"), ends()] };
        for (target, expected) in [("/static/x", true), ("/x.png?y", true), ("/x.html", false)] {
            assert_eq!(holds(vec![vec![either.clone()]], target), expected, "{target}");
        }
        let both = vec![vec![yes(begins("/a")), no(ends())], vec![yes(begins("/b"))]];
        for (target, expected) in [("/a", true), ("/a.gif", false), ("/b.gif", true), ("/c", false)]
        {
            assert_eq!(holds(both.clone(), target), expected, "{target}");
        }
        assert!(holds(vec![vec![]], "/"));
        assert!(!holds(vec![], "/"));
        assert!(Rule::compile(None).holds(&Scene {
            bytes: b"",
            request: None,
            source: [1; 4].into()
        }));
    }

    #[test]
    fn samples_are_what_they_say() {
        let one =
            |sample, matching, pattern: &str| vec![vec![yes(test(sample, matching, &[pattern]))]];
        assert!(holds(one(Sample::Url, Matching::Ends, "?q=1"), "/x?q=1"));
        assert!(!holds(one(Sample::Path, Matching::Ends, "?q=1"), "/x?q=1"));
        assert!(holds(one(Sample::Method, Matching::Exact, "GET"), "/"));
        assert!(holds(one(Sample::Header("host".into()), Matching::Begins, "img."), "/"));
        assert!(holds(one(Sample::Source, Matching::Network, "10.0.0.0/8"), "/"));
        assert!(!holds(one(Sample::Source, Matching::Network, "10.1.2.4"), "/"));
        assert!(holds(one(Sample::Path, Matching::Directory, "img"), "/a/img/b"));
        assert!(!holds(one(Sample::Path, Matching::Directory, "img"), "/a/imgs/b"));
        assert!(holds(one(Sample::Path, Matching::Contains, "mg"), "/img"));
    }

    #[test]
    fn networks_have_edges() {
        let address = |text: &str| text.parse().unwrap();
        assert!(contains((address("0.0.0.0"), 0), address("1.2.3.4")));
        assert!(contains((address("::"), 0), address("2001:db8::1")));
        assert!(contains((address("127.0.0.0"), 8), address("::ffff:127.0.0.1")));
        assert!(!contains((address("127.0.0.0"), 8), address("::1")));
    }
}
