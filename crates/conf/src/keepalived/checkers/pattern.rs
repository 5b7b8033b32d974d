//! `regex` and its options: PCRE2's options become flags in front of the expression, which is
//! compiled once here so that a mistake is found where it stands.

use alloc::format;
use alloc::string::{String, ToString};

use model::check::Pattern;

use crate::diagnostic::Diagnostic;
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;
use crate::keepalived::vrrp::spanned;
use crate::source::{Span, Spanned};
use crate::suggest;

/// What a `url` block says about its pattern.
#[derive(Debug, Default)]
pub(super) struct Parts {
    expression: Option<Spanned<String>>,
    options: Options,
    is_negated: bool,
    min_offset: Option<u32>,
    max_offset: Option<Spanned<u32>>,
    /// Something was said that needs an expression.
    has_options: bool,
}

/// Options that change what matches.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    caseless: bool,
    dollar_endonly: bool,
    dotall: bool,
    extended: bool,
    multiline: bool,
    ungreedy: bool,
}

/// What an option of PCRE2 is to us.
#[derive(Clone, Copy)]
enum Meaning {
    /// It sets one of [`Options`].
    Sets(fn(&mut Options)),
    /// It changes no result, for this reason.
    Nothing(&'static str),
    /// It is not known here; what to do instead.
    Refused(&'static str),
}

const UNICODE: &str = "patterns and pages are read as Unicode anyway";
const FASTER: &str = "it changes how PCRE2 searches, not what it finds";
const LOCKS: &str = "it only forbids something that is not known here";

/// The options of regex_options (keepalived.conf(5)).
#[rustfmt::skip]
const MEANINGS: &[(&str, Meaning)] = &[
    ("allow_empty_class", Meaning::Refused("remove it; write (?!) for a class without characters")),
    ("alt_bsux", Meaning::Refused("remove it; write \\x{...} for characters by number")),
    ("auto_callout", Meaning::Nothing("it is for debugging programs")),
    ("caseless", Meaning::Sets(|options| options.caseless = true)),
    ("dollar_endonly", Meaning::Sets(|options| options.dollar_endonly = true)),
    ("dotall", Meaning::Sets(|options| options.dotall = true)),
    ("dupnames", Meaning::Refused("remove it; give each group a name of its own, or none")),
    ("extended", Meaning::Sets(|options| options.extended = true)),
    ("firstline", Meaning::Refused("remove it; begin the pattern with \\A[^\\n]* instead")),
    ("match_unset_backref", Meaning::Refused("remove it; make the group match nothing, as in (a|), instead of leaving it out")),
    ("multiline", Meaning::Sets(|options| options.multiline = true)),
    ("never_ucp", Meaning::Nothing(LOCKS)),
    ("never_utf", Meaning::Nothing(LOCKS)),
    ("no_auto_capture", Meaning::Nothing("what groups capture is not used")),
    ("no_auto_possess", Meaning::Nothing(FASTER)),
    ("no_dotstar_anchor", Meaning::Nothing(FASTER)),
    ("no_start_optimize", Meaning::Nothing(FASTER)),
    ("ucp", Meaning::Nothing(UNICODE)),
    ("ungreedy", Meaning::Sets(|options| options.ungreedy = true)),
    ("utf", Meaning::Nothing(UNICODE)),
    ("never_backslash_c", Meaning::Nothing(LOCKS)),
    ("alt_circumflex", Meaning::Nothing("with multiline, ^ matches after the last newline anyway")),
    ("alt_verbnames", Meaning::Refused("remove it; verbs such as (*MARK) are not known here")),
    ("use_offset_limit", Meaning::Nothing("regex_max_offset needs no option")),
];

impl Parts {
    pub(super) fn handle_expression(&mut self, reader: &mut Reader<'_>, from: &Statement<'_>) {
        let Some(word) = reader.first_argument(from, "a pattern") else { return };
        if from.arguments().len() > 1 {
            let message = "a pattern is one word".to_string();
            reader.error(from.header(), message, "put quotes around the pattern with its blanks");
            return;
        }
        self.expression = spanned(Some(word.text.to_string()), word.span);
    }

    pub(super) fn handle_no_match(&mut self) {
        self.is_negated = true;
        self.has_options = true;
    }

    pub(super) fn handle_min_offset(&mut self, reader: &mut Reader<'_>, from: &Statement<'_>) {
        self.min_offset = reader.number(from, "a number of bytes", 0..=u32::MAX - 1);
        self.has_options = true;
    }

    pub(super) fn handle_max_offset(&mut self, reader: &mut Reader<'_>, from: &Statement<'_>) {
        let offset = reader.number(from, "a number of bytes", 0..=u32::MAX - 1);
        self.max_offset = spanned(offset, from.header());
        self.has_options = true;
    }

    pub(super) fn handle_options(&mut self, reader: &mut Reader<'_>, from: &Statement<'_>) {
        self.has_options = true;
        if reader.first_argument(from, "an option").is_none() {
            return;
        }
        for word in from.arguments() {
            let found = MEANINGS.iter().find(|(name, _)| *name == word.text);
            match found.map(|(_, meaning)| *meaning) {
                Some(Meaning::Sets(set)) => set(&mut self.options),
                Some(Meaning::Nothing(why)) => {
                    let message = format!("regex option {} has no effect", word.text);
                    reader.diagnostics.push(Diagnostic::note(word.span, message).help(why));
                }
                Some(Meaning::Refused(instead)) => {
                    let message = format!("regex option {} is not supported", word.text);
                    reader.error(word.span, message, instead);
                }
                None => {
                    let names = MEANINGS.iter().map(|(name, _)| *name);
                    let help = suggest::did_you_mean(&word.text, names)
                        .unwrap_or_else(|| "remove it; pcre2api(3) has the names".into());
                    reader.error(
                        word.span,
                        format!("unknown regex option \"{}\"", word.text),
                        &help,
                    );
                }
            }
        }
    }
}

/// The pattern of a page, if it has one.
pub(super) fn compile(
    reader: &mut Reader<'_>,
    url: &Statement<'_>,
    parts: Parts,
) -> Option<Pattern> {
    let Some(expression) = parts.expression else {
        if parts.has_options {
            let message = "options of a regex have no effect without a regex".to_string();
            reader.warning(
                url.header(),
                message,
                "write regex PATTERN in this url, or remove them",
            );
        }
        return None;
    };
    let min_offset = parts.min_offset.unwrap_or(0);
    if let Some(most) = parts.max_offset.as_ref().filter(|most| most.value < min_offset) {
        let message = format!("no match begins from byte {min_offset} on and up to {}", most.value);
        reader.error(most.span, message, "write a regex_max_offset above regex_min_offset");
    }
    let translated = translate(&expression.value, parts.options);
    report_mistake(reader, &expression.value, &translated, expression.span);
    Some(Pattern {
        expression: translated,
        negated: parts.is_negated,
        min_offset,
        // The plan's bound is the first byte where no match begins.
        max_offset: parts.max_offset.map(|most| most.value + 1),
    })
}

fn report_mistake(reader: &mut Reader<'_>, written: &str, translated: &str, span: Span) {
    let Err(error) = fancy_regex::Regex::new(translated) else { return };
    // Without the flags the position is the one in the text as written.
    let error = fancy_regex::Regex::new(written).err().unwrap_or(error);
    let text = error.to_string().replace('\n', " ");
    let help = "the syntax is that of Perl, without recursion, callouts and verbs";
    reader.error(span, format!("this pattern does not compile: {text}"), help);
}

/// The expression with the options in front.
fn translate(expression: &str, options: Options) -> String {
    let Options { caseless, dollar_endonly, dotall, extended, multiline, ungreedy } = options;
    let flags =
        [(caseless, 'i'), (multiline, 'm'), (dotall, 's'), (extended, 'x'), (ungreedy, 'U')];
    let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| *flag).collect();
    let body = if dollar_endonly || multiline || sets_multiline(expression) {
        expression.to_string()
    } else {
        with_final_newline(expression)
    };
    if flags.is_empty() { body } else { format!("(?{flags}){body}") }
}

/// Some `(?m)` or `(?m:...)` stands in it.
fn sets_multiline(expression: &str) -> bool {
    expression.split("(?").skip(1).any(|group| {
        let flags = group.split([')', ':']).next().unwrap_or_default();
        flags.contains('m') && flags.chars().all(|c| c.is_ascii_alphabetic() || c == '-')
    })
}

/// PCRE2's `$` also matches before a newline that ends the page (pcre2pattern(3)); that of Rust's
/// expressions does not.
fn with_final_newline(expression: &str) -> String {
    let mut out = String::with_capacity(expression.len());
    let mut characters = expression.chars().peekable();
    // How many characters of a class were seen: the first may be a `]`.
    let mut class: Option<u32> = None;
    while let Some(c) = characters.next() {
        match (c, class) {
            ('\\', _) => {
                out.push(c);
                out.extend(characters.next());
                class = class.map(|seen| seen + 1);
                continue;
            }
            ('$', None) => {
                out.push_str("(?=\\n?\\z)");
                continue;
            }
            ('[', None) => {
                class = Some(0);
                out.push(c);
                if characters.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                continue;
            }
            (']', Some(seen)) if seen > 0 => class = None,
            (_, Some(seen)) => class = Some(seen + 1),
            (_, None) => {}
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(expression: &str, options: Options, page: &str) -> bool {
        fancy_regex::Regex::new(&translate(expression, options)).unwrap().is_match(page).unwrap()
    }

    #[test]
    fn options_become_flags_in_front() {
        let options = Options { caseless: true, dotall: true, ..Options::default() };
        assert_eq!(translate("a.b", options), "(?is)a.b");
        assert!(matches("a.b", options, "A\nB"));
        assert!(!matches("a.b", Options::default(), "A\nB"));
        let ungreedy = Options { ungreedy: true, extended: true, ..Options::default() };
        assert!(matches("a +  b", ungreedy, "aab"));
    }

    #[test]
    fn a_dollar_matches_before_a_final_newline_unless_told_otherwise() {
        assert!(matches("</html>$", Options::default(), "<html></html>\n"));
        assert!(matches("</html>$", Options::default(), "<html></html>"));
        assert!(!matches("</html>$", Options::default(), "</html>\n\n"));
        let end_only = Options { dollar_endonly: true, ..Options::default() };
        assert!(!matches("</html>$", end_only, "</html>\n"));
        let multiline = Options { multiline: true, ..Options::default() };
        assert!(matches("^a$", multiline, "b\na\nc"));
        assert!(matches("(?m)^a$", Options::default(), "b\na\nc"));
    }

    #[test]
    fn a_dollar_in_a_class_or_after_a_backslash_is_itself() {
        assert_eq!(with_final_newline("[$]\\$"), "[$]\\$");
        assert_eq!(with_final_newline("[]$]a"), "[]$]a");
        assert_eq!(with_final_newline("[^]$]$"), "[^]$](?=\\n?\\z)");
        assert_eq!(with_final_newline("[\\]$]$"), "[\\]$](?=\\n?\\z)");
        assert_eq!(with_final_newline("a\\"), "a\\");
    }

    #[test]
    fn every_option_of_the_manual_has_a_meaning() {
        assert_eq!(MEANINGS.len(), 24);
    }
}
