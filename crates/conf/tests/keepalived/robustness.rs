//! Any bytes give a plan or diagnostics, never a panic, and never take long.

use std::fmt::Write;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::common::keepalived;

const DOCUMENTS: [&str; 3] = [
    include_str!("../documents/book-nat.conf"),
    include_str!("../documents/scanned.conf"),
    include_str!("../documents/nat-smtp.conf"),
];

fn load_and_render(text: &str) {
    let loaded = keepalived(text);
    assert_eq!(loaded.plan.is_none(), loaded.summary.errors > 0);
    let shown = &loaded.diagnostics[..loaded.diagnostics.len().min(20)];
    conf::render::text(&loaded.files, shown, false);
    conf::render::json(&loaded.files, shown);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..Default::default() })]

    #[test]
    fn mutated_documents_never_panic(
        document in 0..DOCUMENTS.len(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..6usize, any::<char>()), 1..12),
    ) {
        let mut text: Vec<char> = DOCUMENTS[document].chars().collect();
        for (place, edit, c) in edits {
            let at = place.index(text.len());
            match edit {
                0 => { text.remove(at); }
                1 => text.insert(at, c),
                2 => text[at] = c,
                3 => text.insert(at, '{'),
                4 => text.insert(at, '}'),
                _ => {
                    let end = text[at..].iter().position(|&c| c == '\n').map_or(text.len(), |n| at + n);
                    text.drain(at..end);
                }
            }
            if text.is_empty() {
                text.push(c);
            }
        }
        load_and_render(&text.into_iter().collect::<String>());
    }

    #[test]
    fn arbitrary_text_never_panics(text in ".{0,200}") {
        load_and_render(&text);
        load_and_render(&text.replace(' ', "\n"));
    }

    #[test]
    fn a_lost_line_is_an_error_or_leaves_a_plan(line in 0..60usize) {
        for document in DOCUMENTS {
            let kept: Vec<&str> =
                document.lines().enumerate().filter(|(n, _)| *n != line).map(|(_, l)| l).collect();
            load_and_render(&kept.join("\n"));
        }
    }
}

#[test]
fn a_million_braces_are_bounded() {
    let start = Instant::now();
    load_and_render(&"a {".repeat(300_000));
    load_and_render(&"virtual_server {\n".repeat(50_000));
    load_and_render(&"}\n".repeat(100_000));
    let loaded = keepalived(&"nonsense_word x\n".repeat(100_000));
    assert_eq!(loaded.summary.errors, 100_000);
    assert_eq!(loaded.diagnostics.len(), 501);
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn forty_thousand_real_servers_load() {
    let mut text = String::new();
    for n in 0..40_000u32 {
        if n % 200 == 0 {
            let close = if n > 0 { "}\n" } else { "" };
            writeln!(text, "{close}virtual_server 10.0.0.1 {} {{\n protocol TCP", n / 200 + 1)
                .unwrap();
        }
        let (a, b) = (n / 250, n % 250 + 1);
        writeln!(
            text,
            " real_server 10.{}.{}.{b} 80 {{\n  weight {}\n  TCP_CHECK {{\n   connect_timeout 3\n  }}\n }}",
            a / 200 + 1,
            a % 200,
            n % 7 + 1
        )
        .unwrap();
    }
    text.push_str("}\n");
    let start = Instant::now();
    let loaded = keepalived(&text);
    println!("40,000 real servers: {:?}", start.elapsed());
    let services = loaded.plan.unwrap().layer4.virtual_servers;
    assert_eq!(services.iter().map(|one| one.real_servers.len()).sum::<usize>(), 40_000);
}

/// Pieces of the language, to be put together in any order.
const PIECES: [&str; 24] = [
    "$A=",
    "$B=",
    "${A}",
    "${B}",
    "$A ",
    "$B\n",
    " \\\n",
    "\n",
    "@main ",
    "@^x ",
    "~SEQ(A,1,3) ",
    "~SEQx(B,9,-1,0)",
    "~LST({A,B},{1,2},{3}) ",
    "~LST(A,",
    "{",
    "}",
    "include k.conf\n",
    "include *\n",
    "\"",
    "\\",
    "#",
    "${_RANDOM 1 2}",
    "global_defs ",
    "router_id ",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn pieces_of_the_language_in_any_order_end_soon(
        pieces in proptest::collection::vec(0..PIECES.len(), 0..60),
    ) {
        let text: String = pieces.into_iter().map(|n| PIECES[n]).collect();
        let start = Instant::now();
        load_and_render(&text);
        prop_assert!(start.elapsed() < Duration::from_secs(30), "{text:?}: {:?}", start.elapsed());
    }

    #[test]
    fn arbitrary_definitions_and_uses_never_panic(value in "[ -~\\n\\\\]{0,80}", used in "[ -~]{0,40}") {
        load_and_render(&format!("$A={value}\n\n$B={used}\n{used} $A\n~LST({value}\n~SEQ({used}\n$B\n"));
    }
}
