//! `use_backend` and conditions (manual, 7.2): ACLs joined by `or`, negated by `!`.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use model::proxy::{AclTest, Condition, Matching, Sample, Term};

use super::acl::{self, Test};
use super::lexer::{Line, Word};
use super::proxy::{Context, Keyword, Proxy, Sense, plain};
use super::table::{FRONT_NAMED, row};
use super::value;
use crate::diagnostic::Diagnostic;
use crate::row::Row;
use crate::source::{Span, Spanned};
use crate::suggest;

/// Groups of one condition; `unless` multiplies them.
const GROUPS_MAX: usize = 256;

/// The rows.
pub(super) static ROWS: &[Row<Keyword>] = &[row("use_backend", FRONT_NAMED)
    .syntax("<backend> [if|unless <condition>]")
    .doc("The backend for requests that meet the condition; the first rule that holds wins.")
    .parse(plain(read))];

/// One rule as written.
#[derive(Clone, Debug)]
pub(super) struct UseBackend {
    pub(super) backend: Spanned<String>,
    pub(super) when: When,
}

/// When a rule applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum When {
    Always,
    Never,
    If(Condition),
}

fn read(
    proxy: &mut Proxy,
    line: &Line,
    _: Sense,
    context: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    let Some(backend) = line.word(1) else {
        return Err(Diagnostic::error(line.span(), "`use_backend` needs the name of a backend")
            .help("use_backend static if url_static"));
    };
    if backend.text.contains("%[") {
        let hint = "write one rule per backend: use_backend NAME if ...";
        return Err(super::table::refusal(backend.span, "use_backend %[...]", hint));
    }
    let when = match line.text(2) {
        "" => When::Always,
        "if" | "unless" => {
            let rule = line.span();
            let groups = Reader { words: line.rest(3), proxy, context, rule }.groups()?;
            lower(groups, line.text(2) == "unless", rule)?
        }
        word => {
            let known = ["if", "unless"].into_iter();
            return Err(super::table::unknown(word, line.rest(2)[0].span, "word", known)
                .help("a condition begins with `if` or `unless`"));
        }
    };
    proxy.use_backends.push(UseBackend { backend: value::text(backend), when });
    Ok(())
}

/// One ACL of a condition: tests of which one must match.
#[derive(Clone, Debug)]
struct Literal {
    negated: bool,
    tests: Vec<Test>,
}

/// Groups joined by `or`, each of literals that must all hold.
type Groups = Vec<Vec<Literal>>;

struct Reader<'a, 'b> {
    words: &'a [Word],
    proxy: &'a mut Proxy,
    context: &'a mut Context<'b>,
    /// The rule, for what is missing at its end.
    rule: Span,
}

impl Reader<'_, '_> {
    fn groups(&mut self) -> Result<Groups, Diagnostic> {
        let mut groups: Groups = vec![Vec::new()];
        let mut negated = false;
        let mut open = true;
        while let [word, rest @ ..] = self.words {
            let bare = word.text.trim_start_matches('!');
            negated ^= (word.text.len() - bare.len()) % 2 == 1;
            self.words = rest;
            match bare {
                "" => {
                    open = true;
                    continue;
                }
                "or" | "||" if open => {
                    return Err(Diagnostic::error(
                        word.span,
                        format!("`{bare}` without an ACL before it"),
                    ));
                }
                "or" | "||" => {
                    groups.push(Vec::new());
                    open = true;
                    continue;
                }
                "and" | "&&" => {
                    return Err(Diagnostic::error(
                        word.span,
                        format!("`{bare}` is no word of conditions"),
                    )
                    .help("leave it away: ACLs that follow each other must all match"));
                }
                _ => {}
            }
            let tests = match bare {
                "{" => vec![self.anonymous(word.span)?],
                name => self.named(name, word.span)?,
            };
            if let Some(group) = groups.last_mut() {
                group.push(Literal { negated, tests });
            }
            (negated, open) = (false, false);
        }
        if open {
            return Err(Diagnostic::error(
                self.rule,
                "the condition ends where an ACL should follow",
            ));
        }
        Ok(groups)
    }

    /// `{ path_beg /x }`
    fn anonymous(&mut self, brace: Span) -> Result<Test, Diagnostic> {
        let Some(end) = self.words.iter().position(|word| word.text == "}") else {
            return Err(Diagnostic::error(brace, "this `{` is never closed")
                .help("write ` }`, a word of its own, behind the patterns"));
        };
        let (inside, rest) = self.words.split_at(end);
        self.words = rest.get(1..).unwrap_or(&[]);
        let Some((criterion, rest)) = inside.split_first() else {
            return Err(Diagnostic::error(brace, "nothing between `{` and `}`"));
        };
        let test = acl::test(criterion, rest, self.context)?;
        self.note(&test);
        Ok(test)
    }

    fn named(&mut self, name: &str, span: Span) -> Result<Vec<Test>, Diagnostic> {
        if let Some(acl) = self.proxy.acls.get(name) {
            let tests = acl.tests.clone();
            tests.iter().for_each(|test| self.note(test));
            return Ok(tests);
        }
        if let Some(test) = predefined(name, span)? {
            self.note(&test);
            return Ok(vec![test]);
        }
        let diagnostic =
            Diagnostic::error(span, format!("no ACL `{name}` is defined above this line"));
        let known = self.proxy.acls.keys().map(String::as_str);
        let known = known.chain(PREDEFINED.iter().map(|(name, _)| *name));
        Err(match suggest::nearest(name, known) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help(format!("define it first: acl {name} path_beg /static")),
        })
    }

    /// Keeps the place of a test that a TCP frontend cannot make.
    fn note(&mut self, test: &Test) {
        if let Test::Look { needs_http: true, span, .. } = test
            && !self.proxy.needs_http.contains(span)
        {
            self.proxy.needs_http.push(*span);
        }
    }
}

/// What a predefined ACL stands for (manual, 7.4).
#[derive(Clone, Copy, Debug)]
enum Predefined {
    Always(bool),
    Methods(&'static [&'static str]),
    Networks(&'static [&'static str]),
    UrlBegins(&'static str),
    Url(&'static str),
    Refused,
}

const PREDEFINED: &[(&str, Predefined)] = &[
    ("TRUE", Predefined::Always(true)),
    ("FALSE", Predefined::Always(false)),
    ("METH_CONNECT", Predefined::Methods(&["CONNECT"])),
    ("METH_DELETE", Predefined::Methods(&["DELETE"])),
    ("METH_GET", Predefined::Methods(&["GET", "HEAD"])),
    ("METH_HEAD", Predefined::Methods(&["HEAD"])),
    ("METH_OPTIONS", Predefined::Methods(&["OPTIONS"])),
    ("METH_POST", Predefined::Methods(&["POST"])),
    ("METH_PUT", Predefined::Methods(&["PUT"])),
    ("METH_TRACE", Predefined::Methods(&["TRACE"])),
    ("LOCALHOST", Predefined::Networks(&["127.0.0.0/8", "::1/128"])),
    ("HTTP_URL_SLASH", Predefined::UrlBegins("/")),
    ("HTTP_URL_STAR", Predefined::Url("*")),
    ("HTTP", Predefined::Refused),
    ("HTTP_1.0", Predefined::Refused),
    ("HTTP_1.1", Predefined::Refused),
    ("HTTP_2.0", Predefined::Refused),
    ("HTTP_3.0", Predefined::Refused),
    ("HTTP_CONTENT", Predefined::Refused),
    ("HTTP_URL_ABS", Predefined::Refused),
    ("RDP_COOKIE", Predefined::Refused),
    ("REQ_CONTENT", Predefined::Refused),
    ("WAIT_END", Predefined::Refused),
];

fn predefined(name: &str, span: Span) -> Result<Option<Test>, Diagnostic> {
    let Some((_, predefined)) = PREDEFINED.iter().find(|(known, _)| *known == name) else {
        return Ok(None);
    };
    let (sample, matching, patterns): (_, _, &[&str]) = match predefined {
        Predefined::Always(value) => return Ok(Some(Test::Always(*value))),
        Predefined::Methods(names) => (Sample::Method, Matching::Exact, names),
        Predefined::Networks(networks) => (Sample::Source, Matching::Network, networks),
        Predefined::UrlBegins(text) => (Sample::Url, Matching::Begins, &[*text]),
        Predefined::Url(text) => (Sample::Url, Matching::Exact, &[*text]),
        Predefined::Refused => {
            let hint = "leave it away, or define an ACL of your own";
            return Err(super::table::refusal(span, name, hint));
        }
    };
    let needs_http = !matches!(sample, Sample::Source);
    let patterns = patterns.iter().map(|pattern| String::from(*pattern)).collect();
    let test = AclTest { sample, matching, ignore_case: false, patterns };
    Ok(Some(Test::Look { test, needs_http, span }))
}

/// Folds what is known and turns `unless` around (De Morgan).
fn lower(groups: Groups, unless: bool, rule: Span) -> Result<When, Diagnostic> {
    let groups = if unless { negate(&groups, rule)? } else { groups };
    let mut any = Vec::with_capacity(groups.len());
    for group in groups {
        match fold(group) {
            Some(terms) if terms.is_empty() => return Ok(When::Always),
            Some(terms) => any.push(terms),
            None => {}
        }
    }
    Ok(if any.is_empty() { When::Never } else { When::If(Condition { any }) })
}

/// not (a b or c) = !a !c or !b !c
fn negate(groups: &[Vec<Literal>], rule: Span) -> Result<Groups, Diagnostic> {
    let mut product: Groups = vec![Vec::new()];
    for group in groups {
        if product.len() * group.len() > GROUPS_MAX {
            return Err(Diagnostic::error(rule, "this `unless` has too many alternatives")
                .help("turn it into an `if`, or split it into several rules"));
        }
        let mut next = Vec::with_capacity(product.len() * group.len());
        for so_far in &product {
            for literal in group {
                let mut longer = so_far.clone();
                longer.push(Literal { negated: !literal.negated, ..literal.clone() });
                next.push(longer);
            }
        }
        product = next;
    }
    Ok(product)
}

/// The terms of a group without those that always hold; nothing when the group never holds.
fn fold(group: Vec<Literal>) -> Option<Vec<Term>> {
    let mut terms = Vec::with_capacity(group.len());
    for literal in group {
        let mut tests = Vec::with_capacity(literal.tests.len());
        let mut always = false;
        for test in literal.tests {
            match test {
                Test::Always(value) => always |= value,
                Test::Look { test, .. } => tests.push(test),
            }
        }
        match (always || tests.is_empty(), always != literal.negated) {
            (true, true) => {}
            (true, false) => return None,
            (false, _) => terms.push(Term { negated: literal.negated, tests }),
        }
    }
    Some(terms)
}
